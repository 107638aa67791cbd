"""Do what needs a GPU in one command and a given time, the most important first.

    make on-gpu                                        25 minutes
    python tools/on_gpu.py --minutes 9 --only tests clothes
    python tools/on_gpu.py --dry-run --out FOLDER      every job on a CPU, with sizes that say nothing about speed

A job is a few commands of this project, each in a process of its own. It begins if its minutes are left, and writes its
record to --out when it ends: the card, the seconds, the commands, the results. A job whose record is there is not
repeated, and a training that was stopped goes on, so that the same line continues what the last one began. Ends with 1
if a job failed. Nothing is fetched: with --data FOLDER the four files of Fashion-MNIST are taken from there.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ddpm_lite.files.records import name_processor

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "book" / "results"
RUNS = ROOT / "runs"
BENCH = ["benchmarks/bench.py", "--rounds", "5"]
PAPER = [*BENCH, "--network", "cifar10"]
TINY = [*BENCH[:1], "--rounds", "1", "--batch", "2"]  # with the network that is meant for a CPU
STEPS = ["--batch", "128", "--part", "steps"]
WALKS = ["--batch", "64", "--part", "sampling", "--rounds", "2"]  # a walk takes seconds, and hardly varies
PEERS = ("ddpm_lite", "diffusers", "smalldiffusion", "denoising-diffusion-pytorch")


@dataclass(frozen=True)
class Run:
    """A training that lasts a given time, and the evaluation of its model.

    Args:
        data: the preset.
        options: those of `train`, except the number of steps, which follows from the speed that is measured.
        seconds: how long to train.
        warm: the steps of a short run that measures the speed, once everything is compiled.
        evaluate: the options of `evaluate`.
    """

    data: str
    options: tuple[str, ...]
    seconds: float
    warm: int
    evaluate: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """What is done, the minutes that it may take, and what is done instead in a dry run.

    Args:
        what: the commands as lists of words for Python, or a training.
        record: the name of the file that the commands write, if they write their record by themselves.
        beside: commands that run at the same time, to fill torch's cache of compiled code for later jobs; if one
            of them fails, the later job takes longer or fails, and says so.
    """

    minutes: float
    what: list[list[str]] | Run
    dry: list[list[str]] | Run
    record: str = ""
    beside: tuple[list[str], ...] = ()


FAST = (
    "--config.mixed-precision",
    "bf16",
    "--config.compile",
    "--config.lr-decay",
    "cosine",
    "--config.batch-size",
    "128",
)
WIDE = ("--unet.channels", "64", "128", "128", "--unet.blocks", "2")
CLOTHES = ("--sampler", "ddpm")
DRY = Run(
    "digits",
    ("--config.batch-size", "16", "--unet.channels", "8", "16"),
    1.0,
    5,
    ("--count", "30", "--steps", "4", "--seeds", "0"),
)

# In the order of their priority: what has never been tried on a GPU, what we claim, what we hope for.
JOBS = {
    "tests": Job(
        3,
        [["tools/gpu_check.py"]],
        [["-m", "pytest", "-q", "--collect-only", "-m", "gpu", "tests/test_gpu.py"]],
        "gpu-check.json",
        tuple([*PAPER, *part, "--prepare", name] for part in (STEPS, WALKS) for name in PEERS),
    ),
    "speed": Job(
        5,
        [[*PAPER, *STEPS, "--part", "peak"]],
        [[*TINY, "--part", "samplers"]],
        "bench-cuda-cifar10.json",
    ),
    "clothes": Job(8, Run("fashion", FAST, 300, 300, CLOTHES), DRY),
    "wide": Job(9, Run("fashion", (*FAST, *WIDE), 300, 300, CLOTHES), DRY),
    "walk": Job(3, [[*PAPER, *WALKS]], [[*TINY, "--part", "samplers"]], "bench-cuda-cifar10.json"),
}


@dataclass
class Desk:
    """Where the jobs work: their folder of records, the device, and until when."""

    out: Path
    dry: bool
    data: Path | None
    until: float
    note: str = ""
    commands: list[str] = field(default_factory=list)

    def left(self) -> float:
        """The seconds that are left."""
        return self.until - time.monotonic()

    def python(self, *words: object) -> None:
        """Run a command of this project.

        Raises:
            subprocess.CalledProcessError: it failed. subprocess.TimeoutExpired: no time was left for it.
        """
        words = [str(word) for word in words]
        self.commands.append(shlex.join(["python", *words]).replace(f"{ROOT}/", ""))
        print(f"$ {self.commands[-1]}", flush=True)
        subprocess.run([sys.executable, *words], cwd=ROOT, check=True, timeout=max(1, self.left()))

    def hardware(self) -> dict[str, str]:
        """Describe the machine, as every record does."""
        card = "none (a dry run)" if self.dry else torch.cuda.get_device_name()
        about = {"gpu": card, "hardware": f"{name_processor()}, {os.cpu_count()} cores", "torch": torch.__version__}
        return about | ({"note": self.note} if self.note else {})


def train_and_evaluate(desk: Desk, name: str, run: Run) -> dict[str, object]:
    """Train for the given time, measure the images, and return what was found.

    The number of steps must be known before the first one, because the learning rate falls to 0 over all of them. So a
    short run measures the speed first; what is compiled for it serves both.
    """
    RUNS.mkdir(exist_ok=True)
    device = ["--device", "cpu" if desk.dry else "cuda"]
    given = ["--data", desk.data] if desk.data and run.data == "fashion" else []
    shared = ["-m", "ddpm_lite", "train", run.data, *run.options, *given, *device]
    batch = int(run.options[run.options.index("--config.batch-size") + 1])
    plan = RUNS / f"on-gpu-{name}.json"  # the same number of steps when it goes on
    if not plan.is_file():
        warm = RUNS / f"on-gpu-{name}-warm"
        desk.python(*shared, "--config.steps", run.warm, "--out", warm)
        rate = read_rate(warm)
        plan.write_text(json.dumps({"steps": max(10, round(run.seconds * rate / batch))}), encoding="utf8")
    steps = json.loads(plan.read_text(encoding="utf8"))["steps"]
    folder, start = RUNS / f"on-gpu-{name}", time.perf_counter()
    desk.python(*shared, "--config.steps", steps, "--every", max(1, steps // 5), "--out", folder)
    seconds = time.perf_counter() - start
    judged = RUNS / f"on-gpu-{name}-evaluate.json"
    desk.python("-m", "ddpm_lite", "evaluate", folder, *run.evaluate, *given, *device, "--out", judged)
    found = json.loads(judged.read_text(encoding="utf8"))
    last = read_last(folder)
    return {
        "steps": steps,
        "batch_size": batch,
        "images_seen": steps * batch,
        "train_seconds": round(seconds, 1),  # with the start of the process, and with what was compiled in it
        "images_per_second": read_rate(folder),
        "loss": last["loss"],
        "evaluate": {key: found[key] for key in ("sampler", "steps", "count", "mean", "spread")},
    }


def read_rate(folder: Path) -> float:
    """Read the images per second of a run, the median over its lines; the first one has what was compiled in it."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf8").splitlines()
    rates = [json.loads(line)["images_per_second"] for line in lines]
    return statistics.median(rates[1:] or rates)


def read_last(folder: Path) -> dict[str, float]:
    """Read the last line of a run's metrics."""
    return json.loads((folder / "metrics.jsonl").read_text(encoding="utf8").splitlines()[-1])


def is_done(job: Job, path: Path) -> bool:
    """Whether the record of a job is there; several jobs may share one, each with parts of its own."""
    if not path.is_file():
        return False
    found = json.loads(path.read_text(encoding="utf8"))
    words = job.what[0] if isinstance(job.what, list) else []
    parts = [words[number + 1] for number, word in enumerate(words) if word == "--part"]
    return all(part in found for part in parts)


@contextmanager
def running_beside(desk: Desk, commands: tuple[list[str], ...]) -> Iterator[None]:
    """Run commands in the background, and wait at the end until they have ended or no time is left."""
    started = [subprocess.Popen([sys.executable, *words], cwd=ROOT) for words in commands]
    try:
        yield
        for process in started:
            process.wait(timeout=max(1, desk.left()))
    finally:
        for process in started:
            process.kill()


def do(name: str, job: Job, desk: Desk, path: Path) -> None:
    """Do a job and write its record."""
    what, start, desk.commands = job.dry if desk.dry else job.what, time.perf_counter(), []
    found: dict[str, object] = {}
    with running_beside(desk, () if desk.dry else job.beside):
        if isinstance(what, Run):
            found = train_and_evaluate(desk, name, what)
        else:
            for words in what:
                out = ["--out", desk.out] if words[0] in (BENCH[0], "tools/gpu_check.py") else []
                desk.python(*words, *out)
    if job.record and not desk.dry:
        return
    about = {"command": f"python tools/on_gpu.py --only {name}"} | desk.hardware()
    record = about | {"commands": desk.commands, "seconds": round(time.perf_counter() - start, 1)} | found
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    beside.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Do the jobs, say what became of each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=25, help="no job begins that would end later")
    parser.add_argument("--only", nargs="+", choices=JOBS, default=list(JOBS), help="these jobs alone")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the records")
    parser.add_argument("--data", type=Path, help="the folder of the files of Fashion-MNIST")
    parser.add_argument("--seconds", type=float, help="of a training, instead of the job's")
    parser.add_argument("--note", default="", help="what the records should say about the circumstances")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with tiny sizes")
    options = parser.parse_args(arguments)
    if options.dry_run and options.out == RESULTS:
        parser.error("--dry-run: expected --out FOLDER, because its numbers must not lie among the records")
    if not options.dry_run and not torch.cuda.is_available():
        parser.error("this needs a CUDA device, and torch finds none; --dry-run tries the jobs on the CPU")
    options.out.mkdir(parents=True, exist_ok=True)
    data = options.data and options.data.resolve()
    desk = Desk(options.out.resolve(), options.dry_run, data, time.monotonic() + 60 * options.minutes, options.note)
    outcomes = {}
    for name in [name for name in JOBS if name in options.only]:
        job = JOBS[name]
        if options.seconds and isinstance(job.what, Run):
            job = replace(job, what=replace(job.what, seconds=options.seconds))
        path = desk.out / ((not desk.dry and job.record) or f"gpu-{name}.json")
        if is_done(job, path) and not desk.dry:
            outcomes[name] = "done before"
        elif desk.left() < 60 * job.minutes and not desk.dry:
            outcomes[name] = f"left out: it may take {job.minutes:g} minutes, and {desk.left() / 60:.0f} are left"
        else:
            outcomes[name] = attempt(name, job, desk, path)
    for name, outcome in outcomes.items():
        print(f"{name:8} {outcome}")
    return int(any(outcome.startswith("failed") for outcome in outcomes.values()))


def attempt(name: str, job: Job, desk: Desk, path: Path) -> str:
    """Do a job, and say in a line how it ended; one that fails does not hinder the others."""
    start = time.perf_counter()
    try:
        do(name, job, desk, path)
    except subprocess.TimeoutExpired:
        return "failed: stopped when the time was over; the same line goes on with it"
    except subprocess.CalledProcessError as error:
        return f"failed: {desk.commands[-1]} ended with {error.returncode}"
    return f"done in {time.perf_counter() - start:.0f} s: {path.name}"


if __name__ == "__main__":
    sys.exit(main())
