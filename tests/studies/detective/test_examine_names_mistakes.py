"""`examine` names each mistake of the tutorial in its own words, and finds nothing in the right program."""

import inspect
from itertools import pairwise

import mistakes
import numpy as np
import pytest
import torch
from detective_programs import (
    CAUSES,
    DROPOUT,
    END,
    IMAGES,
    IN_A,
    IN_B,
    IN_EVAL,
    NOW,
    RETURN,
    SIZES,
    START,
    UNSEEN,
    VARIANTS,
    ask,
    wrong_of,
)

from ddpm_lite import GaussianChain, examine, linear_schedule
from ddpm_lite.runs.examine.listen import name_slip, read_steps, walk
from ddpm_lite.runs.examine.sampler import check_sampler, check_weights


@pytest.mark.parametrize("key", mistakes.MISTAKES)
def test_each_mistake_is_named_by_the_first_line(key):
    named = wrong_of(mistakes.load_wrong(key))[0]
    assert named.check == mistakes.MISTAKES[key].found
    assert CAUSES[key] in named.text
    assert "\n" not in str(named)
    assert named.note == (key == "no-clip")  # Algorithm 2 as printed has no clip either


@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS)
def test_nothing_is_wrong_with_the_right_program(change):
    assert wrong_of(mistakes.load_program(*change)) == []


def test_a_program_without_a_clip_gets_a_note_and_nothing_else():
    no_clip = mistakes.MISTAKES["no-clip"]
    for last in ("return x\n", "return x.clamp(-1, 1)\n"):
        found = wrong_of(mistakes.load_program((no_clip.right, no_clip.wrong), ("    return x\n", f"    {last}")))
        assert [(each.check, each.fine) for each in found] == [("clip", True)]
        assert ("only the final image" in found[0].text) == ("clamp" in last)


@pytest.mark.parametrize(
    ("right", "wrong", "check", "text"),
    [
        ("told = torch.full((shape[0],), t)", "told = torch.full((shape[0],), t + 1)", "times of sampling", "201..2"),
        ("sigma * torch.randn(shape)", "sigma * torch.rand(shape)", "noise of a step", "use randn, not rand"),
        ("    x = torch.randn(shape)", "    x = 0.8 * torch.randn(shape)", "start of the walk", "0.8 times the noise"),
    ],
    ids=["told t + 1", "uniform fresh noise", "start too narrow"],
)
def test_a_sampler_that_is_wrong_in_one_place_has_one_line(right, wrong, check, text):
    (found,) = wrong_of(mistakes.load_program((right, wrong)))
    assert found.check == check
    assert text in found.text


# A right program whose fresh noise comes from one generator of NumPy, which is made once.
NUMPY = [
    ("NONE = LABELS", "NONE, NUMPY = LABELS, __import__('numpy').random.default_rng(0)"),
    ("sigma * torch.randn(shape)", "sigma * torch.from_numpy(NUMPY.normal(size=shape)).float()"),
]


@pytest.mark.parametrize(
    ("T", "slip", "text"),
    [
        *[(T, IN_B, "alpha_bar_t is used where alpha_bar_{t-1} belongs, in front of x_0_hat") for T in SIZES],
        (50, IN_A, "the weight of the image becomes 0.886, expected 0.883"),
        (200, IN_A, "the image gets a weight that is off by 0.5% of x_0_hat's"),
    ],
)
def test_a_small_slip_in_a_weight_is_seen(T, slip, text):
    program = mistakes.load_program(*SIZES[T], slip)
    assert text in {each.check: each.text for each in wrong_of(program)}["weights of a step"]
    assert ask(program).startswith("coefficient of x_")


def test_how_small_a_slip_examine_does_not_see():
    """A tenth of a percent of the image's new weight."""
    program = mistakes.load_program(*SIZES[1000], IN_A)
    assert wrong_of(program) == []
    assert ask(program).startswith("coefficient of x_t")


@pytest.mark.parametrize("T", [50, 200, 1000])
@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS)
def test_the_bound_of_the_weights_raises_no_alarm(change, T):
    program = mistakes.load_program(*SIZES[T], *change)
    alpha_bar = (1 - program.BETA.double()).cumprod(0)
    for seed in range(3):
        torch.manual_seed(seed)
        steps = read_steps(*walk(program.sample, (4, 1, 8, 8), alpha_bar, 1, 0.5), alpha_bar, first=1)
        assert check_weights(steps, alpha_bar).fine


MOVED = "note: range of the samples: the sampler returns 0.5 (x + 1), not its last state x; the next lines are about x"


@pytest.mark.parametrize(
    ("returned", "changes", "found"),
    [
        ("(x + 1) / 2", [], [MOVED]),
        ("((x + 1) / 2).clamp(0, 1)", [], [MOVED]),
        ("(x + 1) / 2", [("x_0 = x_0.clamp(-1, 1)", "pass")], [MOVED, "note: clip: an x_0_hat of 3 ends as 3;"]),
        ("(x + 1) / 2", [(END, f"{END} + 0.1 * torch.randn(shape)")], [MOVED, "WRONG: last step: adds noise"]),
        ("((x + 1) * 127.5).round()", [], ["note: range of the samples: the sampler returns 127.5 (x + 1), not its"]),
    ],
    ids=["in [0, 1]", "clamped", "no clip", "noise at the end", "bytes"],
)
def test_samples_that_were_moved_are_moved_back(returned, changes, found):
    lines = [str(each) for each in wrong_of(mistakes.load_program((RETURN, f"    return {returned}\n"), *changes))]
    assert len(lines) == len(found)
    assert all(line.startswith(start) for line, start in zip(lines, found, strict=True))


@pytest.mark.parametrize(
    ("right", "wrong", "line"),
    [
        (
            "    x = torch.randn(shape)",
            "    x = torch.randn(1, *shape[1:]).expand(shape)",
            "WRONG: start of the walk: all images start from the same noise; draw x_T of the whole shape",
        ),
        (
            "self.first(x_t)",
            "self.first(0 * x_t)",
            "WRONG: x_t in the network: another x_t does not change the output",
        ),
    ],
    ids=["one x_T", "x_t ignored"],
)
def test_what_all_images_have_in_common_is_seen(right, wrong, line):
    assert [str(each) for each in wrong_of(mistakes.load_program((right, wrong)))] == [line]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (
            [("x / 127.5 - 1", "x / 255 - 0.5")],
            ["note: range of the images: pixels from -0.50 to 0.50; bytes fill [-1, 1]"],
        ),
        (
            NUMPY,
            ["note: noise of a step: steps add noise that was not drawn by PyTorch, so it is not tested"],
        ),
        (
            [("range(len(beta) - 1, 0, -1)", "range(len(beta) - 2, 0, -1)")],
            ["note: times of sampling: the model is told 199..1; training had 200..1"],
        ),
        (
            [("range(len(beta) - 1, 0, -1)", "range(len(beta) - 1, 1, -1)")],
            [
                "note: times of sampling: the model is told 200..2; training had 200..1",
                "WRONG: last step: adds noise of deviation 0.018 to the image; it is the step from t = 2, so the walk",
            ],
        ),
    ],
    ids=["half the range", "noise of NumPy", "T left out", "1 left out"],
)
def test_what_is_left_out_is_said(changes, found):
    lines = [str(each) for each in wrong_of(mistakes.load_program(*changes))]
    assert len(lines) == len(found)
    assert all(line.startswith(start) for line, start in zip(lines, found, strict=True))


@pytest.mark.parametrize("change", UNSEEN.values(), ids=UNSEEN)
def test_what_the_chapter_says_is_unseen_is(change):
    assert wrong_of(mistakes.load_program(change)) == []


ADDED, LOOP = "sigma * torch.randn(shape)", "        told = torch.full((shape[0],), t)"
ONCE = "draw fresh noise in each"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ([(START, f"{START}; fresh = torch.randn(shape)"), (ADDED, "sigma * fresh")], ONCE),
        ([(START, f"{START}; fresh = x"), (ADDED, "sigma * fresh")], ONCE),
        ([(LOOP, f"{LOOP}; torch.manual_seed(0)")], ONCE),
        ([(ADDED, "beta[t].sqrt() * z_hat")], "the predicted noise is added instead of fresh noise"),
        ([(ADDED, "sigma * z_hat")], "the predicted noise is added instead of fresh noise"),
    ],
    ids=["drawn once", "x_T", "one seed", "predicted", "predicted, beta_tilde"],
)
def test_noise_that_is_not_fresh_is_named(changes, text):
    """And not called a wrong index: the estimate of such a step is correlated with its noise."""
    first = wrong_of(mistakes.load_program(*changes))[0]
    assert not first.fine
    assert first.text.split("; ")[1] == text


def test_noise_that_is_drawn_before_the_loop_is_fresh():
    drawn = (START, f"{START}; fresh = [torch.randn(shape) for _ in beta]")
    assert wrong_of(mistakes.load_program(drawn, (ADDED, "sigma * fresh[t]"))) == []


TRAILING = ("range(len(beta) - 1, 0, -1)", "(times := [round(T - i * T / 30) for i in range(30)])")
LEADING = ("range(len(beta) - 1, 0, -1)", "range(T - 3, 0, -4)")


def go_to(earlier):
    """Change the time to which a step goes, and its beta."""
    return NOW, f"now, before = alpha_bar[t], alpha_bar[{earlier}]; beta[t] = 1 - now / before"


DECAY = mistakes.MISTAKES["no-warm-up"].right
BY_ROW = "torch.where(torch.arange(len(t))[:, None] % 2 == 0, angle.sin(), angle.cos()).repeat(1, 2)"
FEWER = "30 calls of the network, not 200"
REAL = {  # public cases; the check of `examine` that comes first, and the message of the checklist
    "lucidrains 18": (
        [(NOW, "now = alpha_bar[t]; before = now if t < T else torch.ones(())")],
        "WRONG: weights of a step: at t = 1 the weight of the image becomes 2, expected 1; "
        "alpha_bar_t is used where alpha_bar_{t-1} belongs",
        "coefficient of x_t, t = 200",
    ),
    "gmongaras 10": (
        [(mistakes.MISTAKES["mixed-axes"].right, BY_ROW)],
        "WRONG: rows of the embedding: ",
        "the images of a batch are mixed",
    ),
    "diffusers 2076": ([LEADING], "WRONG: weights of a step: ", "50 calls of the network, not 200"),
    "diffusers 9384": ([TRAILING, go_to("max(t - T // 30, 0)")], "WRONG: weights of a step: ", FEWER),
    "diffusers 1864": (
        [(DECAY, "0.5")],
        "WRONG: average of the weights: in step 1,000 it keeps 50% of itself",
        "the average is over less than ten steps",
    ),
    "ControlNet 587": (
        [*VARIANTS["DDIM"], (NOW, NOW.replace("t - 1", "max(t - 1, 1)"))],
        "note: last step: adds no noise, but leaves noise of deviation 0.022; ",
        "coefficient of x_t, t = 1",
    ),
    "EngiOpt 67": (
        [(f"{ADDED} if t > 1 else mean", "beta[t].sqrt() * z_hat")],
        "WRONG: weights of a step: at t = 7 the weight of the image becomes 1.24, expected 0.995; the predicted",
        "coefficient of x_t, t = 200",
    ),
    "diffae 16": (
        [(DECAY, "0.9999")],
        "WRONG: average of the weights: after 1,000 steps 90% of the average are the first weights",
        "the average keeps 90% of its start",
    ),
    "flashinfer 3819": ([("[angle.sin(), angle.cos()]", "[angle.cos(), angle.sin()]")], None, None),
    "right, leading": ([LEADING, go_to("max(t - 4, 0)")], None, "50 calls of the network, not 200"),
    "right, trailing": ([TRAILING, go_to("max([0, *(s for s in times if s < t)])")], None, FEWER),
}


@pytest.mark.parametrize("name", REAL)
def test_what_the_checks_say_of_public_programs(name):
    changes, says, message = REAL[name]
    program = mistakes.load_program(*changes)
    found = [str(each) for each in wrong_of(program)]
    assert found == [] if says is None else found[0].startswith(says)
    assert ask(program) == message


def test_what_cannot_be_read_is_not_called_right():
    found = {
        each.check: each for each in examine(**mistakes.list_parts(mistakes.load_wrong("cosine-uncapped"), IMAGES))
    }
    assert "not tested" in found["noise of a step"].text


def test_a_clip_far_from_1_is_seen():
    (found,) = wrong_of(mistakes.load_program(("x_0.clamp(-1, 1)", "x_0.clamp(-1.6, 1.6)")))
    assert found.check == "clip"


def test_a_line_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="right: expected one line"):
        mistakes.load_program(("no such line", ""))


def test_the_weights_that_are_read_are_those_of_the_step():
    """An independent way to the same chain: the moments that the oracle computes."""
    program = mistakes.load_program()
    schedule = linear_schedule(200, 5e-4, 0.1)
    torch.manual_seed(0)
    steps = read_steps(*walk(program.sample, (4, 1, 8, 8), schedule.alpha_bar, 1, 0.2), schedule.alpha_bar, first=1)
    assert [step.t for step in steps] == list(range(200, 0, -1))
    assert all(a.s == b.t for a, b in pairwise(steps))
    oracle = GaussianChain(schedule, 0.3, 0.2)
    slope, offset = oracle.line()
    mean, variance = 0.0, 1.0
    for step in steps:
        signal, rest = schedule.alpha_bar[step.t].sqrt().item(), schedule.one_minus_alpha_bar[step.t].sqrt().item()
        factor = step.weight_x_t + step.weight_x_0 / signal * (1 - rest * slope[step.t].item())
        mean = factor * mean - step.weight_x_0 / signal * rest * offset[step.t].item()
        variance = factor**2 * variance + step.sigma**2
    means, variances = oracle.reverse_moments()
    assert mean == pytest.approx(means[0].item(), abs=1e-4)
    assert variance == pytest.approx(variances[0].item(), abs=1e-4)


@pytest.mark.parametrize(
    ("line", "slip"),
    [
        ("(x - beta / rest.sqrt() * z) / alpha.sqrt()", ""),
        ("(x - beta / beta.sqrt() * z) / alpha.sqrt()", "alpha_t is used where alpha_bar_t belongs, under the root"),
        ("(x - beta / rest.sqrt() * z) / (1 - rest).sqrt()", "alpha_bar_t is used where alpha_t belongs, in front"),
    ],
    ids=["right", "under the root", "in front"],
)
def test_slips_of_the_other_form_of_the_mean_are_named(line, slip):
    schedule = linear_schedule(20, 5e-3, 0.9)

    def sampler(model, shape):
        x = torch.randn(shape, dtype=torch.float64)
        for t in range(20, 0, -1):
            names = {"beta": schedule.beta[t], "alpha": schedule.alpha[t], "rest": schedule.one_minus_alpha_bar[t]}
            x = eval(line, names | {"x": x, "z": model(x, t)}) + (t > 1) * schedule.beta_tilde[t].sqrt() * torch.randn(
                shape, dtype=torch.float64
            )
        return x

    steps = read_steps(*walk(sampler, (4, 16), schedule.alpha_bar, 1, 0.5), schedule.alpha_bar, first=1)
    assert {name_slip(step, schedule.alpha_bar) for step in steps if 5 < step.t < 16} == {slip}


BATCH_NORM = ("nn.GroupNorm(8, WIDTH)", "nn.BatchNorm2d(WIDTH)")


@pytest.mark.parametrize("layer", [DROPOUT, BATCH_NORM], ids=["dropout", "batch norm"])
def test_a_sampler_should_leave_training_mode(layer):
    """Only if the mode changes the answer; and a note of `examine`, because `eval` may be called before."""
    program = mistakes.load_program(layer)
    assert "call model.eval()" in ask(program)
    (found,) = wrong_of(program)
    assert found.check == "mode of sampling"
    assert found.note
    assert "model.eval()" in found.text
    for changes in ([layer, IN_EVAL], [IN_EVAL]):
        program = mistakes.load_program(*changes)
        assert ask(program) is None
        assert wrong_of(program) == []
    said = {
        each.check: each.text for each in examine(**mistakes.list_parts(mistakes.load_program(layer, IN_EVAL), IMAGES))
    }
    assert said["mode of sampling"] == "the model is called in eval mode"


def test_the_slip_of_the_stranger_is_to_be_deduced(page):
    """`examine` finds it but knows no name for it; a alone is wrong, by the root of the alpha_bar before."""
    found = {each.check: each for each in examine(page["schedule"], sampler=page["stranger"]) if not each.fine}
    assert set(found) == {"weights of a step", "noise of a step"}
    assert found["weights of a step"].text.endswith("; compare its tables with those of the training")
    weights, told = page["read_coefficients"](page["stranger"], page["alpha_bar"])
    assert told == list(range(200, 0, -1))
    shares = torch.tensor(weights).flip(0)[1:] / page["right_weights"][1:]  # at t = 1 a and sigma are 0
    root = page["alpha_bar"][1:-1].sqrt()
    torch.testing.assert_close(
        shares, torch.stack([root, *torch.ones(2, len(root))], dim=1).to(shares), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("seed", [69, 197, 453])
def test_noise_of_numpy_makes_no_weight_wrong_by_chance(seed):
    """Noise that is not heard scatters the weights: at these seeds one is off by 3.4 to 4.1 times its error."""
    drawn = ("sigma * torch.randn(shape)", "sigma * torch.from_numpy(draw(size=shape)).float()")
    slip = ("(1 - before) * x", "(1 - now) * x")
    alpha_bar = linear_schedule(200, 5e-4, 0.1).alpha_bar
    found = []
    for changes in ([drawn], [drawn, slip]):
        sample = mistakes.load_program(*changes).sample
        inspect.unwrap(sample).__globals__["draw"] = np.random.default_rng(seed).normal
        torch.manual_seed(seed)
        found.append({each.check: each for each in check_sampler(sample, (4, 1, 8, 8), alpha_bar, 1)})
    right, wrong = found
    assert [str(each) for each in right.values() if not each.fine] == []
    assert right["noise of a step"].note
    assert not wrong["weights of a step"].fine


def test_no_slip_is_named_for_a_ddim_step_that_is_right():
    """Right steps of DDIM have weights that some slips of DDPM's step have too, so only the last is asked here."""
    alpha_bar = linear_schedule(200, 5e-4, 0.1).alpha_bar
    times = alpha_bar[1:].float()

    def sampler(model, shape):
        x = torch.randn(shape)
        for t in reversed(range(200)):
            z_hat = model(x, torch.full((shape[0],), t))
            now, before = times[t], times[t - 1]  # at time 0 this is the last entry
            x_0 = ((x - (1 - now).sqrt() * z_hat) / now.sqrt()).clamp(-1, 1)
            x = before.sqrt() * x_0 + ((1 - before) / (1 - now)).sqrt() * (x - now.sqrt() * x_0)
        return x

    torch.manual_seed(0)
    (wrong,) = (each for each in check_sampler(sampler, (4, 1, 8, 8), alpha_bar, 0) if not each.fine)
    assert wrong.text.startswith("at t = 1 the weight of the image becomes 0.0055, expected 1; compare its tables")
