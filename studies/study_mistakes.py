"""Train and sample the tutorial with each of its mistakes, and record what one would see: loss, samples, distance.

    python studies/study_mistakes.py --jobs 2 --out runs/mistakes     train and sample, where it is not done yet
    python studies/study_mistakes.py --out runs/mistakes --record     write book/results/mistakes.json and .safetensors

Each program trains for 1,000 steps of 128 digits with the same seed. A mistake of the sampler uses the weights of the
right program. The distance is that of 500 samples, each label 50 times, from the 500 held-out digits; the row "right"
is there with three seeds, which say how much of a difference is chance. The exact part propagates mean and variance of
data N(0.3, 0.2^2) through the steps that `read_steps` finds, with the best network of the right program.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import mistakes
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ddpm_lite import GaussianChain, Schedule, load_digits
from ddpm_lite.evaluate import class_agreement, features_of, frechet_distance
from ddpm_lite.files.features import load_features
from ddpm_lite.files.pixels import to_bytes
from ddpm_lite.files.records import name_processor
from ddpm_lite.runs.examine.listen import read_steps, walk
from ddpm_lite.runs.examine.program import examine
from ddpm_lite.runs.examine.tables import read_tables

RESULTS = Path(__file__).resolve().parent.parent / "book" / "results"
STEPS, BATCH, RATE, MEAN, STD = 1000, 128, 2e-3, 0.3, 0.2
COUNT, KEPT, EVERY = 500, 8, 50
RIGHT = ("right, seed 0", "right, seed 1", "right, seed 2")


def needs_training(key):
    """Mistakes of the sampler, and buffers that hold constants, leave the weights as they are."""
    return key in RIGHT or (mistakes.MISTAKES[key].part != "sampling" and key != "buffers-averaged")


def train(program, images, labels, seed=0, steps=STEPS):
    """Train the program's network as its functions say; return the average's network and the losses."""
    torch.manual_seed(seed)
    model = program.Network()
    average = deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    x = program.scale_images(images)
    losses = []
    for step in range(1, steps + 1):
        chosen = torch.randint(len(x), (BATCH,))
        x_t, t, z = program.make_batch(x[chosen])
        loss = (model(x_t, t, program.drop_labels(labels[chosen])) - z).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        program.update_average(average, model, step)
        losses.append(loss.item())
    return average.eval(), torch.tensor(losses)


def draw(program, network, w=0.0):
    """Sample digits, the labels in turn."""
    torch.manual_seed(1)
    return program.sample(network, (COUNT, 1, 8, 8), torch.arange(COUNT) % 10, w)


def work(key, folder, images, labels):
    """Train if the mistake needs it, sample, and write both into the folder, with the processor that did it."""
    torch.set_num_threads(1)
    program = mistakes.load_program() if key in RIGHT else mistakes.load_wrong(key)
    if not needs_training(key):
        network = mistakes.load_program().Network()
        trained = load_file(folder / f"{RIGHT[0]}.safetensors")
        network.load_state_dict({name[2:]: value for name, value in trained.items() if name.startswith("w.")})
        found = {}
    else:
        network, losses = train(program, images, labels, int(key[-1]) if key in RIGHT else 0)
        found = {"losses": losses} | {f"w.{name}": value for name, value in network.state_dict().items()}
    found["samples"] = draw(program, network, 1.0 if key == "guidance-plus-one" else 0.0)
    if key == RIGHT[0]:
        found["guided"] = draw(program, network, 1.0)
    made_by = {"hardware": name_processor(), "torch": torch.__version__}
    save_file({name: value.contiguous() for name, value in found.items()}, folder / f"{key}.safetensors", made_by)
    print(key, flush=True)


def read_circumstances(folder):
    """Where the programs were trained and sampled, as their files say."""
    found = []
    for key in (*RIGHT, *mistakes.MISTAKES):
        with safe_open(folder / f"{key}.safetensors", "pt") as stored:
            found.append(stored.metadata() or {})
    names, versions = ([*dict.fromkeys(each.get(name) for each in found)] for name in ("hardware", "torch"))
    if None in names + versions:
        raise ValueError(f"folder: expected files that name their processor, got {folder}; run the study again")
    return {
        "hardware": f"{', '.join(names)}, one thread for each program, no GPU",
        "hardware_source": "stored with the samples of each program",
        "torch": ", ".join(versions),
    }


def judge(x_0):
    """Distance and share of labels as asked; None where the samples are not finite."""
    if not torch.isfinite(x_0).all():
        return {"distance": None, "as_asked": None}
    net, held_out = load_features("digits"), load_digits("test")[0]
    distance = frechet_distance(features_of(net, held_out), features_of(net, x_0.clamp(-1, 1)))
    share = class_agreement(net, x_0.clamp(-1, 1), torch.arange(len(x_0)) % 10)
    return {"distance": round(distance, 3), "as_asked": round(share, 3)}


def follow(program, right):
    """Mean and deviation of the end of the chain on Gaussian data, exactly; None where a step is not finite.

    The weights of the steps hold as long as nothing is clipped. The network is the best one for the right program.
    """
    alpha_bar = read_tables({"beta": right.BETA})[1]
    slope, offset = GaussianChain(Schedule(right.BETA.double()), MEAN, STD).line()
    torch.manual_seed(0)
    steps = read_steps(*walk(program.sample, (4, 1, 8, 8), alpha_bar, 1, 0.2), first=1)
    mean, variance = 0.0, 1.0
    for step in steps:
        t = min(max(step.t, 1), len(alpha_bar) - 1)
        signal, rest = float(alpha_bar[t]) ** 0.5, float(1 - alpha_bar[t]) ** 0.5
        factor = step.weight_x_t + step.weight_x_0 / signal * (1 - rest * float(slope[t]))
        mean = factor * mean - step.weight_x_0 / signal * rest * float(offset[t])
        variance = factor**2 * variance + step.sigma**2
    if not steps or steps[-1].s != 0:
        return None
    return [round(mean, 4), round(variance**0.5, 4)]


def describe(key, folder, images, right):
    """One row: what the mistake is, which check names it, and what one sees."""
    stored = load_file(folder / f"{key}.safetensors")
    program = right if key in RIGHT else mistakes.load_wrong(key)
    row = judge(stored["samples"])
    losses = stored["losses"].reshape(-1, EVERY).mean(dim=1).tolist() if "losses" in stored else None
    row["losses"] = losses and [round(loss, 4) for loss in losses]
    row["chain"] = None
    if key in RIGHT or mistakes.MISTAKES[key].part in ("sampling", "schedule"):
        row["chain"] = follow(program, mistakes.load_program(mistakes.COSINE) if "cosine" in key else right)
    if key not in RIGHT:
        mistake = mistakes.MISTAKES[key]
        row = {name: getattr(mistake, name) for name in ("name", "part", "found", "right", "wrong")} | row
        found = [each for each in examine(**mistakes.list_parts(program, images)) if not each.fine]
        row["says"] = next(each.text for each in found if each.check == mistake.found)
        row["checks"] = [each.check for each in found]
    return row, stored["samples"][:KEPT]


def record(folder, images):
    from ddpm_lite.cli.report import describe_circumstances

    right, rows, shown = mistakes.load_program(), {}, {}
    for key in (*RIGHT, *mistakes.MISTAKES):
        rows[key], shown[key] = describe(key, folder, images, right)
        print(key, {name: rows[key][name] for name in ("distance", "as_asked", "chain")}, flush=True)
    guided = load_file(folder / f"{RIGHT[0]}.safetensors")["guided"]
    rows["right, guided"], shown["right, guided"] = judge(guided) | {"losses": None, "chain": None}, guided[:KEPT]
    table = {"command": "python studies/study_mistakes.py --out runs/mistakes --record"}
    table |= describe_circumstances(torch.device("cpu")) | read_circumstances(folder)
    table |= {"steps": STEPS, "batch": BATCH, "rate": RATE, "count": COUNT, "program": mistakes.SOURCE, "rows": rows}
    (RESULTS / "mistakes.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    pixels = {key: to_bytes(x.nan_to_num(-1)) for key, x in shown.items()}
    save_file(pixels, str(RESULTS / "mistakes.safetensors"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/mistakes"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--digits", type=Path, help="a file with images and labels, where scikit-learn is missing")
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.digits:
        stored = load_file(asked.digits)
        data, labels = stored["images"], stored["labels"]
    else:
        data, labels = load_digits("train")
    images = to_bytes(data).float()  # as a stranger's file has them
    start = time.perf_counter()
    if asked.record:
        return record(asked.out, images)
    keys = [*RIGHT, *mistakes.MISTAKES]
    todo = [key for key in keys if not (asked.out / f"{key}.safetensors").exists()]
    do = partial(work, folder=asked.out, images=images, labels=labels)
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
        list(pool.map(do, [key for key in todo if needs_training(key)]))
        list(pool.map(do, [key for key in todo if not needs_training(key)]))
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
