"""Train and sample the tutorial with each of its mistakes, and record what one would see: loss, samples, distance.

    python studies/study_mistakes.py --jobs 2 --out runs/mistakes     train and sample, where it is not done yet
    python studies/study_mistakes.py --out runs/mistakes --only right,_cosine no-time     train and sample these alone
    python studies/study_mistakes.py --out runs/mistakes --record     write book/results/mistakes.json and .safetensors
    python studies/study_mistakes.py --weights     train the right program from other first weights
    python studies/study_mistakes.py --out runs/mistakes --draws     sample the same networks with other seeds
    python studies/study_mistakes.py --out runs/mistakes --contrast     measure the contrast of three programs' samples
    python studies/study_mistakes.py --hunt     write book/results/mistakes-hunt.json and .safetensors

Each program trains for 1,000 steps of 128 digits with the same seed, so unless its mistake changes a draw, its batches,
times and noise are those of the right program with seed 0. What is left of chance is that of the first weights: three
more right runs have the same draws and other first weights. A mistake of the sampler uses the weights of the
right program, and one of the average its training, so what is left of chance is that of sampling: three more seeds draw
500 samples from the right program and from each of these, in pairs with the same seed; these samples are also asked
how far their pixels leave [-1, 1], and the clip is drawn with stronger guidance, too. Two mistakes lower the distance,
so the contrast of their samples is measured, and the distance of right samples with more contrast. The distance is
that of 500 samples, each label 50 times, from the 500 held-out digits; the row "right" is there with three seeds,
which say how much of a difference is chance, and once with the capped cosine schedule. The exact part propagates mean
and variance of data N(0.3, 0.2^2) through the steps that `read_steps` finds, with the best network for what the
program's own training sees. A row whose samples are not in the folder keeps what the record has; one that was trained
again says where and for how long. The hunt has one program with two mistakes of its sampler at once, of which
the second is none of these rows: it is trained once, and sampled as it was found, with one line mended, and with both.
The last four options are in more_mistakes.py.
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

from ddpm_lite import load_digits
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
CAPPED = "right, cosine"
KEYS = (*RIGHT, CAPPED, *mistakes.MISTAKES)
MAPPED = {"zero-to-one": "zero-to-one, as 2 x - 1"}  # samples that are judged a second time, moved to [-1, 1]


def needs_training(key):
    """Mistakes of the sampler, and buffers that hold constants, leave the weights as they are."""
    return key not in mistakes.MISTAKES or (mistakes.MISTAKES[key].part != "sampling" and key != "buffers-averaged")


def load(key, *more):
    """The program of a row, with more lines replaced."""
    if key in mistakes.MISTAKES:
        return mistakes.load_wrong(key, *more)
    return mistakes.load_program(*[mistakes.COSINE] * (key == CAPPED), *more)


def load_unclipped(key):
    """The program of a row without its clip, which would bend the weights of a step whose estimate is wrong."""
    there = key not in mistakes.MISTAKES or mistakes.MISTAKES[key].right != mistakes.CLIP
    return load(key, *[(mistakes.CLIP, "pass")] * there)


def train(program, images, labels, seed=0, steps=STEPS, weights=None):
    """Train the program's network as its functions say; return the average's network and the losses.

    With `weights` the first weights have this seed, and all later draws are still those of `seed`.
    """
    torch.manual_seed(seed)
    model = program.Network()
    if weights is not None:
        later = torch.get_rng_state()
        torch.manual_seed(weights)
        model = program.Network()
        torch.set_rng_state(later)
    average = deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    x = program.scale_images(images)
    losses = []
    for step in range(1, steps + 1):
        chosen = torch.randint(len(x), (BATCH,))
        losses.append(program.train_step(model, average, optimizer, x[chosen], labels[chosen], step))
    return average.eval(), torch.tensor(losses)


def draw(program, network, w=0.0, seed=1):
    """Sample digits, the labels in turn."""
    torch.manual_seed(seed)
    return program.sample(network, (COUNT, 1, 8, 8), torch.arange(COUNT) % 10, w)


def load_network(folder, key):
    """The average's network of a program that was trained."""
    network, trained = mistakes.load_program().Network(), load_file(folder / f"{key}.safetensors")
    network.load_state_dict({name[2:]: value for name, value in trained.items() if name.startswith("w.")})
    return network.eval()


def work(key, folder, images, labels):
    """Train if the mistake needs it, sample, and write both into the folder, with the processor that did it."""
    torch.set_num_threads(1)
    program, start = load(key), time.process_time()
    if not needs_training(key):
        network, found = load_network(folder, RIGHT[0]), {}
    else:
        network, losses = train(program, images, labels, int(key[-1]) if key in RIGHT else 0)
        found = {"losses": losses} | {f"w.{name}": value for name, value in network.state_dict().items()}
    found["samples"] = draw(program, network, 1.0 if key == "guidance-plus-one" else 0.0)
    if key == RIGHT[0]:
        found["guided"] = draw(program, network, 1.0)
    seconds = f"{time.process_time() - start:.0f}"  # of the processor, since the machine may do other things, too
    made_by = {"hardware": name_processor(), "torch": torch.__version__, "seconds": seconds}
    save_file({name: value.contiguous() for name, value in found.items()}, folder / f"{key}.safetensors", made_by)
    print(key, flush=True)


def read_maker(folder, key):
    """Where a program was trained and sampled, as its file says; None where there is no file."""
    path = folder / f"{key}.safetensors"
    if not path.exists():
        return None
    with safe_open(path, "pt") as stored:
        found = dict(sorted((stored.metadata() or {}).items()))
    if not {"hardware", "torch"} <= set(found):
        raise ValueError(f"folder: expected files that name their processor, got {path}; run the study again")
    return found


def read_circumstances(folder, old=None):
    """Where the programs were trained and sampled: those of the old record, and for each row made since its own."""
    made = {key: maker for key in KEYS if (maker := read_maker(folder, key))}
    if len(made) < len(KEYS) and old is None:
        raise ValueError(f"folder: expected all {len(KEYS)} programs, got {len(made)}; run the study without --record")
    if len(made) < len(KEYS):
        kept = {name: old[name] for name in ("hardware", "hardware_source", "torch", "commit")}
        again = {key: maker | {"hardware": f"{maker['hardware']}, one thread, no GPU"} for key, maker in made.items()}
        return kept | {"made_since": old.get("made_since", {}) | again}
    names, versions = ([*dict.fromkeys(each[name] for each in made.values())] for name in ("hardware", "torch"))
    return {
        "hardware": f"{', '.join(names)}, one thread for each program, no GPU",
        "hardware_source": "stored with the samples of each program",
        "torch": ", ".join(versions),
    }


def take_means(losses):
    """The mean loss of each 50 steps, rounded."""
    return [round(loss, 4) for loss in losses.reshape(-1, EVERY).mean(dim=1).tolist()]


def judge(x_0):
    """Distance and share of labels as asked; None where the samples are not finite."""
    if not torch.isfinite(x_0).all():
        return {"distance": None, "as_asked": None}
    net, held_out = load_features("digits"), load_digits("test")[0]
    distance = frechet_distance(features_of(net, held_out), features_of(net, x_0.clamp(-1, 1)))
    share = class_agreement(net, x_0.clamp(-1, 1), torch.arange(len(x_0)) % 10)
    return {"distance": round(distance, 3), "as_asked": round(share, 3)}


def follow(program):
    """Mean and deviation of the end of the chain on Gaussian data, exactly; None where a step is not finite.

    The program should not clip, because the weights of the steps hold as long as nothing is clipped. The network is the
    best one for the x_t that the program's own training makes: x_0_hat = `shrink` x_t + `shift`, and
    z_hat = `slope` x_t + `offset`.
    """
    alpha_bar, told_bar = read_tables({"beta": program.BETA})[1], program.ALPHA_BAR.double()

    def answer(t):
        signal, rest = float(told_bar[t]) ** 0.5, 1 - float(told_bar[t])
        kept = signal * STD**2 / (signal**2 * STD**2 + rest)  # the posterior mean is mean + kept (x_t - signal mean)
        slope = (1 - signal * kept) / rest**0.5
        return kept, MEAN * (1 - kept * signal), slope, -slope * signal * MEAN

    torch.manual_seed(0)
    steps = read_steps(*walk(program.sample, (4, 1, 8, 8), alpha_bar, 1, 0.2), alpha_bar, first=1)
    mean, variance = 0.0, 1.0
    for step in steps:
        t, told = (min(max(time, 1), len(alpha_bar) - 1) for time in (step.t, step.told))
        shrink, shift, slope, offset = answer(told)
        if told != t:  # the sampler turns z_hat into an estimate with the tables of its own time
            signal, rest = float(alpha_bar[t]) ** 0.5, float(1 - alpha_bar[t]) ** 0.5
            shrink, shift = (1 - rest * slope) / signal, -rest * offset / signal
        mean = (step.weight_x_t + step.weight_x_0 * shrink) * mean + step.weight_x_0 * shift
        variance = (step.weight_x_t + step.weight_x_0 * shrink) ** 2 * variance + step.sigma**2
    if not steps or steps[-1].s != 0:
        return None
    return [round(mean, 4), round(variance**0.5, 4)]


def describe(key, folder, images, old):
    """One row: what the mistake is, which checks name it, and what one sees; a row without samples keeps the old."""
    row, path, program = {}, folder / f"{key}.safetensors", load(key)
    if path.exists():
        stored = load_file(path)
        row = judge(stored["samples"])
        row["losses"] = take_means(stored["losses"]) if "losses" in stored else None
    else:
        row = {name: old[key][name] for name in ("distance", "as_asked", "losses")}
    row["chain"] = None
    if key not in mistakes.MISTAKES or mistakes.MISTAKES[key].part in ("sampling", "schedule"):
        row["chain"] = follow(load_unclipped(key))
    if key in mistakes.MISTAKES:
        mistake = mistakes.MISTAKES[key]
        row = {name: getattr(mistake, name) for name in ("name", "part", "found", "right", "wrong")} | row
        found = [each for each in examine(**mistakes.list_parts(program, images)) if each.note or not each.fine]
        row["says"] = next(each.text for each in found if each.check == mistake.found)
        row["lines"] = [str(each) for each in found]
    return row


def record(folder, images):
    from ddpm_lite.cli.report import describe_circumstances

    target = RESULTS / "mistakes.json"
    old = json.loads(target.read_text(encoding="utf8")) if target.exists() else None
    shown = load_file(RESULTS / "mistakes.safetensors") if old else {}
    rows = {key: describe(key, folder, images, old and old["rows"]) for key in KEYS}
    for key in KEYS:
        print(key, {name: rows[key][name] for name in ("distance", "as_asked", "chain")}, flush=True)
        path = folder / f"{key}.safetensors"
        if not path.exists():
            continue
        stored = load_file(path)
        more = {"right, guided": stored["guided"]} if "guided" in stored else {}
        if key in MAPPED:
            more[MAPPED[key]] = 2 * stored["samples"] - 1
        for name, samples in more.items():
            rows[name] = judge(samples) | {"losses": None, "chain": None}
        shown |= {name: to_bytes(x[:KEPT].nan_to_num(-1)) for name, x in {key: stored["samples"], **more}.items()}
    extra = ("right, guided", *MAPPED.values())
    rows |= {key: old["rows"][key] for key in extra if key not in rows and old and key in old["rows"]}
    table = {"command": "python studies/study_mistakes.py --out runs/mistakes --record"}
    table |= describe_circumstances(torch.device("cpu")) | read_circumstances(folder, old)
    kept = "other_weights", "other_draws", "contrast", "mutations"
    table |= {name: old[name] for name in kept if old and name in old}
    table |= {"steps": STEPS, "batch": BATCH, "rate": RATE, "count": COUNT, "program": mistakes.SOURCE, "rows": rows}
    target.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    save_file(shown, str(RESULTS / "mistakes.safetensors"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("runs/mistakes"))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--digits", type=Path, help="a file with images and labels, where scikit-learn is missing")
    parser.add_argument("--only", nargs="+", choices=[key.replace(" ", "_") for key in KEYS], help="rows")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--weights", action="store_true", help="train the right program from other first weights")
    parser.add_argument("--draws", action="store_true", help="sample the same networks with other seeds")
    parser.add_argument("--contrast", action="store_true", help="measure the contrast of three programs' samples")
    parser.add_argument("--hunt", action="store_true", help="one program with two mistakes, mended line by line")
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
    if asked.weights or asked.draws or asked.contrast or asked.hunt:
        import more_mistakes  # which needs the names of this file

        if asked.weights:
            return more_mistakes.record_weights(images, labels)
        if asked.draws:
            return more_mistakes.record_draws(asked.out, images, labels)
        if asked.contrast:
            return more_mistakes.record_contrast(asked.out, images, labels)
        return more_mistakes.record_hunt(images, labels)
    keys = [key.replace("_", " ") for key in asked.only] if asked.only else KEYS
    todo = [key for key in keys if not (asked.out / f"{key}.safetensors").exists()]
    do = partial(work, folder=asked.out, images=images, labels=labels)
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
        list(pool.map(do, [key for key in todo if needs_training(key)]))
        list(pool.map(do, [key for key in todo if not needs_training(key)]))
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
