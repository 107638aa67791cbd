"""The study of the chapter on the likelihood: its functions on exact data, and what the page repeats of it."""

import json
import math
import re

import nbformat
import pytest
import study_likelihood
import torch
import train_digits

from ddpm_lite import linear_schedule
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
    low, high = (float(schedule.noise_level[t]) for t in (1, -1))
    y = 0.2 + 0.5 * torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    times = study_likelihood.even_times(schedule.noise_level, 300)
    end, integral = study_likelihood.log_density(chain, schedule, y, times)
    exact = torch.distributions.Normal(0.2, math.hypot(0.5, low)).log_prob(y).flatten(1).sum(1)
    torch.testing.assert_close(end + integral, exact, atol=0.01, rtol=0)
    doubt = 4 * (math.log(math.hypot(0.5, high)) - math.log(math.hypot(0.5, low)))
    torch.testing.assert_close(integral, torch.full_like(integral, doubt), atol=1e-3, rtol=0)


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
    exact = torch.distributions.Normal(0.2, math.hypot(0.5, schedule.noise_level[1])).log_prob(y).flatten(1).sum(1)
    over_nu = page["log_density"](chain, schedule, y, times, log=False)
    assert ((sum(found) - exact).abs() < (sum(over_nu) - exact).abs()).all()


def test_bits_of_uniform_grey_values():
    """A density that is flat over 17 cells costs log2(17) bits."""
    found = study_likelihood.bits(-math.log(17 * 0.125), study_likelihood.WIDTH, 1)
    assert found == pytest.approx(math.log2(17))


def test_the_record_holds_the_parts_of_its_bits():
    record = json.loads(study_likelihood.RECORD.read_text(encoding="utf8"))
    for row in record["found"].values():
        bits, end, integral = (torch.tensor(row[name]) for name in ("bits", "end", "integral"))
        again = study_likelihood.bits(end + integral, study_likelihood.WIDTH, 64)
        torch.testing.assert_close(again, bits, atol=2e-4, rtol=0)


def test_the_page_repeats_the_record_of_two_digits():
    book = nbformat.read(PAGE, as_version=4)
    printed = next("".join(o.text for o in cell.outputs) for cell in book.cells if cell.id == "likelihood-digits")
    lines = printed.splitlines()
    now, recorded = (next(line for line in lines if line.startswith(f"ODE, {how}")) for how in ("computed", "recorded"))
    assert re.findall(r"\d\.\d\d", now) == re.findall(r"\d\.\d\d", recorded)
    assert len(re.findall(r"\d\.\d\d", now)) == 2
