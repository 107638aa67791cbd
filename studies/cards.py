"""Write the card of each model that comes with the package, from the records of its training and its evaluation.

    python studies/cards.py

Writes ddpm_lite/pretrained/NAME.md. What is known of the data is written here; each number is read from a record, and
a test makes the cards again and compares.
"""

import train_digits

from ddpm_lite.files.records import read_record
from ddpm_lite.files.weights import PRETRAINED

DIGITS = (
    "Optical Recognition of Handwritten Digits (E. Alpaydin and C. Kaynak, 1998; UCI Machine Learning Repository, "
    "CC BY 4.0), the 1,797 images of 8x8 pixels that scikit-learn carries. {held_out} of them were held out."
)
CLOTHES = (
    "Fashion-MNIST (H. Xiao, K. Rasul and R. Vollgraf, 2017; MIT licence, copyright Zalando SE): 60,000 training "
    "images of 28x28 grey pixels, photographs from a shop's catalogue. The {held_out:,} test images were held out."
)
MODELS = {  # name: what it draws, the data, and what to keep in mind
    "digits": (
        "Handwritten digits of 8x8 pixels; it cannot be told which.",
        DIGITS,
        "Made to teach. Digits of this size and of these writers, nothing else; some samples are no digit.",
    ),
    "digits-by-label": (
        "Handwritten digits of 8x8 pixels, by label, with labels dropped in training so that it can be guided.",
        DIGITS,
        "Made to teach. Digits of this size and of these writers, nothing else; some samples are not what was asked.",
    ),
    "fashion": (
        "Clothes of 28x28 pixels, by label, with labels dropped in training so that it can be guided.",
        CLOTHES,
        "Made to teach, and trained on one processor core: prints and patterns are blotchy, and some samples are torn, "
        "or not what was asked. Ten kinds of clothes from one shop's catalogue, as photographed there; it says nothing "
        "of clothes or people in general.",
    ),
}
COLUMNS = {
    "frechet": "Fréchet distance",
    "kernel": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "agreement": "as asked",
}


def row(name, numbers, spread=None):
    """One line of the table; a spread stands beside its mean."""
    cells = []
    for column in COLUMNS:
        cell = f"{numbers[column]:.3f}" if column in numbers else ""
        cells.append(cell + (f" ± {spread[column]:.3f}" if cell and spread else ""))
    return f"| {name} | " + " | ".join(cells) + " |"


def with_more_images(name):
    """A sentence on the same measurement with more images, if there is one."""
    path = train_digits.RESULTS / f"evaluate-{name}-5000.json"
    if not path.exists():
        return ""
    found = read_record(path)
    mean, spread, real = found["mean"], found["spread"], found["floors"]["real"]
    return f"""
With {found["count"]:,} images for each seed the distance is {mean["frechet"]:.3f} ± {spread["frechet"]:.3f}
(real images: {real["frechet"]:.3f}), precision {mean["precision"]:.3f}, recall {mean["recall"]:.3f}. Command:
`{found["command"]}`.
"""


def card(name):
    """The text of a model's card."""
    what, data, limits = MODELS[name]
    run = read_record(train_digits.RESULTS / f"{name}.json")
    found = read_record(train_digits.RESULTS / f"evaluate-{name}.json")
    weights = PRETRAINED / f"{name}.safetensors"
    config = run["config"]
    recipe = f"{config['steps']:,} steps of {config['batch_size']} images, Adam with learning rate {config['lr']:g}"
    sampler = f"{found['steps']} steps of {found['sampler']}" + (f" with eta {found['eta']:g}" if found["eta"] else "")
    minutes = run.get("cpu_seconds", run["seconds"]) / 60
    return f"""# {name}

{what} A denoising diffusion model (DDPM): a U-Net of {run["parameters"]:,} parameters that tells the noise in an image.

```python
from ddpm_lite import load_pretrained

model, schedule = load_pretrained("{name}")
```

## Data

{data.format(held_out=found["held_out"])}

## Training

{recipe}, running average of the weights with decay {config["ema_decay"]:g}; {run["schedule"]}. {run["images_seen"]:,}
images were seen, in {minutes:.1f} minutes of processor time ({run["hardware"]}; torch {run["torch"]}). Command:
`{run.get("train", run["command"])}`.
The running average is shipped, in float16: {weights.stat().st_size / 1e6:.1f} MB.

## Quality

{found["count"]:,} images for each of {len(found["rows"])} seeds, {sampler}, no guidance, against
{found["held_out"]:,} held-out real images, in the features of a classifier that is right about
{found["accuracy"]:.1%} of them. Lower distances are better; the other rows say what a number means.

| | {" | ".join(COLUMNS.values())} |
|---|{"---|" * len(COLUMNS)}
{row("this model", found["mean"], found["spread"])}
{chr(10).join(row(other, numbers) for other, numbers in found["floors"].items())}

Of these samples, the 5 % that are nearest to a training image are at most {found["mean"]["nearest"]:.3f} away from it;
of held-out real images, {found["floors"]["real"]["nearest"]:.3f}. Command: `{found["command"]}`.
{with_more_images(name)}
## Limits

{limits}

## Licence

The weights: MIT, like the code. The data: as above.
"""


def main():
    """Write all cards."""
    for name in MODELS:
        (PRETRAINED / f"{name}.md").write_text(card(name), encoding="utf8")
        print(f"wrote ddpm_lite/pretrained/{name}.md")


if __name__ == "__main__":
    main()
