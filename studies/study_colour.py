"""Train a small network on emoji in colour, with their names as the condition, and measure what it draws by name.

    python studies/study_colour.py [--keep FOLDER] [--data FOLDER]     (a quarter of an hour of one core)

Every tenth emoji is held out: it is not trained on, but each word of its name is in at least two training names. Then
the network draws one picture for each held-out name, and for as many training names. Recorded are the distance of each
from the nearest training picture, beside that of the held-out pictures, and the rank of the picture that was asked for
among all pictures, by their distance from the sample. A third measure is whether things of one shape get the colour
that the name says. Writes book/results/colour.json, and colour.safetensors with the pictures that the chapter shows.
The emoji are Twemoji's, copyright Twitter, Inc. and other contributors, CC BY 4.0, shrunk to 16x16 pixels.
"""

import argparse
import hashlib
import json
import re
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
import train_digits
from safetensors.torch import save_file

from ddpm_lite import TrainConfig, UNet, UNetConfig, ddim_step, guided, last, linear_schedule, respace, sample
from ddpm_lite.bound import min_snr_weight
from ddpm_lite.condition import ConditionalUNet, NameEncoder
from ddpm_lite.data import load_emoji
from ddpm_lite.evaluate import nearest
from ddpm_lite.files.pixels import from_bytes, to_bytes
from ddpm_lite.runs.fit import fit

RECORD = train_digits.RESULTS / "colour.json"
PICTURES = train_digits.RESULTS / "colour.safetensors"
SIDE = 16
HELD_OUT = 0.1  # share of the emoji that are not trained on
LEAST = 2  # training names in which each word of a held-out name occurs
STEPS = 5000  # at a constant learning rate
COOL = 750  # after these, in which it falls to 0 along a cosine
EVERY = 250  # steps from one checkpoint to the next
CONFIG = TrainConfig(steps=STEPS, batch_size=32, lr=2e-3, warmup=100, ema_decay=0.999, label_dropout=0.15)
COOLING = replace(CONFIG, steps=COOL, warmup=0, lr_decay="cosine", seed=1)
UNET = UNetConfig(SIDE, 3, (24, 48, 48), 1, (1, 2), context_dim=48)
SCHEDULE = linear_schedule()
WALK = 25  # DDIM steps of a sample
SCALE = 1.5  # of guidance, the paper's w
SHOWN = 8  # pictures of each kind that the chapter shows
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "brown", "black", "white")
THINGS = ("circle", "square", "heart")
EACH = 4  # samples of each thing in each colour
PEOPLE = {"man", "woman", "person", "people", "men", "women", "boy", "girl", "child", "family", "face"}
INVENTED = ("blue apple", "green cat", "red tree", "yellow car", "purple fish", "red moon", "green horse", "blue sun")


def split_words(name):
    """The set of words of a name, as the encoder reads them."""
    return set(re.findall(r"[\w#*]+", name.lower()))


def shuffle(names):
    """Sort names by their SHA-256, which has nothing to do with their meaning."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def hold_out(names):
    """Choose the names that are not trained on, of which every word still occurs in LEAST others."""
    left, held_out = Counter(word for name in names for word in split_words(name)), []
    for name in shuffle(names):
        if len(held_out) < HELD_OUT * len(names) and all(left[word] > LEAST for word in split_words(name)):
            held_out.append(name)
            left.subtract(split_words(name))
    return held_out


def make_model(names):
    """Build the network for these training names."""
    torch.manual_seed(0)
    return ConditionalUNet(UNet(UNET), NameEncoder(names, UNET.context_dim))


def train_on(images, names, folder):
    """Train on these emoji into a folder, where a stopped run goes on; return the averaged network and the seconds."""
    clock, start = folder / "seconds.txt", time.process_time()
    folder.mkdir(parents=True, exist_ok=True)
    before = float(clock.read_text(encoding="utf8")) if clock.exists() else 0.0

    def note(state):
        if state.step % EVERY == 0:
            clock.write_text(f"{before + time.process_time() - start:.1f}", encoding="utf8")

    for config, part, origin in ((CONFIG, "constant", None), (COOLING, "cooling", folder / "constant")):
        model = make_model(names)
        options = {"labels": torch.arange(len(names)), "none": model.none, "weight": min_snr_weight, "on_step": note}
        state = fit(model, SCHEDULE, images, config, folder / part, start_from=origin, every=EVERY, **options)
    return state.ema_model, float(clock.read_text(encoding="utf8"))


def draw(model, names, seed):
    """Draw a picture for each name, with guidance."""
    encoder = model.encoder
    strong = guided(model.unet, SCALE, encoder.embed([""])[0].detach())
    short, shape, context = respace(SCHEDULE, WALK), (len(names), 3, SIDE, SIDE), encoder.embed(names)
    return last(sample(strong, short, shape, step=ddim_step, context=context, seed=seed))[1]


def rank(x, images, own):
    """The rank of image own[n] among all images, by the distance from x[n]; 1 is the nearest."""
    far = torch.cdist(x.flatten(1), images.flatten(1))
    return (far < far.gather(1, own[:, None])).sum(1) + 1


def measure_colours(model, images, names, unseen):
    """Ask for each thing in each colour; count the samples that are nearest to the right one of its kind."""
    rows = []
    for thing in THINGS:
        kinds = [f"{colour} {thing}" for colour in COLOURS if f"{colour} {thing}" in names]
        real = images[[names.index(name) for name in kinds]]
        for name in kinds:
            order = rank(draw(model, [name] * EACH, 1), real, torch.full((EACH,), kinds.index(name)))
            right = int((order == 1).sum())
            rows.append(
                {"name": name, "held out": name in unseen, "right": right, "samples": EACH, "kinds": len(kinds)}
            )
    return rows


@torch.no_grad()
def measure(model, images, names, unseen):
    """Draw seen and unseen names; return what the record holds, and the pictures that are shown."""
    trained = [name for name in shuffle(names) if name not in unseen]
    training = images[[names.index(name) for name in trained]]
    known = Counter(word for name in trained for word in split_words(name))
    groups = {"held out": unseen, "seen": trained[: len(unseen)]}
    found, shown = {}, {}
    for group, asked in groups.items():
        own = torch.tensor([names.index(name) for name in asked])
        x = draw(model, asked, 0)
        found[group] = {
            "names": asked[:SHOWN],
            "rarest words": [min(known[word] for word in split_words(name)) for name in asked],
            "people": [int(not split_words(name).isdisjoint(PEOPLE)) for name in asked],
            "ranks": rank(x, images, own).tolist(),
            "ranks of another": rank(x, images, own.roll(1)).tolist(),  # as if the name had no influence
            "distances": [round(float(d), 4) for d in nearest(x, training)[0]],
            "own distances": [round(float(d), 4) for d in (x - images[own]).square().mean((1, 2, 3)).sqrt()],
        }
        shown |= {group: x[:SHOWN], f"{group} real": images[own[:SHOWN]]}
    real = images[[names.index(name) for name in unseen]]
    found["held-out pictures"] = {"distances": [round(float(d), 4) for d in nearest(real, training)[0]]}
    shown["invented"] = draw(model, list(INVENTED), 0)
    return found | {"invented": INVENTED, "colours": measure_colours(model, images, names, set(unseen))}, shown


def main():
    """Train on the emoji that are not held out, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", type=Path, help="a folder for the run, which goes on there if it was stopped")
    parser.add_argument("--data", type=Path, help="a folder with the two archives; by default they are downloaded")
    arguments = parser.parse_args()
    images, names = load_emoji(SIDE, folder=arguments.data)
    unseen = hold_out(names)
    seen = [i for i, name in enumerate(names) if name not in set(unseen)]
    model, seconds = train_on(images[seen], [names[i] for i in seen], arguments.keep or Path(tempfile.mkdtemp()))
    start = time.process_time()
    found, shown = measure(model.eval(), from_bytes(images), list(names), unseen)
    record = train_digits.circumstances("study_colour.py") | {
        "pictures": "Twemoji 16.0.1, copyright Twitter, Inc. and other contributors, CC BY 4.0, shrunk to 16x16 pixels",
        "emoji": len(names),
        "training": len(seen),
        "weights": sum(weight.numel() for weight in model.parameters()),
        "words": len(model.encoder.words),
        "steps": STEPS + COOL,
        "batch_size": CONFIG.batch_size,
        "seed": CONFIG.seed,
        "walk": WALK,
        "scale": SCALE,
        "training_seconds": seconds,
        "sampling_seconds": round(time.process_time() - start, 1),
    }
    RECORD.write_text(json.dumps(record | found, indent=1) + "\n", encoding="utf8")
    save_file({name: to_bytes(x).contiguous() for name, x in shown.items()}, PICTURES)
    print(f"wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
