"""The study of the bound: its terms add up as the package's do, and the record belongs to the networks."""

import math

import pytest
import study_bits
import torch
import train_digits

from ddpm_lite import linear_schedule, load_pretrained, posterior, q_sample
from ddpm_lite.bound import bound_terms, gaussian_kl
from ddpm_lite.files.records import read_record
from ddpm_lite.process import mean_from_noise


@pytest.fixture(scope="module")
def record():
    return read_record(train_digits.RESULTS / "bits.json")["models"]


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_a_term_is_the_divergence_of_two_steps(variance):
    schedule, t = linear_schedule(20, 0.005, 0.5), 7
    x_0, z, z_hat = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x_t = q_sample(schedule, x_0, t, z)
    step = mean_from_noise(schedule, x_t, t, z_hat), getattr(schedule, variance)[t]
    divergence = gaussian_kl(*posterior(schedule, x_t, t, x_0), *step).mean() / math.log(2)
    errors = torch.zeros(21, dtype=torch.float64)
    errors[t] = (z - z_hat).square().mean()
    torch.testing.assert_close(bound_terms(schedule, errors, variance)[t] / math.log(2), divergence)


@pytest.mark.parametrize("name", study_bits.MODELS)
@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
def test_the_recorded_terms_add_up(record, name, variance):
    found, schedule = record[name], study_bits.open_network(name)[1]
    errors = torch.tensor([0.0, *found["errors"]], dtype=torch.float64)
    parts = found[variance]
    middle = float(bound_terms(schedule, errors, variance).sum()) / math.log(2)
    assert middle == pytest.approx(parts["middle"], abs=2e-3)
    assert parts["L_T"] + parts["middle"] + parts["L_0"] == pytest.approx(parts["total"], abs=1e-4)


def test_the_errors_are_those_of_the_shipped_network(record):
    model, schedule = load_pretrained("digits")
    images, _ = study_bits.held_out("digits")
    generator = torch.Generator().manual_seed(1)
    for t in (5, 100, 600):
        z = torch.randn(images.shape, generator=generator)
        with torch.no_grad():
            measured = float((z - model(q_sample(schedule, images, t, z), t)).square().mean())
        assert record["digits"]["errors"][t - 1] == pytest.approx(measured, rel=0.25)
