"""The studies of the chapters on noise and on the likelihood: their functions on exact data, and what the pages say."""

import math
from itertools import product

import nbformat
import pytest
import study_fresh_noise
import study_likelihood
import torch
import train_digits

from ddpm_lite import linear_schedule
from ddpm_lite.files.records import read_record
from ddpm_lite.oracle import GaussianChain

PAGE = train_digits.ROOT / "book" / "18_likelihood.ipynb"


def test_own_slopes_are_the_diagonal_of_the_jacobian():
    x = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def model(x, t):
        return torch.sin(x) * x.flip(-1) + x.sum(dim=(1, 2, 3), keepdim=True) ** 2

    z, slopes = study_likelihood.own_slopes(model, x, 5)
    torch.testing.assert_close(z, model(x, 5))
    for image, found in zip(x, slopes, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: model(v, 5), image[None])
        torch.testing.assert_close(jacobian.reshape(4, 4).diagonal().sum(), found)


def test_log_density_of_gaussian_data():
    schedule, chain = linear_schedule(), GaussianChain(linear_schedule(), mean=0.2, std=0.5)
    nu = float(schedule.noise_level[1])
    y = 0.2 + 0.5 * torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = study_likelihood.log_density(chain, schedule, y, study_likelihood.even_times(schedule.noise_level, 300))
    exact = torch.distributions.Normal(0.2, math.hypot(0.5, nu)).log_prob(y).flatten(1).sum(1)
    torch.testing.assert_close(found, exact, atol=0.02, rtol=0)


def test_the_page_follows_the_density_as_the_study_does():
    """Both have the walk, the page to show it and the study to record it: on the same places they give the same."""
    cells = {cell.id: cell.source for cell in nbformat.read(PAGE, as_version=4).cells}
    page = {"torch": torch, "Normal": torch.distributions.Normal}
    for name in ("likelihood-slopes", "likelihood-walk"):
        exec(compile(cells[name], name, "exec"), page)
    schedule, chain = linear_schedule(), GaussianChain(linear_schedule(), mean=0.2, std=0.5)
    y = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = study_likelihood.even_times(schedule.noise_level, 30)
    found = page["log_density"](chain, schedule, y, times)
    torch.testing.assert_close(found, study_likelihood.log_density(chain, schedule, y, times), atol=1e-9, rtol=0)


def test_bits_of_uniform_grey_values():
    """A density that is flat over 17 cells costs log2(17) bits."""
    found = study_likelihood.bits(-math.log(17 * 0.125), study_likelihood.WIDTH, 1)
    assert found == pytest.approx(math.log2(17))


def test_what_the_page_says_of_fresh_noise():
    study = read_record(study_fresh_noise.RECORD)
    rows = {(row["steps"], row["eta"], row["seed"]): row for row in study["rows"]}
    assert set(rows) == set(product(study_fresh_noise.STEPS, study_fresh_noise.ETAS, study_fresh_noise.SEEDS))
    floor = max(row["frechet"] for row in study["real"])
    for seed in study_fresh_noise.SEEDS:
        for steps in (50, 250):
            none, half, full = (rows[steps, eta, seed]["frechet"] for eta in study_fresh_noise.ETAS)
            assert none > half > full
            assert none > floor > full - 0.01
        for steps, sign in ((10, -1), (50, 1), (250, 1)):  # by the energy distance, noise is worse in 10 steps
            none, _, full = (rows[steps, eta, seed]["energy"] for eta in study_fresh_noise.ETAS)
            assert sign * (none - full) > 0
        assert rows[10, 0.0, seed]["frechet"] > rows[10, 1.0, seed]["frechet"]
    for steps in (50, 250):
        changes = [rows[steps, 0.5, i]["energy"] - rows[steps, 0.0, i]["energy"] for i in study_fresh_noise.SEEDS]
        assert sum(change < 0 for change in changes) == 2
    for row in read_record(train_digits.RESULTS / "digits-by-label-sampling.json")["walks"]:
        key = row["steps"], {"DDIM": 0.0, "DDPM, beta_tilde": 1.0}.get(row["kind"]), row["seed"]
        if key in rows:
            assert rows[key]["frechet"] == pytest.approx(row["frechet"], abs=1e-3)


def test_what_the_page_says_of_noise_in_a_part_of_the_steps():
    study, parts = read_record(study_fresh_noise.RECORD), read_record(study_fresh_noise.RECORD_WHEN)
    assert parts["weights_sha256"] == study["weights_sha256"]
    keys = {(row["when"], row["seed"]) for row in parts["rows"]}
    assert keys == set(product(study_fresh_noise.SPANS, study_fresh_noise.SEEDS))

    def mean(rows):
        found = [row["frechet"] for row in rows]
        return sum(found) / len(found)

    whole = {
        eta: mean([row for row in study["rows"] if (row["steps"], row["eta"]) == (study_fresh_noise.STEPS_WHEN, eta)])
        for eta in (0.0, 1.0)
    }
    first, last_half, last_ten = (
        mean([row for row in parts["rows"] if row["when"] == name]) for name in study_fresh_noise.SPANS
    )
    assert whole[0.0] > last_ten + 0.2
    assert last_ten > last_half > first
    assert first == pytest.approx(whole[1.0], abs=0.02)


def test_a_step_adds_noise_at_the_times_of_its_span_only():
    schedule, x, noise = linear_schedule(), torch.full((1, 1, 2, 2), 0.3), torch.ones(1, 1, 2, 2)
    for t, eta in ((25, 0.0), (26, 1.0), (50, 1.0), (51, 0.0)):
        found = study_fresh_noise.step_in((26, 50), schedule, x, t, t - 1, x, noise)
        expected = study_fresh_noise.ddim_step(schedule, x, t, t - 1, x, noise, eta=eta)
        torch.testing.assert_close(found, expected)


def test_the_page_repeats_the_record_of_two_digits():
    book = nbformat.read(PAGE, as_version=4)
    printed = next("".join(o.text for o in cell.outputs) for cell in book.cells if cell.id == "likelihood-digits")
    lines = printed.splitlines()
    now, recorded = (next(line for line in lines if start in line) for start in (" 49 steps, first", "recorded, these"))
    assert now.split(": ")[1].split(" bits")[0] == recorded.split(": ")[1]


def test_studies_leave_the_list_of_trained_chapters_as_it_is():
    """The tests of the shipped models are made from it when they are collected, beside those of the studies."""
    assert list(train_digits.CHAPTERS) == ["digits", "digits-by-label"]
    for path in sorted((train_digits.ROOT / "studies").glob("*.py")):
        assert "CHAPTERS[" not in path.read_text(encoding="utf8"), path.name
