"""The file of 200 lines: its gradients, optimiser and process beside torch and the package, and what it drew."""

import ast
import json
import math
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import record_microddpm as study
import torch
from equations import source
from record_microddpm import microddpm

from ddpm_lite import ddpm_step, linear_schedule, load_digits, q_sample
from ddpm_lite.files.records import read_record
from ddpm_lite.unet import time_embedding

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "book" / "microddpm.py"
TEXT = FILE.read_text(encoding="utf8")
MATRICES = {"a": (3, 5), "b": (5, 2), "c": (3, 5), "d": (3, 2)}

LOSSES = {
    "a product": lambda m: m["a"] @ m["b"],
    "a sum": lambda m: m["a"] + m["c"],
    "a product of entries": lambda m: m["a"] * m["c"],
    "used twice": lambda m: m["a"] * m["a"] + m["a"],
    "all together": lambda m: ((m["a"] + m["c"]) @ m["b"]).silu() * m["d"] + m["d"],
}


class Tensor(torch.Tensor):
    """torch's tensor with the same name for SiLU."""

    def silu(self):
        return torch.nn.functional.silu(self)


def draw(seed=0):
    """Numbers for the matrices, some of them large enough to saturate."""
    rng = random.Random(seed)
    return {n: [[rng.gauss(0, 3) for _ in range(k)] for _ in range(m)] for n, (m, k) in MATRICES.items()}


def as_tensors(rows):
    made = {n: torch.tensor(r, dtype=torch.float64).as_subclass(Tensor) for n, r in rows.items()}
    return {n: x.requires_grad_() for n, x in made.items()}


def close(ours, theirs, tolerance=1e-9):
    expected = theirs.detach().as_subclass(torch.Tensor)
    torch.testing.assert_close(torch.tensor(ours, dtype=torch.float64), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_torch(name):
    rows = draw()
    ours, theirs = {n: microddpm.Matrix(r, learns=True) for n, r in rows.items()}, as_tensors(rows)
    result, expected = LOSSES[name](ours), LOSSES[name](theirs)
    close(result.rows, expected)
    weight = [[math.cos(i + 2 * j) for j in range(len(row))] for i, row in enumerate(result.rows)]
    result.backward(weight)
    expected.backward(torch.tensor(weight, dtype=torch.float64))
    used = [n for n, x in theirs.items() if x.grad is not None]
    assert used == [n for n, m in ours.items() if m.gradient is not None]
    for n in used:
        close(ours[n].gradient, theirs[n].grad)


def test_what_does_not_learn_gets_no_gradient():
    data, weight = microddpm.Matrix([[1.0, 2.0]]), microddpm.Matrix([[3.0], [4.0]], learns=True)
    (data @ weight).backward([[1.0]])
    assert data.gradient is None
    assert weight.gradient == [[1.0], [2.0]]


def test_silu_of_huge_numbers_is_finite():
    assert microddpm.Matrix([[-1e5, 1e5]]).silu().rows[0] == pytest.approx([0, 1e5])


def network_in_torch(w, x_t, told):
    h = torch.nn.functional.silu(x_t @ w["in"] + told @ w["in_told"])
    h = h + torch.nn.functional.silu(h @ w["mid"] + told @ w["mid_told"])
    return h @ w["out"] + told @ w["out_told"] + x_t * (told @ w["gate"])


def test_training_is_adam_and_a_running_average():
    """Five steps again in torch: the same draws, its autograd, its Adam, and the average written out."""
    digits, steps, batch = microddpm.load_digits()[:40], 5, 4
    run = microddpm.train(digits, steps, seed=7, batch=batch)
    states = [(loss, {n: list(rows) for n, rows in average.items()}) for loss, average in run]
    rng, schedule = random.Random(7), linear_schedule()
    w = {n: torch.tensor(m.rows, dtype=torch.float64).requires_grad_() for n, m in microddpm.new_weights(rng).items()}
    average = {n: x.detach().clone() for n, x in w.items()}
    adam = torch.optim.Adam(w.values(), betas=(0.9, 0.99))
    for k, (loss, mean) in enumerate(states, 1):
        chosen = [(*rng.choice(digits), rng.randint(1, 1000)) for _ in range(batch)]
        z = torch.tensor([[rng.gauss(0, 1) for _ in range(64)] for _ in chosen], dtype=torch.float64)
        labels, images, times = zip(*chosen, strict=True)
        x_t = q_sample(schedule, torch.tensor(images, dtype=torch.float64), torch.tensor(times), z)
        told = torch.tensor([microddpm.tell(t, c) for t, c in zip(times, labels, strict=True)], dtype=torch.float64)
        expected = (network_in_torch(w, x_t, told) - z).square().mean()
        adam.zero_grad()
        expected.backward()
        # The file adds 1e-8 before the second average is corrected, as at the end of section 2 of Adam's paper.
        adam.param_groups[0]["eps"] = 1e-8 / math.sqrt(1 - 0.99**k)
        adam.param_groups[0]["lr"] = 0.012 * (k / 50) * (0.5 + 0.5 * math.cos(math.pi * k / steps))
        adam.step()
        decay = min(0.99, (1 + k) / (10 + k))
        assert loss == pytest.approx(expected.item(), rel=1e-9)
        for n, x in w.items():
            average[n] = decay * average[n] + (1 - decay) * x.detach()
            close(mean[n], average[n], 1e-7)


def test_tables_are_those_of_the_schedule():
    schedule = linear_schedule()
    for ours, theirs in [
        (microddpm.beta, schedule.beta),
        (microddpm.alpha, schedule.alpha),
        (microddpm.alpha_bar, schedule.alpha_bar),
        (microddpm.rest, schedule.one_minus_alpha_bar),
        (microddpm.beta_tilde, schedule.beta_tilde),
    ]:
        close(ours, theirs, 1e-11)


@pytest.mark.parametrize("t", [1, 2, 300, 999, 1000])
def test_process_is_that_of_the_package(t):
    schedule, rng = linear_schedule(), random.Random(t)
    x, z, noise = ([rng.gauss(0, 1) for _ in range(64)] for _ in range(3))
    tensors = [torch.tensor([row], dtype=torch.float64) for row in (x, z, noise)]
    close([microddpm.q_sample(x, t, z)], q_sample(schedule, tensors[0], t, tensors[1]), 1e-10)
    step = ddpm_step(schedule, tensors[0], t, t - 1, *tensors[1:])
    close([microddpm.ddpm_step(x, t, z, noise)], step, 1e-9)


def test_network_is_told_the_time_and_the_label():
    for t, label in [(1, 0), (2, 3), (1000, 9)]:
        told = microddpm.tell(t, label)
        expected = time_embedding(torch.tensor([t - 1]), 2 * microddpm.CLOCKS)[0].tolist()
        assert told[: len(expected)] == pytest.approx(expected, abs=1e-4)  # ours there is in float32
        assert told[len(expected) :] == [float(label == c) for c in range(10)] + [1.0]
        assert len(told) == microddpm.TOLD


def test_digits_are_those_of_the_package():
    images, labels = load_digits("train")
    ours = microddpm.load_digits()
    assert [label for label, _ in ours] == labels.tolist()
    assert torch.equal(torch.tensor([image for _, image in ours]), images.flatten(1))


def loss_of(rows, digits, count=100):
    """The loss at fixed times and noises, of any weights."""
    rng, w = random.Random(99), {n: microddpm.Matrix(r) for n, r in rows.items()}
    chosen = [(*rng.choice(digits), rng.randint(1, 1000)) for _ in range(count)]
    z = [[rng.gauss(0, 1) for _ in range(64)] for _ in chosen]
    x_t = [microddpm.q_sample(x_0, t, n) for (_, x_0, t), n in zip(chosen, z, strict=True)]
    z_hat = microddpm.network(w, x_t, [microddpm.tell(t, label) for label, _, t in chosen]).rows
    return sum((a - n) ** 2 for x, y in zip(z_hat, z, strict=True) for a, n in zip(x, y, strict=True)) / (64 * count)


def test_a_short_training_learns():
    digits = microddpm.load_digits()
    fresh = {n: m.rows for n, m in microddpm.new_weights(random.Random(0)).items()}
    *_, (_, average) = microddpm.train(digits, 60, batch=8)
    assert loss_of(fresh, digits) > 0.9
    assert loss_of(average, digits) < 0.6


def test_samples_follow_the_weights_and_the_seed(monkeypatch):
    monkeypatch.setattr(microddpm, "times", range(1, 21))  # the walk's last steps only
    fresh = {n: m.rows for n, m in microddpm.new_weights(random.Random(0)).items()}
    images = [microddpm.sample(fresh, [3], seed) for seed in (0, 0, 1)]
    assert images[0] == images[1] != images[2]
    # The last step gives the clipped x_0_hat, up to rounding.
    assert max(abs(pixel) for image in images for pixel in image[0]) < 1 + 1e-9


def test_file_is_short_and_needs_nothing():
    assert len(TEXT.splitlines()) <= 200
    assert max(map(len, TEXT.splitlines())) <= 88
    imported = set()
    for node in ast.walk(ast.parse(TEXT)):
        if isinstance(node, ast.Import):
            imported |= {name.name for name in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported
    assert imported <= sys.stdlib_module_names


def test_file_runs_where_nothing_is_installed(tmp_path):
    for name in ("microddpm.py", "digits.txt"):
        (tmp_path / name).write_bytes((ROOT / "book" / name).read_bytes())
    code = f"import sys; sys.path = [{str(tmp_path)!r}] + sys.path; import microddpm as m; " + (
        "print(len(m.load_digits()), next(m.train(m.load_digits(), 1, batch=2))[0])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    count, loss = done.stdout.split()
    assert int(count) == 1297
    assert 0.5 < float(loss) < 2


def test_every_equation_that_the_file_names_is_in_the_book():
    named = set(re.findall(r"\((eq-[a-z0-9-]+|alg-[a-z]+)\)", TEXT))
    labels = {display.label for display in source.in_book()} | {"alg-training", "alg-sampling"}
    assert len(named) >= 12
    assert named <= labels


def test_digits_fit_a_terminal(capsys):
    digits = [image for _, image in microddpm.load_digits()[:7]]
    microddpm.show(digits)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 16
    assert max(map(len, lines)) <= 80
    assert lines[8:] != lines[:8]


def test_record_belongs_to_the_file():
    record, digits = read_record("results/microddpm.json"), microddpm.load_digits()
    steps = microddpm.train(digits, record["steps"], record["seed"])
    # Rounding grows from step to step: later losses differ between processors and versions of Python.
    assert [next(steps)[0] for _ in range(3)] == pytest.approx(record["losses"][:3], rel=1e-5)
    assert record["sha256"] == study.hash_sources(), "make it again: python studies/record_microddpm.py"
    assert len(record["losses"]) == record["steps"] == 1000
    assert record["weights"] == sum(len(r) for m in microddpm.new_weights(random.Random()).values() for r in m.rows)


def test_judge_recognises_the_recorded_digits():
    record = read_record("results/microddpm.json")
    assert study.as_asked(record["judged"], study.JUDGED) == pytest.approx(record["as_asked"])
    assert record["as_asked"] >= 0.9
    assert record["right_about_training_images"] >= 0.95
    noise = [study.to_letters([random.Random(i).gauss(0, 1) for _ in range(64)]) for i in range(60)]
    assert study.as_asked(noise, study.JUDGED) < 0.3  # the judge can say no


def test_recorded_digits_are_the_printed_ones(capsys):
    record, ramp = read_record("results/microddpm.json"), "  .:-+*#%@"
    assert len(record["shown"]) == len(study.SHOWN) == 20
    assert len(record["printed"]) == 32
    for number, letters in enumerate(record["shown"]):
        for place, letter in enumerate(letters):
            line = record["printed"][8 * (number // 5) + place // 8].ljust(80)
            ink = line[16 * (number % 5) + 2 * (place % 8)]
            level = min(9, int(5 * int(letter, 17) / 8))  # the nearest of 17 levels may be the next ink
            assert ink in ramp[max(0, level - 1) : level + 2]


def test_page_shows_the_file_line_by_line():
    """The notebook has the code itself, so that Jupyter and Colab show it too."""
    cells = json.loads((ROOT / "book" / "microddpm.ipynb").read_text(encoding="utf8"))["cells"]
    page = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    shown = re.findall(r"^```python\n(# --- .*?)\n```$", page, re.M | re.S)
    sections = re.split(r"^(?=# --- )", TEXT, flags=re.M)[1:]
    assert [part.splitlines() for part in shown] == [part.rstrip("\n").splitlines() for part in sections]
    assert not re.search(r"^```\{", page, re.M)  # a directive would be shown as it is written
