"""Classify the model's digits with a classifier that saw none of its training images; record the label agreement.

    python studies/judge_digits.py     (about a minute on one idle core)

The classifier is trained on the 500 held-out digits, and its accuracy is measured on the 1,297 digits that the model
was trained on. It classifies 1,000 images of the shipped model digits-by-label, which are those of the first row of
`python -m ddpm_lite evaluate digits-by-label --eta 1`. Writes book/results/judge-digits.json.
"""

import json
import time
from functools import partial

import torch
import train_digits
from sklearn.svm import SVC

from ddpm_lite import ddim_step, load_digits, load_pretrained, respace
from ddpm_lite.cli.report import draw_images, hash_weights

NAME = "digits-by-label"
RECORD = train_digits.RESULTS / "judge-digits.json"
COUNT, STEPS, ETA, SEED = 1000, 50, 1.0, 0


def judge():
    """Train the classifier on the held-out digits, and return it as (images) -> labels."""
    images, labels = load_digits("test")
    machine = SVC(C=10).fit(images.flatten(1).numpy(), labels.numpy())
    return lambda x: torch.from_numpy(machine.predict(x.flatten(1).numpy()))


def main():
    """Sample, classify, write."""
    start, cpu, asked = time.perf_counter(), time.process_time(), torch.arange(COUNT) % 10
    model, schedule = load_pretrained(NAME)
    images = draw_images(model, respace(schedule, STEPS), partial(ddim_step, eta=ETA), (COUNT, 1, 8, 8), asked, SEED)
    real, labels = load_digits("train")
    record = train_digits.circumstances("judge_digits.py") | {
        "model": NAME,
        "weights": hash_weights(model),
        "images": COUNT,
        "sampler": "ddim",
        "steps": STEPS,
        "eta": ETA,
        "seed": SEED,
        "judge": "SVC(C=10), trained on the 500 held-out digits",
        "right_about_training_images": round(float((judge()(real) == labels).double().mean()), 4),
        "as_asked": round(float((judge()(images) == asked).double().mean()), 4),
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"{record['as_asked']:.1%} as asked; wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
