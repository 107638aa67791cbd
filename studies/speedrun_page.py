"""The tables of the public page of the speedrun, book/speedrun.md, written from the record.

python studies/speedrun_page.py
"""

import json
import math
from pathlib import Path

from speedrun_ideas import IDEAS

BOOK = Path(__file__).resolve().parent.parent / "book"
PAGE, RECORD = BOOK / "speedrun.md", BOOK / "results" / "speedrun.json"
COLUMNS = ("frechet", "precision", "recall", "nearest")
LONG, SHORT = (60, math.inf), (5, 15)  # core-minutes that a run of given steps took on a processor, if it is shown


def group(runs: list[dict], minutes: float, count: int = 1000) -> dict[tuple[str, str], list[dict]]:
    """Group the runs of a budget by idea and device, in the record's order."""
    found: dict[tuple[str, str], list[dict]] = {}
    for run in runs:
        if run["minutes"] == minutes and run.get("count", count) == count:
            found.setdefault((run["idea"], run["device"]), []).append(run)
    return found


def average(runs: list[dict], key: str) -> float:
    """Average a number over the runs of an idea; NaN if one of them diverged."""
    return sum(run["mean"][key] if "mean" in run else math.nan for run in runs) / len(runs)


def compare(runs: list[dict], before: list[dict]) -> str:
    """Write how far the last idea moved the distance, as the mean over the seeds that both have, and their number."""
    known = {run["seed"]: average([run], "frechet") for run in before}
    changes = [average([run], "frechet") - known[run["seed"]] for run in runs if run["seed"] in known]
    return f"{sum(changes) / len(changes):+.2f} ({len(changes)})" if changes else ""


def write_table(groups: dict[tuple[str, str], list[dict]]) -> str:
    """Write a table of Markdown, a row for each idea, the nearest first."""
    lines = [
        "| recipe | distance | precision | recall | nearest | steps | change | on |",
        "|---" + "|--:" * 6 + "|---|",
    ]
    distances = {key: average(runs, "frechet") for key, runs in groups.items()}
    for name, device in sorted(groups, key=lambda key: (math.isnan(distances[key]), distances[key])):
        runs, before = groups[name, device], name.rpartition("+")[0] or "base"
        cells = [f"{average(runs, key):.2f}" for key in COLUMNS] + [f"{runs[0]['steps']:,}"]
        cells += ["" if name == "base" else compare(runs, groups.get((before, device), [])), device.split(",")[0]]
        lines.append(f"| {name.replace('+', ' + ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_measured(runs: list[dict], least: float, most: float) -> str:
    """Write a table of the runs on a processor that took so many minutes, with their time, the nearest first."""
    own = [run for run in runs if run["minutes"] is None and "cpu_seconds" in run and "mean" in run]
    own = [run for run in own if least <= run["cpu_seconds"] / 60 <= most]
    lines = [
        "| recipe | distance | precision | recall | nearest | steps | core-minutes | on |",
        "|---" + "|--:" * 6 + "|---|",
    ]
    for run in sorted(own, key=lambda run: run["mean"]["frechet"]):
        cells = [f"{run['mean'][key]:.2f}" for key in COLUMNS]
        cells += [f"{run['steps']:,}", f"{run['cpu_seconds'] / 60:.1f}", run["device"].split(",")[0].replace("(R)", "")]
        lines.append(f"| {run['idea'].replace('+', ' + ')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_names() -> str:
    """Write a table of what each name means."""
    return "\n".join(["| name | what it changes |", "|---|---|", *(f"| `{n}` | {i.about} |" for n, i in IDEAS.items())])


def fill(text: str, record: dict) -> str:
    """Replace each table of the page, between its two comments, by that of the record."""
    tables = {"names": write_names(), "long runs": write_measured(record["runs"], *LONG)}
    tables["short runs"] = write_measured(record["runs"], *SHORT)
    for budget in sorted({run["minutes"] for run in record["runs"] if run["minutes"]}):
        tables[f"runs of {budget:g} minutes"] = write_table(group(record["runs"], budget))
    for name, table in tables.items():
        start, end = f"% {name}\n", "% end\n"
        if start not in text:
            raise ValueError(f"{PAGE.name}: expected a line {start.strip()!r}, got none")
        head, rest = text.split(start)
        text = f"{head}{start}\n{table}\n\n{end}{rest.split(end, 1)[1]}"
    return text


def main() -> None:
    """Write the tables of the page."""
    record = json.loads(RECORD.read_text(encoding="utf8"))
    PAGE.write_text(fill(PAGE.read_text(encoding="utf8"), record), encoding="utf8")


if __name__ == "__main__":
    main()
