"""The record of Euler's scheduler, again by the library where it is, and by this book's equations."""

import json
from itertools import pairwise

import pytest
import study_euler
import torch

from ddpm_lite import ddim_step, linear_schedule, load_pretrained, q_sample
from ddpm_lite.files.pixels import to_hex

RECORD = json.loads(study_euler.RECORD.read_text("utf8"))
WORDS = ("command", "diffusers")
LOOPS = {"noises", "images", "spread"}


def unpack(text):
    """The pixels from 0 to 255."""
    return torch.tensor(list(bytes.fromhex(text)), dtype=torch.float64)


def walk(scale_start, scale_input):
    """The four loops by this book's equations: Euler's step over the noise level."""
    schedule, (network, _) = linear_schedule(), load_pretrained("digits")
    times = [time + 1 for time in RECORD["times"]] + [0]
    nu = schedule.noise_level
    state = torch.randn(RECORD["noises"], 1, 8, 8, generator=torch.Generator().manual_seed(0))
    if scale_start:
        state = state * (1 + nu[times[0]] ** 2).sqrt().float()
    for t, s in pairwise(times):
        given = state * schedule.alpha_bar[t].sqrt().float() if scale_input else state
        with torch.no_grad():
            answer = network(given, torch.full((len(state),), t))
        state = state + float(nu[s] - nu[t]) * answer
    return state


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_library_still_gives_these_numbers():
    pytest.importorskip("diffusers")
    found = study_euler.ask_scheduler()
    assert found.keys() == RECORD.keys() - LOOPS
    for name in found.keys() - set(WORDS):
        assert found[name] == pytest.approx(RECORD[name], rel=1e-4), name


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_library_still_draws_these_images():
    pytest.importorskip("diffusers")
    found = study_euler.record_loops()
    assert found.keys() == LOOPS
    for name, images in RECORD["images"].items():
        for old, new in zip(images, found["images"][name], strict=True):
            assert (unpack(old) - unpack(new)).abs().max() <= 2, name


@pytest.mark.parametrize("name", study_euler.LOOPS)
def test_the_images_are_what_our_equations_draw(name):
    drawn = walk(*study_euler.LOOPS[name])
    for old, image in zip(RECORD["images"][name], drawn, strict=False):
        assert (unpack(old) - unpack(to_hex(image))).abs().max() <= 2
    spread = study_euler.find_spread(drawn)
    assert spread == pytest.approx(RECORD["spread"][name], rel=0.05, abs=2e-3)


def test_only_with_both_lines_do_the_images_differ():
    """What chapter 14 says of the four loops."""
    spread = RECORD["spread"]
    assert spread["both lines"] > 2
    assert max(spread["neither"], spread["only the start"]) < 0.002
    assert spread["only the input"] < 0.6


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
