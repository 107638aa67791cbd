"""The study of memorisation: its loss is L_simple on fixed draws, its distances find copies, its record is complete."""

import pytest
import study_memorisation as study
import torch

from ddpm_lite import GaussianChain, linear_schedule, load_digits


@pytest.fixture(scope="module")
def digits():
    return load_digits("train")[0]


class Constant(torch.nn.Module):
    def forward(self, x_t, t, context=None):
        return torch.zeros_like(x_t)


def test_an_answer_of_0_costs_about_1_and_the_same_each_time(digits):
    schedule = linear_schedule()
    found = study.fixed_loss(Constant(), schedule, digits[:100])
    assert found == pytest.approx(1, abs=4 * (2 / (study.PROBES * 64)) ** 0.5)
    assert study.fixed_loss(Constant(), schedule, digits[:100]) == found


def test_the_loss_is_that_of_the_exact_network_where_it_is_known():
    schedule = linear_schedule()
    data = 0.3 + 0.2 * torch.randn(500, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    chain = GaussianChain(schedule, 0.3, 0.2)

    class Exact(torch.nn.Module):
        def forward(self, x_t, t, context=None):
            return chain(x_t, t)

    least = float(chain.least_loss()[1:].mean())
    assert study.fixed_loss(Exact(), schedule, data) == pytest.approx(least, rel=0.1)


def test_a_copy_has_distance_0_and_points_at_its_original(digits):
    far, which = study.distances(digits[[5, 70]] + torch.tensor([0.0, 0.01]).reshape(2, 1, 1, 1), digits[:100])
    assert which.tolist() == [5, 70]
    assert float(far[0]) == pytest.approx(0, abs=1e-2)
    assert float(far[1]) == pytest.approx(0.08, abs=1e-2)  # 64 pixels, 0.01 each


def test_a_run_holds_what_the_chapter_reads(monkeypatch):
    for name, value in {"STEPS": 4, "EVERY": 2, "BATCH": 8, "PROBES": 20, "COUNT": 3, "WALK": 2, "SHOWN": 2}.items():
        monkeypatch.setattr(study, name, value)
    row = study.made(10, seed=0)
    assert [point["step"] for point in row["losses"]] == [2, 4]
    assert (len(row["drawn"]), len(row["held out"]), len(row["nearest"])) == (3, 500, 2)
    assert len(bytes.fromhex(row["shown"])) == 2 * 64
    assert max(row["nearest"]) < 10
