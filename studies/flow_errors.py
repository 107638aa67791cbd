"""Train the networks of the study of flows again, and record where they err and which errors matter.

The second half of `study_flow.py --errors`: the averaged weights of each recipe are kept in a folder, and the record
book/results/flow-errors.json is written. It has each network's error on the held-out digits by noise level, and the
distances of two kinds of walks that show where an error matters. In a divided walk one of 5 steps is replaced by five
shorter ones. In a mixed walk one network estimates the noise above a level and another below it.
"""

import json
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import study_flow
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ddpm_lite import ddim_step, last, load_digits, predict_x_0, q_sample, sample, schedule_from_levels
from ddpm_lite.files.pixels import from_bytes, to_bytes
from ddpm_lite.files.weights import write_beside

ERRORS = study_flow.RECORD.with_name("flow-errors.json")
LEVELS = (0.0191, 0.0468, 0.102, 0.228, 0.545, 1.048, 2.001, 4.07, 10.38, 19.4, 40.4, 157.4)  # all schedules have them
MIXES = {5: ((100,), (100,)), 50: ((100, 10, 1), (10, 1))}  # steps: above and below which levels the flow is asked


def record_errors(out, jobs):
    """Train what is missing, measure the errors and the walks that explain them, write."""
    names = {(recipe, seed): out / f"{recipe}-{seed}-weights.safetensors".replace(" ", "-")
             for seed, recipe in product(study_flow.SEEDS, study_flow.RECIPES)}  # fmt: skip
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(keep_weights, [(path, *job) for job, path in names.items() if not path.exists()]))
    torch.set_num_threads(1)
    start, how, runs, mixed = time.process_time(), study_flow.measures()[1:], [], []
    x_0 = load_digits("test")[0].repeat(4, 1, 1, 1)
    z = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    for seed in study_flow.SEEDS:
        networks = {recipe: load_network(names[recipe, seed], recipe) for recipe in study_flow.RECIPES}
        for recipe, network in networks.items():
            with safe_open(names[recipe, seed], framework="pt") as file:
                run = json.loads(file.metadata()["run"])
            run["errors"] = measure_errors(network, study_flow.RECIPES[recipe][0], x_0, z)
            runs.append(run | {"divided": list(measure_divided(network, study_flow.RECIPES[recipe][0], seed, how))})
            print(f"{recipe}, seed {seed}: errors and divided walks", flush=True)
        mixed += measure_mixed(networks, seed, how)
    seconds = time.process_time() - start
    record = study_flow.describe_study("study_flow.py --errors") | {"noises": 4, "measuring_seconds": round(seconds, 1)}
    study_flow.write(record | {"runs": runs, "mixed": mixed}, ERRORS, seconds)


def keep_weights(job):
    """Train one network, and keep its averaged weights and on which share of the steps the gradient was clipped."""
    path, recipe, seed = job
    torch.set_num_threads(1)
    start = time.process_time()
    network, losses, norms = study_flow.fit(recipe, seed)
    told = study_flow.describe_run(recipe, seed, start, losses)
    parts = ((0, 100), (100, 200), (200, 800))
    told["clipped"] = {f"{first + 1}-{end}": count_clipped(norms[first:end]) for first, end in parts}
    with write_beside(path) as unfinished:
        save_file(network.state_dict(), unfinished, {"run": json.dumps(told)})


def count_clipped(norms):
    """The share of the steps whose gradient was clipped, and so has the largest norm, 1."""
    return round(sum(norm > 0.9999 for norm in norms) / len(norms), 4)


def load_network(path, recipe):
    """Load averaged weights that were kept."""
    network = study_flow.make_network(recipe)
    network.load_state_dict(load_file(path))
    return network.eval()


def measure_errors(network, schedule, x_0, z, levels=LEVELS):
    """The mean squared error of z, x_0 and u = z - x_0 at these levels, for the same noises z.

    An error of z is one of x_0 that is nu times as large with the other sign, and one of u that is 1 + nu times as
    large. The last number is that of the image clipped to [-1, 1], as our walks do.
    """
    rows = []
    for t in study_flow.choose(schedule, torch.tensor([0, *levels], dtype=torch.float64)).times[1:].tolist():
        nu, x_t = float(schedule.noise_level[t]), q_sample(schedule, x_0, t, z)
        with torch.no_grad():
            z_hat = network(x_t, torch.full((len(x_0),), t))
        error, image = (z_hat - z).double().square().mean().item(), predict_x_0(schedule, x_t, t, z_hat).clamp(-1, 1)
        row = {"level": nu, "z": error, "x_0": nu**2 * error, "u": (1 + nu) ** 2 * error}
        row["clipped"] = (image - x_0).double().square().mean().item()
        rows.append({name: float(f"{number:.4g}") for name, number in row.items()})
    return rows


def divide(levels, step, parts=5):
    """Divide one step of a walk, of which the first is number 1, into parts that are even in tau."""
    high, low = len(levels) - step, len(levels) - step - 1
    tau = levels[low : high + 1] / (1 + levels[low : high + 1])
    share = torch.arange(1, parts, dtype=torch.float64) / parts
    between = tau[0] + share * (tau[1] - tau[0])
    return torch.cat([levels[:high], between / (1 - between), levels[high:]])


def walk_with(pair, border, steps):
    """A walk even in tau, on which one (network, schedule) estimates z above the border and another below."""
    above, below = (study_flow.walks_of(schedule, steps)["even in tau"] for _, schedule in pair)
    high = above.noise_level > border
    walk = schedule_from_levels(torch.where(high, above.noise_level, below.noise_level))

    def estimate(x_t, t, context=None):
        number = int(t[0])
        chosen, times = (pair[0][0], above.times) if high[number] else (pair[1][0], below.times)
        return chosen(x_t, torch.full_like(t, int(times[number])))

    return estimate, walk


def measure_divided(network, schedule, seed, how):
    """The distances of walks of 5 steps, one of which is divided; step 0 means none."""
    for times, walk in study_flow.walks_of(schedule, 5).items():
        for step in range(6):
            way = study_flow.choose(schedule, divide(walk.noise_level, step) if step else walk.noise_level)
            first, end = walk.noise_level.flip(0)[step - 1 : step + 1].tolist() if step else (None, None)
            x_0 = last(sample(network, way, (study_flow.COUNT, 1, 8, 8), step=ddim_step, seed=seed))[1]
            row = {"times": times, "divided": step, "from": first and round(first, 3), "to": end and round(end, 3)}
            yield row | study_flow.compare(from_bytes(to_bytes(x_0)), *how)


def measure_mixed(networks, seed, how):
    """The distances of walks even in tau on which the flow and a network of z take turns, and of unmixed ones."""
    flow, others, mixes = "flow matching", ("DDPM", "DDPM, uniform tau"), []
    for steps, (starts, ends) in MIXES.items():
        mixes += [(steps, recipe, recipe, 0) for recipe in (*others, flow)]
        for other in others:
            mixes += [(steps, flow, other, border) for border in starts]
            mixes += [(steps, other, flow, border) for border in ends]
    for steps, above, below, border in mixes:
        pair = [(networks[recipe], study_flow.RECIPES[recipe][0]) for recipe in (above, below)]
        estimate, walk = walk_with(pair, border, steps)
        x_0 = last(sample(estimate, walk, (study_flow.COUNT, 1, 8, 8), step=ddim_step, seed=seed))[1]
        row = {"seed": seed, "steps": steps, "above": above, "below": below, "border": border}
        yield row | study_flow.compare(from_bytes(to_bytes(x_0)), *how)
