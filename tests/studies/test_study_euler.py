"""The record of Euler's scheduler, again by the library where it is, and by this book's equations."""

import json

import pytest
import study_euler
import torch

from ddpm_lite import ddim_step, linear_schedule, q_sample

RECORD = json.loads(study_euler.RECORD.read_text("utf8"))
WORDS = ("command", "diffusers")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_library_still_gives_these_numbers():
    pytest.importorskip("diffusers")
    found = study_euler.ask_scheduler()
    assert found.keys() == RECORD.keys()
    for name in found.keys() - set(WORDS):
        assert found[name] == pytest.approx(RECORD[name], rel=1e-4), name


def test_the_record_is_what_our_equations_give():
    schedule, t, s = linear_schedule(), RECORD["time"] + 1, RECORD["next"] + 1
    x_0, z = (torch.tensor([RECORD[name]], dtype=torch.float64) for name in ("pixel", "noise"))
    levels = [float(schedule.noise_level[time + 1]) for time in RECORD["times"]] + [0.0]
    assert RECORD["levels"] == pytest.approx(levels, rel=1e-4, abs=1e-4)
    x_t = q_sample(schedule, x_0, t, z)
    assert RECORD["given"] == pytest.approx(float(x_t), abs=1e-4)
    assert RECORD["noisy"] == pytest.approx(float(x_t / schedule.alpha_bar[t].sqrt()), rel=1e-4)
    assert RECORD["estimate"] == pytest.approx(RECORD["pixel"], abs=1e-4)
    x_s = ddim_step(schedule, x_t, t, s, z, 0 * x_t, clip=False)
    assert RECORD["state"] == pytest.approx(float(x_s / schedule.alpha_bar[s].sqrt()), rel=1e-4)
    assert RECORD["init_noise_sigma"] == pytest.approx((1 + levels[0] ** 2) ** 0.5, rel=1e-4)
