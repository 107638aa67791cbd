"""Train the same network as DDPM, by flow matching and as EDM, sample in few steps, and record the distances.

    python studies/study_flow.py [--out FOLDER] [--jobs N] [--only draw] [--recipe NAME]    (half an hour of one core)
    python studies/study_flow.py --errors [--out FOLDER] [--jobs N]                   (a quarter of an hour of one core)

The U-Net, the data and the budget are those of the chapter on training, and the recipes are those of the page on the
four trainings, whose cells a test compares with RECIPES. Each is trained with three seeds. From each averaged network
500 digits are drawn for each kind of step, choice of times and number of steps, and compared with the 500 held-out
digits: by the energy distance of the chapter on fewer steps, and by the Frechet distance in the features of a
classifier. Digits that already lie in FOLDER are not drawn again; `--only draw` stops there. Writes
book/results/flow.json, which also has the first digits of one seed. With `--recipe NAME`, only the runs of this recipe
are drawn and measured, and those of the others in the record stay as they are; each run names its processor. The
record's `commit` is that of the runs which name none; a newer run names its own.

All recipes train up to the same largest noise level, and all walks start there, so that no recipe has a longer first
step than another; the smallest level of the even flow times is a tenth of DDPM's, and EDM's is half of DDPM's. The
networks of one seed begin with the same weights, and their samples with the same noise.

With `--errors` the recipes are trained again for the other record, book/results/flow-errors.json: see
flow_errors.py.
"""

import argparse
import json
import math
import multiprocessing
import os
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.distributions import Normal

from ddpm_lite import (
    UNet,
    UNetConfig,
    ddim_step,
    heun_step,
    last,
    linear_schedule,
    precondition,
    respace,
    sample,
    schedule_from_levels,
    train,
    z_model,
)
from ddpm_lite.evaluate import features_of, frechet_distance, load_features
from ddpm_lite.files.pixels import from_bytes, to_bytes, to_hex
from ddpm_lite.files.records import name_processor
from ddpm_lite.files.weights import write_beside
from ddpm_lite.trainer import TrainConfig

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book" / "results" / "flow.json"
SEEDS = (0, 1, 2)
COUNT = 500  # digits drawn for each row
SHOWN = ("Euler, 5, even in tau", "Euler, 50, even in tau")  # of seed 0; the page shows the first eight digits
HEUN = ("Heun over nu", "Heun over tau")
WALKS = [("Euler", steps) for steps in (5, 10, 20, 50)] + [(kind, steps) for kind in HEUN for steps in (5, 10)]
UNET = UNetConfig(sample_size=8, channels=(16, 32), blocks=1)
CONFIG = {"steps": 800, "batch_size": 128, "lr": 4e-3, "warmup": 50}
PAPER = linear_schedule()
EVEN = PAPER.flow_time[-1] * torch.arange(1001, dtype=torch.float64) / 1000
STRAIGHT = schedule_from_levels(EVEN / (1 - EVEN))


def training_digits():
    """The digits of load_digits("train"), from the file that comes with the book."""
    rows = [row.split() for row in (ROOT / "book" / "digits.txt").read_text("utf8").splitlines() if row[0] != "#"]
    pixels = [[int(pixel, 17) for pixel in row[1]] for row in rows]
    return torch.tensor(pixels).float().reshape(-1, 1, 8, 8) / 8 - 1


STD = float(training_digits().std())  # of all pixels together, 0.753
GAUSS = Normal(-1.2, 1.2)  # EDM's logarithms of the noise level
MOST = GAUSS.icdf((torch.arange(900, dtype=torch.float64) + 0.5) / 900)
REST = torch.linspace(math.log(0.005), float(PAPER.noise_level[-1].log()), 100, dtype=torch.float64)
EDM = schedule_from_levels(torch.cat([torch.zeros(1), torch.cat([MOST, REST]).sort().values.exp()]))


def edm_weight(schedule):
    """EDM's weight of the squared error of z, times EDM's density of log nu over that of the schedule EDM."""
    nu = schedule.noise_level
    edm = GAUSS.log_prob(nu.log()).exp()
    return (1 + (nu / STD) ** 2) * edm / (0.9 * edm + 0.1 / (REST[-1] - REST[0]))


class FromF(torch.nn.Module):
    """The estimate of z by EDM's network F, which is given c_in y (eq-edm-denoiser)."""

    def __init__(self, F, schedule):
        super().__init__()
        self.F, self.schedule = F, schedule

    def forward(self, x_t, t, context=None):
        nu = self.schedule.noise_level[t].reshape(-1, 1, 1, 1)
        c_skip, c_out, c_in = precondition(nu, STD)
        y = x_t * (1 + nu**2).sqrt()
        D = c_skip * y + c_out * self.F((c_in * y).float(), t)
        return ((y - D) / nu).float()


def flow_weight(schedule):
    """From the squared error of z to that of u (eq-flow-error)."""
    return (1 - schedule.flow_time) ** -2


RECIPES = {
    "DDPM": (PAPER, "z", None),
    "DDPM, uniform tau": (STRAIGHT, "z", None),
    "flow matching": (STRAIGHT, "flow", flow_weight),
    "EDM": (EDM, "F", edm_weight),
}
CONTROLS = {  # each changes one thing of a recipe; see study_output.py
    "DDPM, output u": (PAPER, "flow", None),
    "uniform tau, weight of the flow": (STRAIGHT, "z", flow_weight),
}
ALL = RECIPES | CONTROLS


def heun_over_tau(schedule, x_t, t, s, z_hat, noise, *, ask):
    """Heun's step over the flow time, as DDIM's step with another share of the second estimate (eq-heun-flow).

    The formula holds without clipping. Here the image is clipped once, after the average, so where something is clipped
    this is not exactly the step that takes the mean of two slopes.
    """
    place = ddim_step(schedule, x_t, t, s, z_hat, noise)
    if s == 0:
        return place
    fraction = (1 + schedule.numbers.noise_level[s]) / (1 + schedule.numbers.noise_level[t])
    return ddim_step(schedule, x_t, t, s, z_hat + fraction * (ask(place, s) - z_hat) / 2, noise)


STEPS = {"Euler": ddim_step, "Heun over nu": heun_step, "Heun over tau": heun_over_tau}


def choose(schedule, levels):
    """Re-space a schedule to the times whose noise levels are nearest to these."""
    times = (schedule.noise_level[None] - levels[:, None]).abs().argmin(1)
    return schedule_from_levels(schedule.noise_level[times], times)


def walks_of(schedule, steps):
    """The walks whose times are even in the paper's t, and even in the flow time."""
    tau = schedule.flow_time[-1] * torch.arange(steps + 1, dtype=torch.float64) / steps
    return {
        "even in t": choose(schedule, respace(PAPER, steps).noise_level),
        "even in tau": choose(schedule, tau / (1 - tau)),
    }


def name_commit():
    """Name the commit whose code runs; drawing needs no more of git."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def make_network(recipe, seed=0):
    """Make the network of a recipe, an estimate of z, before any training."""
    schedule, predicts, _ = ALL[recipe]
    torch.manual_seed(seed)
    unet = UNet(UNET)
    return FromF(unet, schedule) if predicts == "F" else z_model(unet, schedule, predicts)


def fit(recipe, seed, config=CONFIG):
    """Train one network. Returns the averaged one, the losses and the norms of the gradients after clipping."""
    schedule, _, weight = ALL[recipe]
    network, losses, norms = make_network(recipe, seed), [], []
    for state in train(network, schedule, training_digits(), TrainConfig(seed=seed, **config), weight=weight):
        losses.append(state.loss)
        norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in state.model.parameters()])))
        if state.step % 100 == 0:
            print(f"{recipe}, seed {seed}: step {state.step}, loss {sum(losses[-100:]) / 100:.4f}", flush=True)
    return state.ema_model, losses, norms


def describe_run(recipe, seed, start, losses):
    """Describe a finished training."""
    told = {"recipe": recipe, "seed": seed, "cpu_seconds": round(time.process_time() - start, 1)}
    told |= {"loss": round(sum(losses[-100:]) / 100, 5), "hardware": name_processor(), "torch": torch.__version__}
    return told | {"commit": name_commit()}


def draw(job):
    """Train one network, sample from it, and keep the digits as bytes."""
    path, recipe, seed = job
    torch.set_num_threads(1)
    start, schedule = time.process_time(), RECIPES[recipe][0]
    network, losses, _ = fit(recipe, seed)
    drawn = {}
    for kind, steps in WALKS:
        for times, walk in walks_of(schedule, steps).items():
            walked = sample(network, walk, (COUNT, 1, 8, 8), step=STEPS[kind], seed=seed)
            drawn[f"{kind}, {steps}, {times}"] = to_bytes(last(walked)[1])
    with write_beside(path) as unfinished:
        save_file(drawn, unfinished, {"run": json.dumps(describe_run(recipe, seed, start, losses))})


def measures():
    """The training digits of the chapter on fewer steps, and with what digits are compared."""
    import train_digits  # with what it needs, only now: drawing works without

    chapter = train_digits.recipe(ROOT / "book" / "11_fewer_steps.ipynb", "measure")
    return chapter["images"], chapter["unseen"], chapter["distance"], load_features("digits")


def describe_study(command):
    """Describe the command, the machine and the training."""
    import train_digits

    record = train_digits.circumstances(command) | {"hardware": None, "seeds": list(SEEDS), "training": CONFIG}
    return record | {"images": COUNT, "cpu_seconds": None}


def compare(x_0, unseen, distance, net):
    """The two distances of digits from the held-out ones."""
    features = [features_of(net, images) for images in (x_0, unseen)]
    return {"energy": round(distance(x_0, unseen), 5), "frechet": round(frechet_distance(*features), 4)}


def measure(path, *how):
    """Measure every walk of a finished run."""
    with safe_open(path, framework="pt") as file:
        run, rows = json.loads(file.metadata()["run"]), []
        for name in file.keys():  # noqa: SIM118 (it is no dictionary)
            kind, steps, times = name.split(", ")
            evaluations = int(steps) if kind == "Euler" else 2 * int(steps) - 1
            row = {"step": kind, "steps": int(steps), "evaluations": evaluations, "times": times}
            digits = file.get_tensor(name)
            row |= compare(from_bytes(digits), *how)
            if run["seed"] == SEEDS[0] and name in SHOWN:
                row["shown"] = to_hex(from_bytes(digits[:8]))
            rows.append(row)
    return run | {"rows": sorted(rows, key=lambda row: (row["step"], row["times"], row["steps"]))}


def main():
    """Draw what is missing, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "flow", help="a folder for finished runs")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--only", choices=["draw"], help="do not measure")
    parser.add_argument("--recipe", choices=list(RECIPES), help="draw and measure this one, and keep the others' runs")
    parser.add_argument("--errors", action="store_true", help="train again, and record the errors by noise level")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.errors:
        import flow_errors  # which needs the names of this file

        flow_errors.record_errors(asked.out, asked.jobs)
        return
    names = {
        asked.out / f"{recipe}-{seed}.safetensors".replace(" ", "-"): (recipe, seed)
        for seed, recipe in product(SEEDS, [asked.recipe] if asked.recipe else RECIPES)
    }
    jobs = [(path, *job) for path, job in names.items() if not path.exists()]
    with ProcessPoolExecutor(asked.jobs, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(draw, jobs))
    if asked.only:
        return
    images, *how = measures()
    runs = [measure(path, *how) for path in names]
    if asked.recipe:
        write(keep_others(json.loads(RECORD.read_text(encoding="utf8")), runs))
        return
    real = [compare(images[first : first + COUNT], *how) for first in (0, 400, 797)]
    write(describe_study("study_flow.py") | {"real": real, "runs": runs})


def keep_others(record, runs):
    """Replace the runs of these recipes in the record."""
    new = {run["recipe"] for run in runs}
    return record | {"runs": [run for run in record["runs"] if run["recipe"] not in new] + runs}


def write(record, path=RECORD, seconds=0.0):
    """Write the record, with its processors and the seconds of all its runs, to which those of measuring are added."""
    processors = " and ".join(dict.fromkeys(run["hardware"] for run in record["runs"]))
    record["hardware"] = f"{processors}, one thread for each training, no GPU"
    record["cpu_seconds"] = round(sum(run["cpu_seconds"] for run in record["runs"]) + seconds, 1)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
