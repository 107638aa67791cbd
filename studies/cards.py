"""Write the model card of each model that comes with the package, from the records of its training and evaluation.

    python studies/cards.py

Writes ddpm_lite/pretrained/NAME.md. The descriptions of the data are written here, and each number is read from a
record. A test makes the cards again and compares them.
"""

import train_digits

from ddpm_lite.files.records import read_record
from ddpm_lite.files.weights import PRETRAINED

DIGITS = (
    "Optical Recognition of Handwritten Digits (E. Alpaydin and C. Kaynak, 1998; UCI Machine Learning Repository, "
    "CC BY 4.0): the 1,797 images of 8x8 pixels that come with scikit-learn. {held_out} of them were held out."
)
CLOTHES = (
    "Fashion-MNIST (H. Xiao, K. Rasul and R. Vollgraf, 2017; MIT licence, copyright Zalando SE): 60,000 training "
    "images of 28x28 grey pixels, made from photographs in a shop's catalogue. The {held_out:,} test images were held "
    "out."
)
MODELS = {  # name: what it generates, the data, and the limits
    "digits": (
        "Handwritten digits of 8x8 pixels, without labels: you cannot ask for a certain digit.",
        DIGITS,
        "Made for teaching. It generates digits of this size in these writers' hands only, and some samples are no "
        "digits.",
    ),
    "digits-by-label": (
        "Handwritten digits of 8x8 pixels, by label. Some labels were dropped in training, to allow guided sampling.",
        DIGITS,
        "Made for teaching. It generates digits of this size in these writers' hands only, and some samples show "
        "another digit than the label.",
    ),
    "fashion": (
        "Clothes of 28x28 pixels, by label. Some labels were dropped in training, to allow guided sampling.",
        CLOTHES,
        "Made for teaching, and trained on one processor core: prints and patterns are blotchy, and some samples are "
        "torn or do not match their label. The data show ten kinds of clothes from one shop's catalogue, so the model "
        "does not represent clothes or people in general.",
    ),
}
COLUMNS = {
    "frechet": "Fréchet distance",
    "kernel": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "agreement": "label agreement",
}


def write_row(name, numbers, spread=None):
    """One line of the table, with the spread after each mean."""
    cells = []
    for column in COLUMNS:
        cell = f"{numbers[column]:.3f}" if column in numbers else ""
        cells.append(cell + (f" ± {spread[column]:.3f}" if cell and spread else ""))
    return f"| {name} | " + " | ".join(cells) + " |"


def describe_larger_sample(name):
    """A sentence about the same measurement with more images, if there is one."""
    path = train_digits.RESULTS / f"evaluate-{name}-5000.json"
    if not path.exists():
        return ""
    found = read_record(path)
    mean, spread, real = found["mean"], found["spread"], found["floors"]["real"]
    return f"""
With {found["count"]:,} images for each seed, the Fréchet distance is {mean["frechet"]:.3f} ± {spread["frechet"]:.3f}
(real images: {real["frechet"]:.3f}), precision {mean["precision"]:.3f}, recall {mean["recall"]:.3f}. Command:
`{found["command"]}`.
"""


def describe_first(name):
    """A sentence about the model that the package shipped first under this name, if it was another one."""
    path = train_digits.RESULTS / f"evaluate-{name}-first.json"
    if not path.exists():
        return ""
    found = read_record(path)
    mean, spread = found["mean"], found["spread"]
    return f"""
The first model that came with the package under this name had a Fréchet distance of {mean["frechet"]:.3f} ±
{spread["frechet"]:.3f}, precision {mean["precision"]:.3f}, recall {mean["recall"]:.3f},
label agreement {mean["agreement"]:.3f}; 5 % of its samples are within {mean["nearest"]:.3f} of their nearest
training image. Its weights are kept in `book/results/{name}-first.safetensors`.
"""


def write_card(name):
    """The text of a model card."""
    what, data, limits = MODELS[name]
    run = read_record(train_digits.RESULTS / f"{name}.json")
    found = read_record(train_digits.RESULTS / f"evaluate-{name}.json")
    weights = PRETRAINED / f"{name}.safetensors"
    config = run["config"]
    recipe = f"{config['steps']:,} steps of {config['batch_size']} images, "
    recipe += f"{'Adam with ' if 'ideas' not in run else ''}learning rate {config['lr']:g}"
    recipe += "".join(f"; {idea}" for idea in run.get("ideas", ()))
    sampler = f"{found['steps']} steps of {found['sampler'].upper()}"
    sampler += f" with eta {found['eta']:g}" if found["eta"] else ""
    minutes = run.get("cpu_seconds", run["seconds"]) / 60
    return f"""# {name}

{what}
A denoising diffusion model (DDPM): a U-Net with {run["parameters"]:,} parameters that predicts the noise in an image.

```python
from ddpm_lite import load_pretrained

model, schedule = load_pretrained("{name}")
```

## Data

{data.format(held_out=found["held_out"])}

## Training

{recipe}, and an exponential moving average (EMA) of the weights with decay {config["ema_decay"]:g}; {run["schedule"]}.
The model saw {run["images_seen"]:,} images in {minutes:.1f} minutes of processor time
({run["hardware"]}; torch {run["torch"]}). Command: `{run.get("train", run["command"])}`.
The file holds the EMA weights in float16: {weights.stat().st_size / 1e6:.1f} MB.

## Quality

We sampled {found["count"]:,} images for each of {len(found["rows"])} seeds, with {sampler} and without guidance, and
compared them with {found["held_out"]:,} held-out real images in the features of a classifier that labels
{found["accuracy"]:.1%} of those correctly. Lower distances are better. The rows below the first measure images of
known quality in the same way, as a scale for comparison; the row "real" is a random choice of training images.

| | {" | ".join(COLUMNS.values())} |
|---|{"---|" * len(COLUMNS)}
{write_row("this model", found["mean"], found["spread"])}
{chr(10).join(write_row(other, numbers) for other, numbers in found["floors"].items())}

To check for memorisation: 5 % of these samples are within {found["mean"]["nearest"]:.3f} of their nearest training
image (root mean square over the pixels, which go from -1 to 1); 5 % of held-out real images are within
{found["floors"]["real"]["nearest"]:.3f}. Command: `{found["command"]}`.
{describe_larger_sample(name)}{describe_first(name)}
## Limits

{limits}

## Licence

The weights are MIT-licensed, like the code. The licence of the data is given above.
"""


def main():
    """Write all the cards."""
    for name in MODELS:
        (PRETRAINED / f"{name}.md").write_text(write_card(name), encoding="utf8")
        print(f"wrote ddpm_lite/pretrained/{name}.md")


if __name__ == "__main__":
    main()
