"""Ask how alike the digits are that networks trained as DDPM and by flow matching draw from the same noises.

    python studies/study_two_recipes.py [--out FOLDER] [--jobs N]                         (twelve minutes of one core)

Both recipes of study_flow.py are trained with its seeds, as there. Each averaged network then draws 500 digits from
the same 500 noises, in 50 of Euler's steps that are even in the flow time. For every two networks, the record has the
mean and the median distance of the two digits of one noise (the root of the mean square over the pixels), and for how
many noises the digit of the first network is nearest to that of the second from the same noise, among its 500. The
distance of two digits of one network from different noises is the measure of comparison. Networks that already lie in
FOLDER are not trained again. Writes book/results/two-recipes.json.
"""

import argparse
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations, product
from pathlib import Path

import flow_errors
import study_flow
import torch
from safetensors import safe_open

from ddpm_lite import ddim_step, last, sample
from ddpm_lite.files.pixels import to_hex

RECORD = study_flow.RECORD.with_name("two-recipes.json")
WALK = 50, "even in tau"
NOISE = 0  # the seed of the noises, the same for all networks
SHOWN = 8


def draw(path, recipe):
    """The digits that a finished network makes of the noises."""
    network, schedule = flow_errors.load_network(path, recipe), study_flow.RECIPES[recipe][0]
    walk = study_flow.walks_of(schedule, WALK[0])[WALK[1]]
    return last(sample(network, walk, (study_flow.COUNT, 1, 8, 8), step=ddim_step, seed=NOISE))[1]


def find_distances(one, other):
    """The distance of each digit of one set from each of the other."""
    return torch.cdist(one.flatten(1).double(), other.flatten(1).double()) / one[0].numel() ** 0.5


def compare(one, other):
    """How far two networks' digits of one noise are apart, and how often they are nearest to each other."""
    apart = find_distances(one, other)
    same, nearest = apart.diagonal(), apart.argmin(1) == torch.arange(len(one))
    return {
        "mean": round(float(same.mean()), 4),
        "median": round(float(same.median()), 4),
        "nearest": int(nearest.sum()),
    }


def main():
    """Train what is missing, draw, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=study_flow.ROOT / "runs" / "two", help="a folder for networks")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    names = {(recipe, seed): asked.out / f"{recipe}-{seed}-weights.safetensors".replace(" ", "-")
             for seed, recipe in product(study_flow.SEEDS, ("DDPM", "flow matching"))}  # fmt: skip
    jobs = [(path, *job) for job, path in names.items() if not path.exists()]
    with ProcessPoolExecutor(asked.jobs, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(flow_errors.keep_weights, jobs))
    torch.set_num_threads(1)
    start, runs, digits = time.process_time(), [], {}
    for (recipe, seed), path in names.items():
        with safe_open(path, framework="pt") as file:
            run = json.loads(file.metadata()["run"])
        digits[recipe, seed] = draw(path, recipe)
        far = find_distances(digits[recipe, seed], digits[recipe, seed])
        others = far.sum() / (len(far) * (len(far) - 1))
        runs.append(run | {"two noises": round(float(others), 4), "shown": to_hex(digits[recipe, seed][:SHOWN])})
    pairs = [{"one": list(one), "other": list(other)} | compare(digits[one], digits[other])
             for one, other in combinations(names, 2)]  # fmt: skip
    seconds = time.process_time() - start
    told = {"steps": WALK[0], "times": WALK[1], "noise": NOISE, "measuring_seconds": round(seconds, 1)}
    study_flow.write(study_flow.describe_study("study_two_recipes.py") | told | {"runs": runs, "pairs": pairs}, RECORD,
                     seconds)  # fmt: skip


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
