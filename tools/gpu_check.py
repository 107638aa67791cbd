"""Run the tests that need a GPU, and record their outcomes.

    python tools/gpu_check.py         `make on-gpu` begins with it

Writes book/results/gpu-check.json, or to the folder --out: the card, the versions, and for each test "passed", "failed"
or "skipped". Ends with 1 unless all of them passed. Without a GPU it writes nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import torch

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests" / "test_gpu.py"
RECORD = ROOT / "book" / "results" / "gpu-check.json"


def outcomes(tests):
    """Run the tests marked gpu in a file, and return {test: outcome}; pytest prints its own report."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report}", str(tests)]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    if not cases:
        raise SystemExit(f"no test was run: pytest ended with {code}")
    return {case.get("name"): outcome(case) for case in cases}


def outcome(case):
    """Read the outcome of a test from its element in pytest's report."""
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def main(tests=TESTS, path=RECORD):
    """Run, record, print how many passed; return 0 if all did."""
    if not torch.cuda.is_available():
        raise SystemExit("this needs a CUDA device, and torch finds none: nothing was run, nothing is recorded")
    start, found, card = time.perf_counter(), outcomes(tests), torch.cuda.get_device_name()
    record = {
        "command": "python tools/gpu_check.py",
        "hardware": f"{card}, beside {os.cpu_count()} cores",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "seconds": round(time.perf_counter() - start, 1),
        "tests": found,
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    passed = sum(result == "passed" for result in found.values())
    print(f"{passed} of {len(found)} tests passed on {card}; wrote {path.name}")
    return 0 if passed == len(found) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=RECORD.parent, help="the folder of the record")
    sys.exit(main(path=parser.parse_args().out / RECORD.name))
