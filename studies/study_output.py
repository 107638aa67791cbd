"""Change only the output, or only the weight, of a recipe of the study of flows, and record the errors by noise level.

    python studies/study_output.py [--out FOLDER] [--jobs N]                              (ten minutes of one core)

DDPM with the output u keeps DDPM's times and its loss, the squared error of z with the weight 1; the network returns
u, from which z is computed. Uniform tau with the weight of the flow keeps the output z and the times of the flow. Both
are trained as in study_flow.py, with the same seeds, and their errors on the held-out digits are measured as in
flow_errors.py, with the same noises. 500 digits are drawn from each network in 50 of Euler's steps, even in the flow
time, and compared with the held-out digits. Networks that already lie in FOLDER are not trained again. Writes
book/results/output.json.
"""

import argparse
import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import flow_errors
import study_flow
import torch
from safetensors import safe_open

from ddpm_lite import ddim_step, last, load_digits, sample
from ddpm_lite.files.pixels import from_bytes, to_bytes

RECORD = study_flow.RECORD.with_name("output.json")
WALK = 50, "even in tau"


def measure(path, recipe, seed, digits, how):
    """The errors of a finished network, and the distances of what it draws."""
    with safe_open(path, framework="pt") as file:
        run = json.loads(file.metadata()["run"])
    network, schedule = flow_errors.load_network(path, recipe), study_flow.CONTROLS[recipe][0]
    walk = study_flow.walks_of(schedule, WALK[0])[WALK[1]]
    x_0 = last(sample(network, walk, (study_flow.COUNT, 1, 8, 8), step=ddim_step, seed=seed))[1]
    row = {"steps": WALK[0], "times": WALK[1]} | study_flow.compare(from_bytes(to_bytes(x_0)), *how)
    return run | {"errors": flow_errors.measure_errors(network, schedule, *digits), "walk": row}


def main():
    """Train what is missing, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=study_flow.ROOT / "runs" / "output", help="a folder for networks")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    names = {(recipe, seed): asked.out / f"{recipe}-{seed}-weights.safetensors".replace(" ", "-")
             for seed, recipe in product(study_flow.SEEDS, study_flow.CONTROLS)}  # fmt: skip
    jobs = [(path, *job) for job, path in names.items() if not path.exists()]
    with ProcessPoolExecutor(asked.jobs, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(flow_errors.keep_weights, jobs))
    torch.set_num_threads(1)
    start, how = time.process_time(), study_flow.measures()[1:]
    x_0 = load_digits("test")[0].repeat(4, 1, 1, 1)
    z = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    runs = [measure(path, *job, (x_0, z), how) for job, path in names.items()]
    seconds = time.process_time() - start
    record = study_flow.describe_study("study_output.py") | {"noises": 4, "measuring_seconds": round(seconds, 1)}
    study_flow.write(record | {"runs": runs}, RECORD, seconds)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
