"""`compare_program`: each translation is found alone and with others, and what is none is called different."""

import json
import re
from functools import partial
from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_lite import (
    compare_program,
    cosine_schedule,
    ddim_step,
    ddpm_step,
    linear_schedule,
    precondition,
    respace,
    schedule_from_levels,
)
from ddpm_lite.process import flow_from_z, predict_x_0, predict_z, q_sample, score_from_z, velocity
from ddpm_lite.runs.compare import translations as known
from ddpm_lite.runs.compare.step import MEMORY

OWN = linear_schedule()
ONE = [(500, 499), (800, 799), (40, 39)]


def lines(schedule=OWN, **parts):
    """What is printed, without the differences."""
    return [re.sub(r" \([^()]* -> [\d.]+ %\)$", "", str(found)) for found in compare_program(schedule, **parts)]


def guide(z_c, z_none, w):
    return z_c + w * (z_c - z_none)


OURS = {
    "table": OWN.alpha_bar,
    "times": respace(OWN, 30).times[1:].flip(0),
    "noisy": lambda x_0, z, k: q_sample(OWN, x_0, k, z),
    "estimate": lambda x, k, answer: predict_x_0(OWN, x, k, answer),
    "step": lambda x, k, to, answer, noise: ddim_step(OWN, x, k, to, answer, noise, clip=False),
    "guide": guide,
}


def test_right_program_only_agrees():
    found = list(compare_program(OWN, **OURS))
    assert [each.check for each in found] == [
        "1. tables", "2. times", "3. images", "4 and 6. estimate", "7. step", "8. fresh noise", "9. guidance"
    ]  # fmt: skip
    assert {each.outcome for each in found} == {"equal"}
    for name, part in OURS.items():
        pieces = {name: part} if name != "times" else {"table": OWN.alpha_bar, name: part}
        assert {each.outcome for each in compare_program(OWN, **pieces)} <= {"equal", "translated"}


@pytest.mark.parametrize(
    "schedule", [cosine_schedule(), linear_schedule(100, 1e-3, 0.2), linear_schedule(20, 5e-3, 0.9)]
)
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_our_step_is_equal_with_each_schedule(schedule, eta):
    parts = {
        "table": schedule.alpha_bar,
        "estimate": lambda x, k, answer: predict_x_0(schedule, x, k, answer).clamp(-1, 1),
        "step": lambda x, k, to, answer, noise: ddim_step(schedule, x, k, to, answer, noise, eta=eta),
    }
    outcomes = [found.outcome for found in compare_program(schedule, eta=eta, **parts)]
    assert outcomes == ["equal", "translated", "equal", "equal"]


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
@pytest.mark.parametrize("drawn", [False, True])
def test_variances_of_ddpm(variance, drawn):
    step = partial(ddpm_step, OWN, variance=variance)
    given = (lambda x, k, to, a: step(x, k, to, a, torch.randn_like(x))) if drawn else step
    call = given if drawn else lambda x, k, to, a, noise: step(x, k, to, a, noise)
    found = lines(step=call, table=OWN.alpha_bar, pairs=ONE, eta=1)
    due = "translated: deviation sqrt(1 - alpha_bar_t / alpha_bar_s)"
    assert found[-1] == f"8. fresh noise: {due if variance == 'beta' else 'equal: deviation of eta = 1'}"
    assert found[-2].endswith("clipped to [-1, 1], z_hat computed again, step to s, eta = 1 (DDPM)")


@pytest.mark.parametrize("quantity", known.QUANTITIES, ids=lambda option: option.name)
@pytest.mark.parametrize("index", known.list_indices(OWN, whole=True)[:5], ids=lambda option: option.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_table_is_named(quantity, index, dtype):
    ours, t = quantity.use(OWN), torch.arange(1, 1001)
    table = torch.full((1002,), 0.0, dtype=torch.float64)
    table[index.use(t)] = ours[1:]
    cut = {"index t": slice(0, 1001), "index t - 1": slice(0, 1000), "index t + 1": slice(0, 1002)}
    table = table[cut.get(index.name, slice(0, 1000))].to(dtype)
    if index.name == "index T - t - 1":
        table = ours[:1000].flip(0).to(dtype)  # the last entry is the clean image
        table = torch.where(table.isfinite(), table, 0)
    (found,) = compare_program(OWN, table=table)
    assert f"{quantity.name}, {index.name}" in found.text
    assert found.outcome == ("equal" if (quantity, index.name) == (known.QUANTITIES[0], "index t") else "translated")


@pytest.mark.parametrize("slip", [lambda a: a.index_fill(0, torch.tensor([0]), 1), lambda a: (1 + a) / 2])
def test_wrong_first_entries_are_seen(slip):
    table = OWN.alpha_bar[1:].clone()
    table[:10] = slip(table[:10])
    (said,) = lines(table=table)
    assert said.startswith("1. tables: different: ")
    assert re.search(r"[5-9]\d|100 % of the distance to 1", said)


def test_tables_that_differ_in_little_are_both_named():
    """The alphas of 4,000 steps change by less than the limit from entry to entry."""
    long = linear_schedule(4000, 2.5e-5, 5e-3)
    (found,) = compare_program(long, table=long.alpha[1:])
    assert found.outcome == "open"
    assert "index t or index t - 1" in found.text


def scale_roots(first, last):
    return torch.linspace(first**0.5, last**0.5, 1000).square()


@pytest.mark.parametrize(
    ("name", "own", "table"),
    [
        ("cosine_schedule(1000)", OWN, cosine_schedule().alpha_bar),
        ("linear_schedule(1000)", cosine_schedule(), OWN.alpha_bar),
        ("linear_schedule(100, 0.001, 0.2)", linear_schedule(100), linear_schedule(100, 1e-3, 0.2).alpha_bar),
        ("scaled-linear betas from 0.0001 to 0.02", OWN, (1 - scale_roots(1e-4, 0.02)).cumprod(0)),
        ("scaled-linear betas from 0.00085 to 0.012", OWN, scale_roots(0.00085, 0.012)),
    ],
)
def test_another_known_schedule_is_different_and_named(name, own, table):
    (found,) = compare_program(own, table=table, noisy=OURS["noisy"])
    assert found.outcome == "different"
    assert f"; with {name} it is " in found.text


@pytest.mark.parametrize("T", [1, 2, 3, 20, 50, 150])
def test_each_length_has_steps_and_other_schedules(T):
    own = linear_schedule(T, 0.1, 0.9999) if T > 1 else linear_schedule(1)
    (found,) = compare_program(own, table=torch.linspace(3.0, 4.0, T))
    assert found.outcome == "different"
    if T > 2:
        outcomes = compare_program(own, step=lambda x, k, to, a, n: ddim_step(own, x, k, to, a, n, clip=False))
        assert [found.outcome for found in outcomes] == ["translated", "equal"]
    assert lines(own, guide=guide) == ["9. guidance: equal: scale w"]


def test_last_snr_of_0_is_named_and_a_free_cosine_differs_only_at_its_end():
    root = OWN.alpha_bar.sqrt()
    table = ((root - root[-1]) * root[1] / (root[1] - root[-1]))[1:].square()
    assert "with ours, rescaled to a last SNR of 0, it is translated: alpha_bar_t, " in lines(table=table)[0]
    t = torch.arange(1001, dtype=torch.float64)
    free = torch.cos((t / 1000 + 0.008) / 1.008 * torch.pi / 2) ** 2
    (found,) = compare_program(cosine_schedule(), table=(free / free[0])[1:])
    assert "so compare before T" in found.text


def test_an_end_among_the_times_is_said():
    (walk,) = (walk for walk in known.list_walks(OWN, 50) if walk.name.startswith("times trailing (here"))
    said = lines(table=OWN.alpha_bar[1:], times=[*(t - 1 for t in walk.use), -1])[1]
    assert "2. times: different: " in said
    assert "; without its end it is equal: times trailing" in said


def test_arrays_may_run_backwards_and_be_returned():
    betas = np.linspace(1e-4, 0.02, 1000)
    table, times = np.cumprod(1 - betas), np.arange(0, 1000, 20)[::-1]

    def noisy(x_0, z, k):
        return np.sqrt(table[k]) * x_0.numpy() + np.sqrt(1 - table[k]) * z.numpy()

    assert lines(table=table, times=times, noisy=noisy)[1:] == ["2. times: translated: times leading",
                                                                "3. images: equal: image x_t"]  # fmt: skip
    assert lines(table=table[::-1])[0] == "1. tables: translated: alpha_bar_t, index T - t"


def test_functions_that_count_otherwise_than_the_table_are_named_by_themselves():
    nu = OWN.noise_level
    for index, call in (("time nu_t", lambda k: k), ("index t - 1", lambda k: nu[k + 1])):
        said = lines(table=nu[1:], noisy=lambda x_0, z, k, call=call: x_0 + call(k) * z)
        assert said == ["1. tables: translated: the noise level nu_t, index t - 1",
                        f"3. images: translated: {index}, image x_0 + nu_t z"]  # fmt: skip
    assert "by itself it is equal: index t, image x_t" in lines(table=OWN.alpha_bar[1:], noisy=OURS["noisy"])[1]
    said = lines(table=OWN.alpha_bar, noisy=lambda x_0, z, k: q_sample(OWN, x_0, round(1000 * k), z))[1]
    assert said.startswith("3. images: different: an error, ")
    assert "by itself it is translated: time t / T, image x_t" in said
    mixed = make_program("v")["estimate"], make_program("z")["step"]
    assert (
        "by itself it is translated: index t - 1, image x_t, answer z, " in lines(estimate=mixed[0], step=mixed[1])[1]
    )
    flow = lines(noisy=lambda x_0, z, k: (1 - k) * x_0 + k * z, estimate=lambda x, k, u: x - k * u)
    assert flow == ["3. images: translated: time tau_t, image of a flow",
                    "4 and 6. estimate: translated: answer z - x_0, not clipped"]  # fmt: skip


EVEN = torch.arange(1001, dtype=torch.float64) / 1001
STRAIGHT = schedule_from_levels(EVEN / (1 - EVEN))
FLOWS = {  # the flow time of the program's own time, and the sign of its answer
    "time tau_t": (lambda k: k, 1),
    "time 1000 tau_t": (lambda k: k / 1000, 1),
    "time 1 - tau_t": (lambda k: 1 - k, -1),
}


@pytest.mark.parametrize("clock", FLOWS)
def test_a_flow_is_read_over_its_clock(clock):
    tau, sign = FLOWS[clock]
    said = lines(
        STRAIGHT,
        noisy=lambda x_0, z, k: (1 - tau(k)) * x_0 + tau(k) * z,
        estimate=lambda x, k, u: x - tau(k) * sign * u,
        step=lambda x, k, to, u: x + (tau(to) - tau(k)) * sign * u,
    )
    assert said == [
        f"3. images: translated: {clock}, image of a flow",
        f"4 and 6. estimate: translated: answer {'z - x_0' if sign > 0 else 'x_0 - z'}, not clipped",
        "7. step: equal: step to s, eta = 0 (DDIM)",
        "8. fresh noise: equal: none",
    ]


def test_a_flow_with_a_table_is_not_called_with_its_entries():
    times = 1000 * EVEN[[1000, 750, 500, 250]]
    said = lines(STRAIGHT, table=EVEN[1:], times=times, noisy=lambda x_0, z, k: (1 - k / 1000) * x_0 + k / 1000 * z)
    assert said[0] == "1. tables: open: the flow time tau_t or 1 - tau_t, index t - 1 or index T - t"
    assert said[1].startswith("2. times: open: time 1000 tau_t, times trailing")
    assert said[2] == "3. images: open: image of a flow"


def test_all_times_are_one_rule():
    for times, said in ((range(1000, 0, -1), "from 1000 to 1"), (range(1, 1001), "from 1 to 1000")):
        assert lines(table=OWN.alpha_bar, times=[float(t) for t in times])[1].endswith(f": times all, {said}")


def test_a_denoiser_of_edm_is_read_over_the_logarithm_of_its_level():
    def denoise(y, c, answer):
        c_skip, c_out, _ = precondition(exp(4 * c), 0.5)
        return c_skip * y + c_out * answer

    said = lines(noisy=lambda x_0, z, c: x_0 + exp(4 * c) * z, estimate=denoise)
    assert said == [
        "3. images: translated: time log(nu_t) / 4, image x_0 + nu_t z",
        "4 and 6. estimate: translated: answer F of EDM with sigma_data = 0.5, not clipped",
    ]


def test_a_table_with_another_number_of_entries_is_named():
    for T, table, name in ((200, linear_schedule(200, 5e-4, 0.1).beta, "linear_schedule(200, 0.0005, 0.1)"),
                           (50, cosine_schedule(50).snr, "cosine_schedule(50)")):  # fmt: skip
        (said,) = lines(table=table[1:])
        assert said.startswith(f"1. tables: different: {T} entries, where the schedule has T = 1000")
        assert f"with {name} it is translated: " in said
    (said,) = lines(table=OWN.noise_level[[1, 100, 300, 1000]])
    assert said.endswith("so make one with as many steps")


def test_without_a_table_a_difference_may_be_the_schedule():
    other = cosine_schedule()
    said = lines(noisy=lambda x_0, z, k: q_sample(other, x_0, k, z))[0]
    assert said.endswith("; without `table`, its schedule is taken to be ours")
    assert lines(times=np.array([500, 7, 3]))[0].startswith("2. times: different: ")
    assert not lines(guide=lambda c, u, w: c)[0].endswith("ours")


@pytest.mark.parametrize(
    "name",
    [
        "leading", "leading, one later", "linspace", "trailing, rounded down", "linspace of 31 without its end",
        "leading of 31 without its end", "at Karras's levels from 1000 to 1",
        "at Karras's levels from 1000 to 1, rounded",
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", " from the other end"])
def test_times_are_named(name, end):
    (walk,) = (walk for walk in known.list_walks(OWN, 30) if walk.name == f"times {name}{end}")
    assert lines(table=OWN.alpha_bar[1:], times=[t - 1 for t in walk.use])[1] == f"2. times: translated: {walk.name}"
    assert lines(table=OWN.alpha_bar, times=[500, 7, 3])[1].startswith("2. times: different")


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([1] + [2] * 29, "each time but the first twice"), ([2] * 30, "each time twice"),
        ([1, 2] + [1] * 28, "the second time twice"), ([3] + [2] * 29, "some times repeated"),
    ],
)  # fmt: skip
def test_times_that_come_twice_are_compared_once(counts, said):
    times = respace(OWN, 30, "leading").times[1:].flip(0).repeat_interleave(torch.tensor(counts))
    assert lines(table=OWN.alpha_bar, times=times)[1] == f"2. times: translated: {said}, times leading"
    every = torch.arange(len(OWN.alpha_bar) - 1, 0, -1)[:30]
    assert lines(table=OWN.alpha_bar, times=[*every, every[-1]])[1].startswith("2. times: different: ")


SCALES = {"image x_0 + nu_t z": OWN.snr.rsqrt() ** 0 / OWN.alpha_bar.sqrt(), "image x_t": OWN.alpha_bar**0}
SCALES["image of a flow"] = 1 / (OWN.alpha_bar.sqrt() + OWN.one_minus_alpha_bar.sqrt())


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("shift", [-1, 0, 1])
@pytest.mark.parametrize("half", [False, True])
def test_images_are_translated(scale, shift, half):
    def noisy(x_0, z, k):
        return SCALES[scale][k - shift] * q_sample(OWN, 2 * x_0 - 1 if half else x_0, k - shift, z)

    index = {-1: "index t - 1", 0: "index t", 1: "index t + 1"}[shift]
    said = f"{index}, {scale}" + ", x_0 in [0, 1]" * half
    outcome = "equal" if said == "index t, image x_t" else "translated"
    assert lines(noisy=noisy) == [f"3. images: {outcome}: {said}"]


TARGETS = {
    "z": lambda x, t, a: a,
    "-z": lambda x, t, a: -a,
    "v": lambda x, t, a: predict_z_from(x, t, a),
    "-v": lambda x, t, a: predict_z_from(x, t, -a),
    "x_0": lambda x, t, a: predict_z(OWN, x, t, a),
    "score": lambda x, t, a: -a * OWN.one_minus_alpha_bar[t].sqrt(),
    "z - x_0": lambda x, t, a: predict_z_of_flow(x, t, a),
    "x_0 - z": lambda x, t, a: predict_z_of_flow(x, t, -a),
}


def predict_z_from(x, t, v):
    return OWN.one_minus_alpha_bar[t].sqrt() * x + OWN.alpha_bar[t].sqrt() * v


def predict_z_of_flow(x, t, u):
    signal, rest = OWN.alpha_bar[t].sqrt(), OWN.one_minus_alpha_bar[t].sqrt()
    return (x + signal * u) / (signal + rest)


def make_program(target, limit=None, kept=False, shift=1, eta=0.0, power=1, move=0, dtype=torch.float64):
    """A program in one piece: its estimate and its step."""

    def estimate(x, k, answer):
        z_hat = TARGETS[target](x, k + shift, answer)
        x_0_hat = predict_x_0(OWN, x, k + shift, z_hat)
        return (x_0_hat if limit is None else x_0_hat.clamp(-limit, limit)).to(dtype)

    def step(x, k, to, answer, noise):
        t, s, x_0_hat = k + shift, to + shift + move, estimate(x, k, answer).double()
        z_hat = TARGETS[target](x, t, answer) if kept else predict_z(OWN, x, t, x_0_hat)
        own_eta = eta**power
        state = ddim_step(OWN, q_sample(OWN, x_0_hat, t, z_hat), t, s, z_hat, noise, eta=own_eta, clip=False)
        return state.to(dtype)

    return {"estimate": estimate, "step": step, "eta": eta}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("limit", [None, 1, 1.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_target_and_clip_are_found_together(target, limit, dtype):
    parts = make_program(target, limit, kept=True, dtype=dtype)
    clip = "not clipped" if limit is None else f"clipped to [-{limit}, {limit}]"
    found = lines(table=OWN.alpha_bar[1:], **parts)
    assert found[1].endswith(f"answer {target}, {clip}")
    assert ("old z_hat kept" in found[2]) == (limit is not None)
    assert found[2].endswith("step to s, eta = 0 (DDIM)")
    assert found[3] == "8. fresh noise: equal: none"


def test_index_target_clip_and_kept_noise_are_found_by_the_step_alone():
    said = lines(step=make_program("v", 1, kept=True)["step"])[0]
    assert said == (
        "7. step: translated: index t - 1, image x_t, answer v, clipped to [-1, 1], old z_hat kept, step to s, "
        "eta = 0 (DDIM)"
    )


@pytest.mark.parametrize(("power", "said"), [(2, "0.25 (its square)"), (0.5, "0.7071 (its root)"), (1, "0.5")])
def test_meaning_of_eta(power, said):
    found = lines(table=OWN.alpha_bar[1:], **make_program("z", eta=0.5, power=power))
    assert found[2].endswith(f"step to s, eta = {said}")
    assert found[3] == f"8. fresh noise: equal: deviation of eta = {said.split(' ')[0]}"


@pytest.mark.parametrize("pairs", [None, ONE])
def test_a_small_eta_is_not_taken_for_rounding(pairs):
    found = lines(table=OWN.alpha_bar[1:], pairs=pairs, **make_program("z", eta=0.01) | {"eta": 0})
    assert found[2].endswith("eta = 0.01")
    assert found[3].endswith("deviation of eta = 0.01")


def test_a_pair_may_be_given_twice():
    parts = {"table": OWN.alpha_bar, "step": OURS["step"]}
    assert lines(**parts, pairs=[ONE[0], ONE[0]]) == lines(**parts, pairs=ONE[:1])


def test_eta_squared_in_the_noise_alone_and_a_variance_as_deviation():
    def step(x, k, to, answer, noise, power=1, factor=1.0):
        still = ddim_step(OWN, x, k, to, answer, 0 * x, eta=0.5, clip=False)
        drawn = ddim_step(OWN, x, k, to, answer, noise, eta=0.5, clip=False) - still
        sigma = float((drawn / noise).mean()) if noise.any() else 0.0
        return still + factor * sigma**power * noise

    def last(**options):
        call = partial(step, **options)
        return lines(table=OWN.alpha_bar, step=lambda x, k, to, a, n: call(x, k, to, a, n), eta=0.5)[-1]

    assert last(factor=0.5).endswith("translated: eta squared in the deviation")
    assert last(power=2).endswith("translated: the variance as deviation")
    assert last(factor=0.9).startswith("8. fresh noise: different: ")


@pytest.mark.parametrize("jump", [1, 20])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_step_that_ignores_to_has_one_reading(jump, eta):
    def step(x, k, to, answer):
        return make_program("z", eta=eta)["step"](x, k, k - jump, answer, torch.randn(x.shape))

    for told in {0.0, eta} if jump == 20 else {eta}:
        found = list(compare_program(OWN, table=OWN.alpha_bar[1:], step=step, eta=told))
        assert found[1].outcome == "translated"
        assert f", step to t - {jump}, eta = {eta:g}" in found[1].text
        assert found[2].outcome == "equal"


def test_noise_of_another_source_is_not_taken_for_a_difference():
    def step(x, k, to, answer, draw):
        return ddim_step(OWN, x, k, to, answer, draw(x), eta=1, clip=False)

    numpy = np.random.default_rng(0)
    for draw in (lambda x: torch.as_tensor(numpy.standard_normal(x.shape)), lambda x: torch.randn(2, *x.shape)[0]):
        with pytest.raises(ValueError, match="^step: expected the same state when called again .* argument `noise`, "):
            lines(table=OWN.alpha_bar, step=lambda x, k, to, a, draw=draw: step(x, k, to, a, draw), eta=1)


def test_noise_that_the_direction_makes_no_room_for():
    """The direction of eta = 0 and the noise of eta = 1; and all noise fresh, which is no eta at all."""

    def both(x, k, to, answer):
        drawn = ddim_step(OWN, x, k, to, answer, torch.randn_like(x), eta=1, clip=False)
        still = ddim_step(OWN, x, k, to, answer, 0 * x, eta=1, clip=False)
        return ddim_step(OWN, x, k, to, answer, 0 * x, clip=False) + drawn - still

    found = lines(table=OWN.alpha_bar, step=both, eta=1)
    assert found[-2].startswith("7. step: translated: ")
    assert found[-2].endswith("eta = 0 (DDIM)")
    assert found[-1] == "8. fresh noise: translated: deviation of eta = 1, though the step was found to have eta = 0"

    def fresh(x, k, to, answer):
        return q_sample(OWN, predict_x_0(OWN, x, k, answer), to, torch.randn_like(x))

    assert lines(table=OWN.alpha_bar, step=fresh)[-1].startswith("7. step: different: ")


def test_step_to_another_time_and_one_pair_that_leaves_two_open():
    parts = {"table": OWN.alpha_bar[1:], "step": make_program("z", move=-1)["step"]}
    assert "step to s - 1, eta = 0" in lines(**parts)[1]
    found = lines(**parts, pairs=[(500, 480), (700, 680)])[1]
    assert "step to s - 1 or step to t - 21, eta = 0" in found

    def level_step(x, k, to, z_hat):
        return x + (OWN.noise_level[to] - OWN.noise_level[k]) * z_hat  # Euler's, in the image plus noise

    def earlier(x, k, to, z_hat):
        return level_step(x, k, to - 1, z_hat)

    said = str([*compare_program(OWN, table=OWN.alpha_bar, step=level_step)][1])
    assert "image x_0 + nu_t z" in said
    found = [*compare_program(OWN, table=OWN.alpha_bar, step=earlier, pairs=[(500, 480)])][1]
    assert found.outcome == "open"
    assert "step to s or step to s - 1 or step to t - 21" in found.text


def test_what_the_answer_leaves_open_is_said_and_settled_later():
    """An estimate that is the answer shows neither time nor variable; the step does."""
    found = list(compare_program(OWN, estimate=lambda x, k, a: a + 0, step=make_program("x_0")["step"]))
    assert found[0].outcome == "open"
    assert "index t or index t - 1" in found[0].text
    assert "index t - 1, image x_t" in found[1].text


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        (lambda c, u, s: c + s * (c - u), "equal: scale w"),
        (lambda c, u, s: u + s * (c - u), "translated: scale w + 1"),
        (lambda c, u, s: u + s * (u - c), "translated: scale w, answers exchanged"),
        (lambda c, u, s: c + s * (u - c), "translated: scale w + 1, answers exchanged"),
    ],
)
def test_guidance_is_translated(formula, said):
    assert lines(guide=formula) == [f"9. guidance: {said}"]
    rescaled = lines(guide=lambda c, u, s: formula(c, u, s) * 0.9)
    assert rescaled[0].startswith("9. guidance: different")


def call_outside(name):
    """Parts that are outside the list."""
    estimate = make_program("z")["estimate"]
    return {
        "dynamic threshold": {
            "estimate": lambda x, k, a: estimate(x, k, a) / estimate(x, k, a).abs().amax(dim=(1, 2, 3), keepdim=True)
        },
        "another target": {"estimate": lambda x, k, a: estimate(x, k, 0.5 * a)},
        "two answers": {"step": lambda x, k, to, a: make_program("z")["step"](x, k, to, 0.7 * a, 0 * x)},
        "another noise": {"noisy": lambda x_0, z, k: x_0 + 0.01 * k * z},
        "a forgotten root": {"estimate": lambda x, k, a: (x - OWN.one_minus_alpha_bar[k + 1] * a) / root(k + 1)},
        "alpha for alpha_bar": {"estimate": lambda x, k, a: (x - OWN.beta[k + 1].sqrt() * a) / root(k + 1)},
        "exchanged coefficients": {"step": exchange_coefficients, "eta": 1, "pairs": ONE},
    }[name]


def root(t):
    return OWN.alpha_bar[t].sqrt()


def exchange_coefficients(x, k, to, z_hat, noise):
    """The posterior mean with the weights of x_0 and x_t in each other's place, and its noise."""
    t = k + 1
    x_0, rest = predict_x_0(OWN, x, t, z_hat), OWN.one_minus_alpha_bar[t]
    of_x_0 = root(t - 1) * OWN.beta[t] / rest
    of_x_t = OWN.alpha[t].sqrt() * OWN.one_minus_alpha_bar[t - 1] / rest
    return of_x_t * x_0 + of_x_0 * x + OWN.beta_tilde[t].sqrt() * noise


MISTAKES = "a forgotten root", "alpha for alpha_bar", "exchanged coefficients"


@pytest.mark.parametrize("name", ["dynamic threshold", "another target", "two answers", "another noise", *MISTAKES])
def test_outside_the_list_is_different_and_the_last_line(name):
    found = list(compare_program(OWN, table=OWN.alpha_bar[1:], guide=guide, **call_outside(name)))
    assert [each.outcome for each in found] == ["translated", "different"]
    assert re.search(r"% at t = 500, .*% at t = 800, .*% at t = 40(; much nearer is .*)?; see \*", found[1].text)
    assert (
        found[1]
        .text.partition("; by itself ")[0]
        .removesuffix(MEMORY)
        .endswith(" in *Four libraries, line by line*, or it is a mistake: `examine` in chapter 15")
    )
    assert ("*The step back*" in found[1].text) == ("step" in call_outside(name))


def test_sections_that_are_named_are_in_the_appendix():
    folder = Path(__file__).resolve().parents[2]
    code = "".join(path.read_text("utf8") for path in (folder / "ddpm_lite/runs/compare").glob("*.py"))
    cells = json.loads((folder / "book/rosetta.ipynb").read_text("utf8"))["cells"]
    heads = re.findall(r"^#+ (.*)$", "\n".join("".join(cell["source"]) for cell in cells), re.M)
    named = set(re.findall(r"\*([A-Z][^*\n]*)\*", code))
    assert len(named) >= 6
    assert named <= set(heads)


def test_rounding_has_the_limits_of_the_chapter():
    for size, outcome in ((0.5e-5, "equal"), (2e-5, "different")):

        def noisy(x_0, z, k, size=size):
            x_t = q_sample(OWN, x_0, k, z)
            return x_t + (size if k > 250 else 50 * size) * x_t.abs().max()

        assert next(compare_program(OWN, noisy=lambda x_0, z, k: noisy(x_0, z, k))).outcome == outcome


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({}, "compare_program: expected at least one of table, times, noisy, estimate, step, guide, got none"),
        (
            {"table": [[0.1]]},
            "table: expected one row of numbers, about T = 1000 of them, got [[0.1]] (list)",
        ),
        ({"times": []}, "times: expected 1 to T = 1000 numbers, got [] (list)"),
        ({"noisy": 3}, "noisy: expected a callable (x_0, z, k) -> x, got 3 (int)"),
        ({"noisy": lambda x_0, z, k: 0}, "noisy: expected an answer of shape (4, 1, 8, 8), got 0 (int)"),
        ({"guide": lambda c: c}, "guide: expected a callable (with label, without, scale) -> answer, got "),
        ({"step": lambda x, k: x}, "step: expected a callable (x, k, to, answer, noise) -> x, got "),
        ({"noisy": lambda x_0, z, k: {}[0]}, "3. images: expected an answer at one of the known indices, got KeyError"),
        ({"guide": guide, "pairs": [(5, 5)]}, "pairs: expected a whole number in 0..4, got 5 (int)"),
        ({"guide": guide, "pairs": [5]}, "pairs: expected pairs of times, as in [(500, 480)], got 5 (int)"),
        ({"guide": guide, "eta": 2}, "eta: expected a number in [0, 1], got 2 (int)"),
    ],
)
def test_bad_input_gets_one_line(parts, line):
    with pytest.raises((TypeError, ValueError)) as caught:
        list(compare_program(OWN, **parts))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_global_generator_and_inputs_stay():
    torch.manual_seed(5)
    before = torch.get_rng_state()

    def step(x, k, to, answer):
        x.mul_(2)
        return ddim_step(OWN, x / 2, k, to, answer, torch.randn_like(x), eta=0.5, clip=False)

    found = lines(table=OWN.alpha_bar, step=step, eta=0.5)
    assert found[1:] == ["7. step: translated: image x_t, answer z, not clipped, step to s, eta = 0.5",
                         "8. fresh noise: equal: deviation of eta = 0.5"]  # fmt: skip
    assert torch.equal(before, torch.get_rng_state())
    x, z = torch.randn(2, 3, 5)
    assert flow_from_z(OWN, x, 5, z).shape == score_from_z(OWN, z, 5).shape == velocity(OWN, x, 5, z).shape
