"""Train the small network of the chapter on the objective with each of three weights, and record its loss at every t.

    python studies/study_weights.py      (about a minute of one core)

The three blobs, the network and its training are taken from the chapter's own cells. For each t from 1 to 1000
the least possible loss and each network's distance from it are sums over the chapter's grid of x_t. Beside them stands
the least loss of Gaussian data with the covariance of the training digits (eq-least-loss-gaussian, in the direction of
each eigenvector). Writes book/results/weights.json; seed 0.
"""

import ast
import json
import time

import torch
import train_digits
from torch import nn

from ddpm_lite import GaussianChain, GaussianMixture, linear_schedule, load_digits
from ddpm_lite.bound import bound_weight, min_snr_weight
from ddpm_lite.process import ddpm_loss

CHAPTER = train_digits.ROOT / "book" / "05_training_objective.ipynb"
RECORD = train_digits.RESULTS / "weights.json"
DEFINED = ("blobs", "average", "SmallNetwork", "trained", "above_floor")  # what is taken from the chapter


def open_chapter(schedule):
    """Run the chapter's definition of the blobs and of the functions, and return all of them by name."""
    cells = json.loads(CHAPTER.read_text(encoding="utf8"))["cells"]
    names = {"torch": torch, "nn": nn, "schedule": schedule, "ddpm_loss": ddpm_loss, "GaussianMixture": GaussianMixture}
    for source in ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"):
        if "blobs = GaussianMixture(" in source:
            exec(source, names)
            # In float64 the sums over the grid have six more digits, which the small losses near T need.
            names |= {"x": torch.linspace(-6, 6, 2401, dtype=torch.float64)[:, None], "width": 12 / 2400}
        for node in ast.parse(source).body if "blobs" in names else ():
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in DEFINED:
                exec(ast.unparse(node), names)
    return names


def weights_of(schedule):
    """Make the three tables of weights, with 0 at t = 0, where there is no noise to predict."""
    found = {"simple": torch.ones(schedule.T + 1, dtype=torch.float64), "bound": bound_weight(schedule)}
    found["min-SNR"] = min_snr_weight(schedule)
    for weight in found.values():
        weight[0] = 0
    return found


def gaussian_floor(schedule):
    """Compute the least loss of Gaussian data with the covariance of the training digits, per pixel, for each t."""
    pixels = load_digits("train")[0].flatten(1).double()
    variances = torch.linalg.eigvalsh(pixels.T.cov(correction=0)).clamp(min=0)
    varying = variances[variances > 1e-12]  # in the others the data do not vary, and the noise is seen exactly
    return sum(GaussianChain(schedule, 0.0, float(v) ** 0.5).least_loss() for v in varying) / len(variances)


def main():
    """Train, measure, write."""
    torch.set_num_threads(1)
    start, schedule = time.process_time(), linear_schedule()
    names = open_chapter(schedule)
    times = torch.arange(1, schedule.T + 1)
    names["grid_t"] = times
    least = [1 - names["average"](names["blobs"](names["x"], t) ** 2, t) for t in times.tolist()]
    found = {"least": torch.tensor(least).clamp(min=0), "digits' covariance": gaussian_floor(schedule)[1:]}
    for name, weight in weights_of(schedule).items():
        found[name] = names["above_floor"](names["trained"](weight))
        print(f"{name}: above the floor {float(found[name].mean()):.4f} on average", flush=True)
    record = train_digits.circumstances("study_weights.py") | {"seed": 0}
    record["cpu_seconds"] = round(time.process_time() - start, 1)
    record |= {name: [float(f"{value:.4g}") for value in values.tolist()] for name, values in found.items()}
    RECORD.write_text(json.dumps(record) + "\n", encoding="utf8")
    print(f"wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
