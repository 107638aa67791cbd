"""Run book/microddpm.py with its defaults, let a classifier judge sixty digits that it draws, and record both.

    python studies/record_microddpm.py     (about four minutes on one idle core)

The file trains for 1,000 steps and prints twenty digits, as `python book/microddpm.py` does; the sixty for the judge,
six of each label, are drawn after that with the same weights. The judge is that of judge_digits.py, trained on images
that the file does not have. Writes book/results/microddpm.json, with the images in the letters of digits.txt, and with
the hashes of the file and of its data: a record belongs to them, not to the commit that happened to be checked out.
"""

import contextlib
import hashlib
import io
import json
import platform
import sys
import time

import torch
import train_digits
from judge_digits import judge

sys.path.insert(0, str(train_digits.ROOT / "book"))
import microddpm

RECORD = train_digits.RESULTS / "microddpm.json"
SOURCES = ("microddpm.py", "digits.txt")
STEPS, SEED = 1000, 0
SHOWN, JUDGED = 2 * list(range(10)), 6 * list(range(10))


def to_letters(image):
    """Write an image as a line of digits.txt has it: 64 letters, 0 to g, for the nearest of 17 grey levels."""
    return "".join("0123456789abcdefg"[max(0, min(16, round(8 * (pixel + 1))))] for pixel in image)


def to_images(lines):
    """Read such lines back, (N, 1, 8, 8) in [-1, 1]."""
    return torch.tensor([[int(letter, 17) / 8 - 1 for letter in line] for line in lines]).reshape(-1, 1, 8, 8)


def as_asked(lines, labels):
    """The share of the images that the judge takes for what was asked."""
    return float((judge()(to_images(lines)) == torch.tensor(labels)).double().mean())


def hash_sources():
    """SHA-256 of the file and of its digits, with the line ends of Unix."""
    texts = {name: (train_digits.ROOT / "book" / name).read_text(encoding="utf8") for name in SOURCES}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def print_digits(images):
    """The lines that `show` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        microddpm.show(images)
    return printed.getvalue().splitlines()


def main():
    """Train, draw, judge, write."""
    start, cpu, losses = time.perf_counter(), time.process_time(), []
    for state in microddpm.train(microddpm.load_digits(), STEPS, SEED):
        losses.append(round(state[0], 8))
        if len(losses) % 50 == 0:
            print(f"step {len(losses)}: {sum(losses[-50:]) / 50:.3f}, {time.process_time() - cpu:.0f} s", flush=True)
    average, trained = state[1], time.process_time() - cpu
    shown = microddpm.sample(average, SHOWN, SEED)
    seconds, used = time.perf_counter() - start, time.process_time() - cpu
    drawn = [to_letters(image) for image in microddpm.sample(average, JUDGED, SEED + 1)]
    asked = torch.tensor(JUDGED)
    real, labels = zip(*[(image, label) for label, image in microddpm.load_digits()], strict=True)
    record = train_digits.circumstances("record_microddpm.py") | {
        "sha256": hash_sources(),
        "python": platform.python_version(),
        "steps": STEPS,
        "seed": SEED,
        "weights": sum(len(row) for rows in average.values() for row in rows),
        "seconds": round(seconds, 1),  # training and the twenty digits, beside whatever else the machine did
        "cpu_seconds": round(used, 1),  # the same, of this process alone
        "cpu_seconds_training": round(trained, 1),
        "judge": "SVC(C=10), trained on the 500 held-out digits",
        "right_about_training_images": round(as_asked(map(to_letters, real), labels), 4),
        "as_asked": round(as_asked(drawn, asked.tolist()), 4),
        "printed": print_digits(shown),
        "shown": [to_letters(image) for image in shown],
        "judged": drawn,
        "losses": losses,
    }
    del record["torch"], record["commit"]  # the first made nothing of this, and the hashes say more than the second
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"{record['as_asked']:.0%} as asked; wrote {RECORD.relative_to(train_digits.ROOT)}")


if __name__ == "__main__":
    main()
