"""The best small model of clothes for a fixed budget of processor time: one idea at a time, all judged alike.

    python studies/speedrun.py --speed                        measure the seconds of a step, one thread (minutes)
    python studies/speedrun.py --only decay v --minutes 15    train on this processor, evaluate, write one file each
    python studies/speedrun.py --device cuda --graph step --jobs 8    as many steps as the budget buys on a CPU
    python studies/speedrun.py --climb base                   add the best idea to the best so far, again and again
    python studies/speedrun.py --best 2 --minutes 75 --keep   train the best of those for longer, keep the weights
    python studies/speedrun.py --record                       add the files to book/results/speedrun.json

The meter: Fashion-MNIST, the package's features, COUNT images for each of three sampling seeds, 50 network evaluations
an image, against the 10,000 held-out images. The budget is processor time of the training alone, on one thread. On a
GPU a run gets the steps that the budget buys on the processor of `--speed`, so its result is that of the same steps,
and its file says so. An idea is a name in IDEAS; "decay+v" is both. A run whose file exists is not repeated.
"""

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache, partial
from itertools import pairwise, product
from pathlib import Path

import torch
from speedrun_ideas import IDEAS, Recipe, make_recipe
from speedrun_train import LABELS, Run, train, wrap
from torch import Tensor, nn

from ddpm_lite import ddim_step, ddpm_step, guided, last, load_fashion_mnist, respace, sample
from ddpm_lite.evaluate import features_of, load_features, measure
from ddpm_lite.files.pixels import from_bytes
from ddpm_lite.files.records import name_processor
from ddpm_lite.files.weights import save, write_whole

RESULTS = Path(__file__).resolve().parent.parent / "book" / "results"
RECORD, SPEED = RESULTS / "speedrun.json", RESULTS / "speedrun-speed.json"
COUNT, WALK, SAMPLING_SEEDS = 1000, 50, (0, 1, 2)
MINUTES = 15.0
STEPS = {"ddpm": ddpm_step, "ddpm, beta": partial(ddpm_step, variance="beta"), "ddim": ddim_step}


@cache
def judge(folder: Path | None):
    """Load the features' network, the held-out images' features, and the training images and labels."""
    net, (held_out, _) = load_features("fashion"), load_fashion_mnist("test", folder=folder)
    return net, features_of(net, from_bytes(held_out)), *load_fashion_mnist("train", folder=folder)


def draw_images(run: Run, average: nn.Module, seed: int, count: int, at_once: int) -> Tensor:
    """Sample images of all labels in turn, as `evaluate` does."""
    recipe, model = run.recipe, wrap(average, run.schedule, run.recipe.target)
    if recipe.scale:
        model = guided(model, recipe.scale, LABELS)
    context, parts = torch.arange(count) % LABELS, []
    for first in range(0, count, at_once):
        own = context[first : first + at_once]
        states = sample(
            model,
            respace(run.schedule, WALK),
            (len(own), 1, 28, 28),
            step=STEPS[recipe.sampler],
            seed=seed * 1_000_003 + first,
            context=own,
            device=run.device,
        )
        parts.append(last(states)[1].cpu().clamp(-1, 1))
    return torch.cat(parts)


def evaluate(run: Run, folder: Path | None, count: int, seeds) -> dict:
    """Measure samples of each average; return the rows of the best one, their mean and spread, and all distances."""
    net, reference, images, _ = judge(folder)
    at_once = 2000 if run.device.type == "cuda" else 250
    found = {}
    for decay, average in run.averages.items():
        rows = []
        for seed in seeds:
            drawn = draw_images(run, average.module, seed, count, at_once)
            row = measure(net, drawn, reference, images, torch.arange(count) % LABELS)
            rows.append({"seed": seed} | {key: float(f"{value:.5g}") for key, value in row.items()})
        found[decay] = rows
    means = {decay: summarize(rows)["mean"]["frechet"] for decay, rows in found.items()}
    best = min(means, key=lambda decay: means[decay])
    return {"ema": best, "frechet_by_ema": {str(d): m for d, m in means.items()}, "rows": found[best]} | summarize(
        found[best]
    )


def summarize(rows: list[dict]) -> dict:
    """Return mean and standard deviation of the rows' numbers."""
    columns = {key: torch.tensor([row[key] for row in rows]).double() for key in rows[0] if key != "seed"}
    spread = {key: float(f"{column.std().item():.5g}") for key, column in columns.items() if len(rows) > 1}
    return {"mean": {key: float(f"{column.mean().item():.5g}") for key, column in columns.items()}, "spread": spread}


def read_speed() -> dict:
    """Read the record of `--speed`: seconds of each part of a step, by what `Recipe.parts` names."""
    return json.loads(SPEED.read_text(encoding="utf8")) if SPEED.exists() else {"seconds": {}}


def look_up_seconds(recipe: Recipe) -> float | None:
    """Add up the seconds of a step, or return None if a part was never measured."""
    known = read_speed()["seconds"]
    found = {part: known.get(part, {}).get(key) for part, key in recipe.parts().items()}
    if None in found.values():
        return None
    return sum(seconds * (len(recipe.ema) if part == "average" else 1) for part, seconds in found.items())


def count_steps(recipe: Recipe, minutes: float) -> int:
    """Count the steps that the budget buys on the processor of `--speed`."""
    seconds = look_up_seconds(recipe)
    if seconds is None:
        raise ValueError(f"speed: expected times for {recipe.parts()}, got none; run --speed --only NAME first")
    return max(1, int(minutes * 60 / seconds))


# What `--speed` measures beside the ideas: networks that may be combined. Muon's time does not depend on bf16.
NETWORKS = [
    "+".join(names)
    for names in product(
        ("base", "narrow-top", "wide-bottom", "wide", "narrow"), ("base", "coarse-attention", "middle-attention")
    )
] + ["heads", "two-blocks", "batch-16", "batch-64", "channels-last"]
COMBINED = [*NETWORKS, *(f"{name}+muon+bf16" for name in NETWORKS)]


def measure_speed(names: list[str], folder: Path | None, rounds: int, steps: int) -> None:
    """Measure processor time of each part of a step, and keep the least, because other work only ever adds to it.

    What was measured before on such a processor counts too.
    """
    torch.set_num_threads(1)
    _, _, images, labels = judge(folder)
    machine = {
        "hardware": f"{name_processor()}, one thread, processor time, beside other work",
        "torch": torch.__version__.split("+")[0],
    }
    before = read_speed()
    found: dict[str, dict[str, float]] = before["seconds"] if machine.items() <= before.items() else {}
    costs = {str(recipe.parts()): recipe for recipe in map(make_recipe, names)}
    for _ in range(rounds):
        for recipe in costs.values():
            run, taken = Run(recipe, steps + 1, 0, images, labels), []
            for step in range(1, steps + 2):
                clock = [time.process_time()]
                batch = run.draw(step)
                clock.append(time.process_time())
                run.net.zero_grad()
                run.differentiate(*batch)
                clock.append(time.process_time())
                run.set_rates(step)
                run.update()
                clock.append(time.process_time())
                run.average(step)
                clock.append(time.process_time())
                taken.append([b - a for a, b in pairwise(clock)])
            for (part, key), *seconds in zip(recipe.parts().items(), *taken[1:], strict=True):
                least = min(seconds) / (len(recipe.ema) if part == "average" else 1)
                table = found.setdefault(part, {})
                table[key] = round(min(least, table.get(key, math.inf)), 5)
            print(f"{sum(map(min, zip(*taken[1:], strict=True))):.3f} s  {recipe.parts()}", flush=True)
    tables = {part: dict(sorted(table.items())) for part, table in found.items()}
    about = {"command": "python studies/speedrun.py --speed"} | machine | {"seconds": tables}
    write_whole(SPEED, (json.dumps(about, indent=1) + "\n").encode())


def name_file(name: str, seed: int, minutes: float | None, steps: int | None, count: int) -> str:
    """Name the file of a run."""
    budget = f"{steps} steps" if steps else f"{minutes:g} min"
    return f"{name} {budget}, {count}, {seed}".replace(" ", "_")


def work(name: str, seed: int, options: argparse.Namespace) -> Path:
    """Train and evaluate one run, unless its file exists, and write its file."""
    minutes = None if options.steps else options.minutes
    path = options.out / f"{name_file(name, seed, minutes, options.steps, options.count)}.json"
    if path.exists():
        return path
    if options.device == "cpu" or options.jobs > 1:
        torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    recipe = make_recipe(name)
    steps = options.steps or count_steps(recipe, options.minutes)
    _, _, images, labels = judge(options.data)
    run, took = train(recipe, steps, seed, images, labels, options.device, options.graph, options.compile)
    speed = read_speed()
    about = {
        "idea": name,
        "seed": seed,
        "minutes": minutes,
        "steps": steps,
        "steps_from": "given" if options.steps else f"{minutes:g} minutes / {look_up_seconds(recipe):.4f} s a step",
        "speed": None if options.steps else f"{speed['hardware']}, torch {speed['torch']}",
        "device": torch.cuda.get_device_name() if options.device == "cuda" else f"{name_processor()}, one thread",
        "graph": options.graph,
        "compile": options.compile,
        "torch": torch.__version__.split("+")[0],
        "parameters": sum(p.numel() for p in run.net.parameters()),
        "images_seen": steps * recipe.batch_size,
        "recipe": asdict(recipe),
    }
    if not took["diverged"]:
        start, kept = time.perf_counter(), {"count": options.count}
        about |= kept | evaluate(run, options.data, options.count, options.sampling_seeds)
        about["evaluation_seconds"] = round(time.perf_counter() - start, 1)
        if options.keep and recipe.target != "edm":
            model = wrap(run.averages[about["ema"]].module.cpu(), run.schedule, recipe.target)
            save(path.with_suffix(".safetensors"), model, run.schedule, dtype=torch.float16)
    write_whole(path, (json.dumps(about | took, indent=1) + "\n").encode())
    result = "diverged" if took["diverged"] else describe(about["mean"])
    print(f"{name}, seed {seed}: {steps} steps in {took['seconds']} s, {result}", flush=True)
    return path


def describe(mean: dict) -> str:
    """Write the numbers of a row in words."""
    return ", ".join(f"{key} {mean[key]:.3f}" for key in ("frechet", "precision", "recall", "agreement", "nearest"))


class Workers:
    """Processes that share the device, or this one."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.end = options, time.monotonic() + options.within
        context = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(options.jobs, context) if options.jobs > 1 else None

    def run(self, names: list[str], seeds) -> dict[str, float]:
        """Do all runs that there is time for; return the mean distance of each idea all of whose runs are done."""
        pairs, found = [(name, seed) for seed in seeds for name in names], {}
        if self.pool is None:
            for pair in pairs:
                if time.monotonic() < self.end:
                    found[pair] = work(*pair, self.options)
        else:
            waiting = {self.pool.submit(work, *pair, self.options): pair for pair in pairs}
            with contextlib.suppress(TimeoutError):
                left = None if self.end == math.inf else max(1.0, self.end - time.monotonic())
                for done in as_completed(waiting, left):
                    if done.exception() is None:
                        found[waiting[done]] = done.result()
                    else:
                        print(f"{waiting[done]}: {done.exception()!r}", file=sys.stderr, flush=True)
        means = {}
        for name in names:
            results = [json.loads(found[name, s].read_text(encoding="utf8")) for s in seeds if (name, s) in found]
            if len(results) == len(seeds):
                means[name] = sum(r["mean"]["frechet"] if "mean" in r else math.inf for r in results) / len(results)
        return means

    def close(self) -> None:
        """End the processes, also those that are still at work when the time is over."""
        if self.pool is not None:
            processes = list(getattr(self.pool, "_processes", {}).values())
            self.pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()


def climb(workers: Workers, start: str, ideas: list[str], seeds) -> None:
    """From a recipe, add the idea that lowers the distance most, as long as one does and there is time.

    Later rounds try only the ten ideas that were best in the first, because each round costs as many runs.
    """
    best, given = start, workers.options.steps
    distance = workers.run([best], seeds).get(best, math.inf)
    ideas = [idea for idea in ideas if IDEAS[idea].changes]
    while time.monotonic() < workers.end:
        taken = {key for part in best.split("+") for key in IDEAS[part].changes}
        names = {i: f"{best}+{i}".removeprefix("base+") for i in ideas if not taken & IDEAS[i].changes.keys()}
        names = {i: name for i, name in names.items() if given or look_up_seconds(make_recipe(name)) is not None}
        means = workers.run(list(names.values()), seeds)
        if not means or min(means.values()) >= distance:
            break
        ideas = sorted((i for i in names if names[i] in means), key=lambda i: means[names[i]])[:11]
        best, distance = names[ideas[0]], means[names[ideas[0]]]
        print(f"best: {best}, {distance:.3f}", flush=True)


def choose_best(folder: Path, number: int) -> list[str]:
    """Choose the combinations of the least mean distance among the runs of MINUTES in a folder."""
    found: dict[str, list[float]] = {}
    for run in read_runs(folder):
        if run["minutes"] == MINUTES and "mean" in run:
            found.setdefault(run["idea"], []).append(run["mean"]["frechet"])
    return sorted(found, key=lambda name: sum(found[name]) / len(found[name]))[:number]


def read_runs(folder: Path) -> list[dict]:
    """Read the files of all runs, in order."""
    return sort_runs([json.loads(path.read_text(encoding="utf8")) for path in folder.glob("*.json")])


def sort_runs(runs: list[dict]) -> list[dict]:
    """Sort runs by budget, idea and seed."""
    return sorted(runs, key=lambda run: (run["minutes"] or 0, list_parts(run["idea"]), run["count"], run["seed"]))


def gather(folder: Path) -> dict:
    """Add the files of all runs to those of the record; a file takes the place of the same run on the same device.

    What follows from the idea's name and the single sampling seeds are left out.
    """
    left = ("recipe", "rows", "compile")
    runs = [{key: value for key, value in run.items() if key not in left} for run in read_runs(folder)]
    for run in runs:  # files of the first version say whether there was a graph, and it was one of the loss
        run["graph"] = {True: "loss", False: "no"}.get(run["graph"], run["graph"])
    before = json.loads(RECORD.read_text(encoding="utf8")) if RECORD.exists() else {"runs": []}
    same = ("idea", "seed", "minutes", "steps", "count", "device")
    known = {tuple(run[key] for key in same): run for run in [*before["runs"], *runs]}
    return {
        "command": "python studies/speedrun.py --record",
        "note": "Runs on a GPU shared it with others, so their seconds say nothing about its speed.",
        "speed": {key: value for key, value in read_speed().items() if key != "seconds"},
        "walk": WALK,
        "ideas": {name: idea.about for name, idea in IDEAS.items()},
        "runs": sort_runs(list(known.values())),
    }


def list_parts(name: str) -> tuple:
    """Order combinations by their length, then as IDEAS is ordered."""
    parts = name.split("+")
    return len(parts), [list(IDEAS).index(part) for part in parts]


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", help="ideas, or several joined by +; default all")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of the training")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="core-minutes of training")
    parser.add_argument("--steps", type=int, help="steps, instead of a budget")
    parser.add_argument("--count", type=int, default=COUNT, help="images for each sampling seed")
    parser.add_argument("--sampling-seeds", nargs="+", type=int, default=SAMPLING_SEEDS)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--graph", default="no", choices=("no", "loss", "step"), help="what is one CUDA graph")
    parser.add_argument("--compile", action="store_true", help="pass the network to torch.compile")
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the device")
    parser.add_argument("--within", type=float, default=math.inf, help="stop after this many seconds")
    parser.add_argument("--data", type=Path, help="the folder of the four files of Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=Path("runs/speedrun"), help="a file for each run goes here")
    parser.add_argument("--keep", action="store_true", help="keep the weights too")
    parser.add_argument("--climb", metavar="IDEA", nargs="?", const="base", help="combine ideas, from this one on")
    parser.add_argument(
        "--best", type=int, help=f"the so many best ideas among the runs of {MINUTES:g} minutes in --out"
    )
    parser.add_argument("--speed", action="store_true", help="measure the seconds of a step")
    parser.add_argument("--rounds", type=int, default=2, help="of --speed")
    parser.add_argument("--record", action="store_true", help="add the files of --out to the record")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    """Measure the speed, train and evaluate, or gather."""
    options = parse(words)
    ideas = options.only or (choose_best(options.out, options.best) if options.best else list(IDEAS))
    for name in (*ideas, *([options.climb] if options.climb else [])):
        make_recipe(name)  # raises at once for a name that is none
    if options.speed:
        names = options.only or [*IDEAS, *COMBINED]
        measure_speed(names, options.data, options.rounds, options.steps or 2)
        return
    if options.record:
        record = gather(options.out)
        write_whole(RECORD, (json.dumps(record, indent=1) + "\n").encode())
        print(f"wrote {RECORD}")
        return
    if options.jobs > 1:
        os.environ["OMP_NUM_THREADS"] = "1"  # the processes inherit it
    options.out.mkdir(parents=True, exist_ok=True)
    workers = Workers(options)
    try:
        if options.climb:
            climb(workers, options.climb, ideas, options.seeds)
        else:
            workers.run(ideas, options.seeds)
    finally:
        workers.close()


if __name__ == "__main__":
    main()
