"""The tables of benchmarks/README.md, from the records in book/results.

    python benchmarks/report.py

`bench.py` calls it when it has written a record. What lies between the markers `<!-- begin NAME -->` and
`<!-- end NAME -->` is replaced by the tables of that record; the words around them are written by hand.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
RESULTS = HERE.parent / "book" / "results"
OURS = "ddpm_lite"
BLOCK = re.compile(r"(?P<begin><!-- begin (?P<name>\S+) -->\n).*?(?P<end><!-- end (?P=name) -->)", re.DOTALL)


def rewrite(readme: str, results: Path = RESULTS) -> str:
    """The text of the README with the tables of the records as they are now."""
    return BLOCK.sub(lambda block: block["begin"] + tables(results / block["name"]) + block["end"], readme)


def tables(path: Path) -> str:
    """The tables of one record in Markdown; one line if there is no record."""
    if not path.exists():
        return f"Not measured yet: there is no `book/results/{path.name}`.\n"
    record = json.loads(path.read_text(encoding="utf8"))
    return "\n\n".join("\n".join(lines) for lines in parts(record)) + "\n"


def parts(record: dict) -> Iterator[list[str]]:
    """The lines of each part of a record, in reading order."""
    where = record["hardware"] if record["gpu"] == "none" else f"{record['gpu']}; {record['hardware']}"
    later = record.get("later", {})  # parts that were measured after the others
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    commands = " and ".join(f"`{words.strip()}`" for words in dict.fromkeys([record["command"], *later.values()]))
    yield [f"{where}. {versions}. Medians of {record['rounds']} rounds, by {commands}."]
    steps = record.get("steps", {})
    for kind, rows in steps.items():
        if isinstance(rows, list) and kind != "shape":
            yield timing(f"{kind}, images {tuple(steps['shape'])}", rows, steps["parameters"])
    if "note" in steps:
        yield [f"The rows of the steps are {steps['note']}."]
    if "our step in bf16 over fp32" in steps:
        yield [f"Our training step takes {steps['our step in bf16 over fp32']:.2f} times as long in bf16 as in fp32."]
    if "sampling" in record:
        walk = record["sampling"]
        yield timing(f"{walk['steps']} steps of sampling, {walk['kind']}, images {tuple(walk['shape'])}", walk["rows"])
    for shape, rows in record.get("samplers", {}).items():
        yield timing(f"a sampling step without the network, images {shape}", rows, places=3, base="diffusers DDPM")
    if "imports" in record:
        yield timing("import, each in a fresh process", record["imports"]["imports"])
    if "memory" in record:
        yield heading("memory that a training step adds", "MB") + [
            f"| {name} | {megabytes:.0f} |" for name, megabytes in record["memory"].items()
        ]
    if "peak" in record:
        yield heading("our training step", "GFLOP/s", "best convolution", "share") + [
            f"| {kind} | {row['ours_gflops']:,.0f} | {row['peak_gflops']:,.0f} | {row['share']:.0%} |"
            for kind, row in record["peak"].items()
        ]


def timing(title: str, rows: list[dict], weights: dict[str, int] | None = None, places=1, base=OURS) -> list[str]:
    """A table of times: their median and range, and the time of `base` over that of the row."""
    reference = next(row["ms"] for row in rows if row["name"] == base)
    ratio = "ours / this" if base == OURS else f"this / {base}"
    columns = ["weights"] if weights else []
    lines = heading(title, *columns, "ms", ratio, "range, ms")
    for row in rows:
        share = reference / row["ms"] if base == OURS else row["ms"] / reference
        cells = [f"{weights[row['name']]:,}"] if weights else []
        cells += [f"{row['ms']:,.{places}f}", f"{share:.2f}"]
        cells += [f"{row['low']:,.{places}f} to {row['high']:,.{places}f}" if "low" in row else "not recorded"]
        lines.append(f"| {' | '.join([row['name'], *cells])} |")
    return lines


def heading(first: str, *columns: str) -> list[str]:
    """The head of a table with names on the left and numbers on the right."""
    return [f"| {' | '.join([first, *columns])} |", "|---" + "|---:" * len(columns) + "|"]


def main() -> None:
    """Bring the README up to date."""
    README.write_text(rewrite(README.read_text(encoding="utf8")), encoding="utf8")


if __name__ == "__main__":
    main()
