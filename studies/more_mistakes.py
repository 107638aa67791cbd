"""Record what more the study of mistakes measures: other first weights, other draws, the contrast, and the hunt.

The options `--weights`, `--draws`, `--contrast` and `--hunt` of `study_mistakes.py`, which says what they are. The
first three add to the record book/results/mistakes.json, and the hunt has its own, mistakes-hunt.json.
"""

import json
import time

import mistakes
import study_mistakes
import torch
from safetensors.torch import load_file, save_file

from ddpm_lite import load_digits
from ddpm_lite.cli.report import describe_circumstances
from ddpm_lite.files.pixels import to_bytes
from ddpm_lite.files.records import name_processor

OTHER = (1, 2, 3)  # seeds of the first weights of three more right runs, whose draws are those of seed 0
DRAWS = (2, 3, 4)  # more seeds of sampling; the samples of all rows have seed 1
FACTORS = (1.0, 1.03, 1.06, 1.09)  # by which the right samples are multiplied
STRONG = ", w = 3"  # ends the name of a row that is sampled with this guidance
ALPHA = mistakes.MISTAKES["alpha-for-alpha-bar"]
HUNTED = {  # the two mistakes of the hunt, both in the sampler: the right line and the wrong one
    "alpha-for-alpha-bar": (ALPHA.right, ALPHA.wrong),
    "label-not-passed": ("z_hat = model(x, told, label)", "z_hat = model(x, told)"),
}
HUNT = {  # the program of the hunt as it was found, and after each mended line: its mistakes
    "as found": ("alpha-for-alpha-bar", "label-not-passed"),
    "one mended": ("label-not-passed",),
    "both mended": (),
}


def record_weights(images, labels):
    """Train the right program from other first weights, with the draws of seed 0, and add the losses to the record."""
    target = study_mistakes.RESULTS / "mistakes.json"
    table = json.loads(target.read_text(encoding="utf8"))
    torch.set_num_threads(1)
    start, program = time.process_time(), mistakes.load_program()
    found = {
        str(seed): study_mistakes.take_means(study_mistakes.train(program, images, labels, weights=seed)[1])
        for seed in OTHER
    }
    table["other_weights"] = {
        "command": "python studies/study_mistakes.py --weights",
        "hardware": f"{name_processor()}, one thread, no GPU",
        "torch": torch.__version__,
        "seconds": f"{time.process_time() - start:.0f}",
        "losses": found,
    }
    target.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def list_draws():
    """The programs that share the training of the right one, with that whose distance they are compared with."""
    alone = [
        key for key, mistake in mistakes.MISTAKES.items() if mistake.part == "sampling" or "average" in mistake.found
    ]
    guided, strong = "right, guided", f"right{STRONG}"
    usual = {key: guided if key == "guidance-plus-one" else study_mistakes.RIGHT[0] for key in alone}
    return dict.fromkeys((study_mistakes.RIGHT[0], guided, strong)) | usual | {f"no-clip{STRONG}": strong}


def look_outside(x_0):
    """The share of the pixels that left [-1, 1] by more than 0.001, and the largest magnitude of a pixel."""
    size = x_0.abs()
    return {"outside": round(float((size > 1.001).double().mean()), 3), "largest": round(float(size.max()), 3)}


def record_draws(folder, images, labels):
    """Sample the programs that share the right one's training with other seeds, and add what is seen to the record."""
    target = study_mistakes.RESULTS / "mistakes.json"
    table = json.loads(target.read_text(encoding="utf8"))
    torch.set_num_threads(1)
    start, found = time.process_time(), {}
    for key, usual in list_draws().items():
        trained = key if key == "no-warm-up" else study_mistakes.RIGHT[0]
        if not (folder / f"{trained}.safetensors").exists():
            study_mistakes.work(trained, folder, images, labels)
        program, network = study_mistakes.load(key.removesuffix(STRONG)), study_mistakes.load_network(folder, trained)
        w = 3.0 if key.endswith(STRONG) else float("right, guided" in (key, usual))
        samples = [study_mistakes.draw(program, network, w, seed) for seed in (1, *DRAWS)]
        found[key] = [study_mistakes.judge(x_0) | look_outside(x_0) for x_0 in samples]
        print(key, found[key], flush=True)
    table["other_draws"] = {
        "command": "python studies/study_mistakes.py --out runs/mistakes --draws",
        "hardware": f"{name_processor()}, one thread, no GPU",
        "torch": torch.__version__,
        "seconds": f"{time.process_time() - start:.0f}",
        "seeds": [1, *DRAWS],
        "compared_with": {key: usual for key, usual in list_draws().items() if usual},
        "rows": {key: {name: [row[name] for row in rows] for name in rows[0]} for key, rows in found.items()},
    }
    target.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def measure_contrast(x_0):
    """The standard deviation of a pixel over the images, on average over the pixels."""
    return round(float(x_0.std(dim=0).mean()), 4)


def record_contrast(folder, images, labels):
    """Add to the record which contrast the samples have, and what more of it does to the right program's distance."""
    target = study_mistakes.RESULTS / "mistakes.json"
    table = json.loads(target.read_text(encoding="utf8"))
    torch.set_num_threads(1)
    found = {"held out": measure_contrast(load_digits("test")[0])}
    for key in (study_mistakes.RIGHT[0], "half-tables", "unscaled-betas"):
        if not (folder / f"{key}.safetensors").exists():
            study_mistakes.work(key, folder, images, labels)
        found[key] = measure_contrast(load_file(folder / f"{key}.safetensors")["samples"])
    right = load_file(folder / f"{study_mistakes.RIGHT[0]}.safetensors")["samples"]
    network = study_mistakes.load_network(folder, study_mistakes.RIGHT[0])
    half = study_mistakes.draw(study_mistakes.load("half-tables"), network)
    table["contrast"] = {
        "command": "python studies/study_mistakes.py --out runs/mistakes --contrast",
        "hardware": f"{name_processor()}, one thread, no GPU",
        "torch": torch.__version__,
        "deviation": found,
        "distance": {str(factor): study_mistakes.judge(factor * right)["distance"] for factor in FACTORS},
        "right network, half-tables": study_mistakes.judge(half)["distance"],
    }
    target.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")


def record_hunt(images, labels):
    """Train the program of the hunt once, since its mistakes are in its sampler, and sample after each mended line."""
    torch.set_num_threads(1)
    start, rows, shown = time.process_time(), {}, {}
    network, losses = study_mistakes.train(mistakes.load_program(*HUNTED.values()), images, labels)
    for name, keys in HUNT.items():
        samples = study_mistakes.draw(mistakes.load_program(*map(HUNTED.get, keys)), network)
        rows[name] = {"changes": [list(HUNTED[key]) for key in keys], "losses": study_mistakes.take_means(losses)}
        rows[name] |= study_mistakes.judge(samples)
        shown[name] = to_bytes(samples[: study_mistakes.KEPT])
        print(name, {key: rows[name][key] for key in ("distance", "as_asked")}, flush=True)
    table = {"command": "python studies/study_mistakes.py --hunt"} | describe_circumstances(torch.device("cpu"))
    table |= {
        "hardware": f"{name_processor()}, one thread, no GPU",
        "seconds": f"{time.process_time() - start:.0f}",
        "seed": 0,
        "steps": study_mistakes.STEPS,
        "batch": study_mistakes.BATCH,
        "rate": study_mistakes.RATE,
        "count": study_mistakes.COUNT,
        "rows": rows,
    }
    target = study_mistakes.RESULTS / "mistakes-hunt.json"
    target.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
    save_file(shown, str(target.with_suffix(".safetensors")))
