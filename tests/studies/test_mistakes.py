"""The tutorial with its mistakes: `examine` names each, in its own words, and finds nothing in the right program."""

import ast
import inspect
import json
import re
from itertools import pairwise

import mistakes
import more_mistakes
import numpy as np
import pytest
import study_mistakes
import study_mutations
import torch
from study_mutations import checklist

from ddpm_lite import GaussianChain, UNet, UNetConfig, examine, linear_schedule, load_digits
from ddpm_lite.files.records import name_processor, read_pictures, read_record
from ddpm_lite.runs.examine.listen import name_slip, read_steps, walk
from ddpm_lite.runs.examine.sampler import check_sampler, check_weights

IMAGES = torch.randint(0, 256, (80, 1, 8, 8), generator=torch.Generator().manual_seed(0)).float()
# What the line has to say beside the name of its check.
CAUSES = {
    "unscaled-betas": "scaled by 1000 / T",
    "cosine-uncapped": "cap the betas at 0.999",
    "half-tables": "compute tables in float64",
    "zero-to-one": "2 x - 1",
    "uniform-noise": "use randn",
    "from-zero": "0..199; expected 1..200",
    "labels-kept": "kept with probability p",
    "no-warm-up": "needs a warm-up",
    "buffers-averaged": "copy buffers",
    "no-time": "not told the time",
    "time-as-share": "not t / T",
    "mixed-axes": "along the last axis",
    "norm-uncalled": "blocks.0.norm.weight",
    "one-time-early": "199..0; training had 200..1",
    "another-T": "start at T = 200",
    "alpha-for-alpha-bar": "alpha_t is used where alpha_bar_t belongs",
    "index-slip": "alpha_bar_t is used where alpha_bar_{t-1} belongs",
    "variance-as-deviation": "variance was taken for the standard deviation",
    "noise-at-the-end": "adds noise",
    "no-clip": "clip x_0_hat",
    "guidance-plus-one": "plus 1",
}


def wrong_of(program):
    torch.manual_seed(0)
    return [each for each in examine(**mistakes.list_parts(program, IMAGES)) if each.note or not each.fine]


def ask(program, **options):
    """What the checklist says of a program: None, or the message of the first assertion that fails."""
    try:
        said = checklist.check_all(**vars(program) | options)
    except AssertionError as found:
        return str(found)
    assert said == "no mistake found"


@pytest.mark.parametrize("key", mistakes.MISTAKES)
def test_each_mistake_is_named_by_the_first_line(key):
    named = wrong_of(mistakes.load_wrong(key))[0]
    assert named.check == mistakes.MISTAKES[key].found
    assert CAUSES[key] in named.text
    assert "\n" not in str(named)
    assert named.note == (key == "no-clip")  # Algorithm 2 as printed has no clip either


MEAN = "mean = ((1 - beta[t]).sqrt() * (1 - before) * x + before.sqrt() * beta[t] * x_0) / (1 - now)"
LEAP = "mean = before.sqrt() * x_0 + (1 - before).sqrt() * (x - now.sqrt() * x_0) / (1 - now).sqrt()"
SIGMA = "sigma = (beta[t] * (1 - before) / (1 - now)).sqrt()"
VARIANTS = {
    "linear": [],
    "cosine": [mistakes.COSINE],
    "variance beta_t": [(SIGMA, "sigma = beta[t].sqrt()")],
    "DDIM": [(MEAN, LEAP), (SIGMA, "sigma = 0")],
}


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


IN_B = ("+ before.sqrt() * beta[t]", "+ now.sqrt() * beta[t]")  # off by beta_t / 2, which is least if T is large
IN_A = ("((1 - beta[t]).sqrt()", "((1 - beta[t - 1]).sqrt()")
LARGEST = "return torch.linspace(1e-4, 0.02, steps) * 1000 / steps"
SIZES = {
    T: [
        ("LABELS = 200,", f"LABELS = {T},"),
        (LARGEST, "return (torch.linspace(1e-4, 0.02, steps) * 1000 / steps).clamp(max=0.999)"),
    ]
    for T in (20, 50, 200, 1000)
}


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
    assert ask(program).startswith("weight of x_")


def test_how_small_a_slip_examine_does_not_see():
    """A tenth of a percent of the image's new weight."""
    program = mistakes.load_program(*SIZES[1000], IN_A)
    assert wrong_of(program) == []
    assert ask(program).startswith("weight of x_t")


@pytest.mark.parametrize("T", [50, 200, 1000])
@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS)
def test_the_bound_of_the_weights_raises_no_alarm(change, T):
    program = mistakes.load_program(*SIZES[T], *change)
    alpha_bar = (1 - program.BETA.double()).cumprod(0)
    for seed in range(3):
        torch.manual_seed(seed)
        steps = read_steps(*walk(program.sample, (4, 1, 8, 8), alpha_bar, 1, 0.5), alpha_bar, first=1)
        assert check_weights(steps, alpha_bar).fine


START = "    x = torch.randn(shape)"
RETURN, END = "    return x\n", "* torch.randn(shape) if t > 1 else mean"
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


# What chapter 15 says that `examine` passes: mistakes, and it has nothing to say.
UNSEEN = {
    "one time for a batch": ("torch.randint(1, T + 1, (len(x_0),))", "torch.randint(1, T + 1, (1,)).expand(len(x_0))"),
    "uneven times": ("torch.randint(1, T + 1, (len(x_0),))", "(T * torch.rand(len(x_0)) ** 2).long() + 1"),
    "dropped labels are 1": ("< P, NONE, labels", "< P, 1, labels"),
    "black for white": ("x / 127.5 - 1", "1 - x / 127.5"),
    "label ignored": ("told = self.label(label)", "told = self.label(torch.full_like(label, NONE))"),
    "no skip connection": ("return h + self.conv_2", "return self.conv_2"),
    "clip to 0.9": ("x_0.clamp(-1, 1)", "x_0.clamp(-0.9, 0.9)"),
    "clip to 1.4": ("x_0.clamp(-1, 1)", "x_0.clamp(-1.4, 1.4)"),
    "arguments of guide": (
        "guide(z_hat, model(x, told, torch.full((shape[0],), NONE)), w)",
        "guide(0 * z_hat, z_hat, w)",
    ),
    "wrong periods": ("10_000 ** -torch.linspace", "10_000 ** +torch.linspace"),
    "no labels": ("z_hat = model(x, told, label)", "z_hat = model(x, told)"),
    "label 0 for none": ("torch.full((shape[0],), NONE)), w)", "torch.full((shape[0],), 0)), w)"),
    "told t - 1": ("guide(z_hat, model(x, told, torch", "guide(z_hat, model(x, told - 1, torch"),
    "the sine twice": ("[angle.sin(), angle.cos()]", "[angle.sin(), angle.sin()]"),
    "tanh": ("return self.last(F.silu(h))", "return self.last(F.silu(h)).tanh()"),
    "relu": ("return self.last(F.silu(h))", "return self.last(F.silu(h)).relu()"),
    "one seed": ("    x = torch.randn(shape)", "    torch.manual_seed(0); x = torch.randn(shape)"),
}


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


NOW = "now, before = alpha_bar[t], alpha_bar[t - 1]"
DECAY = mistakes.MISTAKES["no-warm-up"].right
BY_ROW = "torch.where(torch.arange(len(t))[:, None] % 2 == 0, angle.sin(), angle.cos()).repeat(1, 2)"
FEWER = "30 calls of the network, not 200"
REAL = {  # public cases; the check of `examine` that comes first, and the message of the checklist
    "lucidrains 18": (
        [(NOW, "now = alpha_bar[t]; before = now if t < T else torch.ones(())")],
        "WRONG: weights of a step: at t = 1 the weight of the image becomes 2, expected 1; "
        "alpha_bar_t is used where alpha_bar_{t-1} belongs",
        "weight of x_t, t = 200",
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
        "weight of x_t, t = 1",
    ),
    "EngiOpt 67": (
        [(f"{ADDED} if t > 1 else mean", "beta[t].sqrt() * z_hat")],
        "WRONG: weights of a step: at t = 7 the weight of the image becomes 1.24, expected 0.995; the predicted",
        "weight of x_t, t = 200",
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


def test_the_record_is_about_these_lines():
    record = read_record("results/mistakes.json")
    assert record["program"] == mistakes.SOURCE
    rows, pictures = record["rows"], read_pictures("results/mistakes.safetensors")
    more = {"right, guided", *study_mistakes.MAPPED.values()}
    assert set(rows) == {*study_mistakes.KEYS, *more} == set(pictures)
    assert list(record["other_weights"]["losses"]) == list(map(str, more_mistakes.OTHER))
    draws = record["other_draws"]
    assert draws["seeds"] == [1, *more_mistakes.DRAWS]
    assert list(draws["rows"]) == list(more_mistakes.list_draws())
    assert draws["compared_with"] == {key: usual for key, usual in more_mistakes.list_draws().items() if usual}
    for key, row in draws["rows"].items():  # the first seed is that of all rows
        assert set(row) == {"distance", "as_asked", "outside", "largest"}
        if not key.endswith(more_mistakes.STRONG):
            assert row["distance"][0] == pytest.approx(rows[key]["distance"], abs=0.01)
    for key, mistake in mistakes.MISTAKES.items():
        row = rows[key]
        assert {name: row[name] for name in vars(mistake)} == vars(mistake)
        assert CAUSES[key] in row["says"]
        assert row["says"] in row["lines"][0]
        assert (row["losses"] is None) != study_mistakes.needs_training(key)
        assert pictures[key].shape == (8, 1, 8, 8)


def test_the_chapter_shows_the_whole_program():
    """Its long lines are broken, but it is the same program, without the docstring."""
    shown = "".join(study_mutations.find_cell("detective-program")["outputs"][0]["text"])
    said, code = shown.split("import math\n")
    assert f"{study_mistakes.STEPS:,} steps of {study_mistakes.BATCH} digits" in said
    assert max(map(len, code.splitlines())) <= 72  # what a folded cell has room for
    whole = ast.parse(mistakes.SOURCE)
    whole.body = whole.body[1:]
    assert ast.dump(ast.parse("import math\n" + code)) == ast.dump(whole)


@pytest.fixture(scope="module")
def page():
    return study_mutations.run_chapter()


NO_LABELS = [  # the plain case: a program whose network has no labels
    ("label = torch.full((len(x_t),), NONE) if label is None else label", "pass"),
    ("told = self.label(label)", "told = 0"),
    ("self.label = nn.Embedding(LABELS + 1, WIDTH)", "pass"),
]


SAID = {  # the message of the checklist
    "unscaled-betas": "x_T is no pure noise",
    "cosine-uncapped": "a beta near 1, so x_0_hat explodes",
    "half-tables": "the table is wrong, or rounded",
    "zero-to-one": "range of the images",
    "uniform-noise": "mean, variance or kurtosis of the noise",
    "from-zero": "times drawn",
    "labels-kept": "90% of the labels are dropped, not 10%",
    "no-warm-up": "the average keeps 90% of its start",
    "buffers-averaged": "the average does not copy the buffers",
    "no-time": "the network ignores the time",
    "time-as-share": "neighbouring times look alike",
    "mixed-axes": "the images of a batch are mixed",
    "norm-uncalled": "a layer is made but never called",
    "one-time-early": "times 199..0",
    "another-T": "50 calls of the network, not 200",
    "alpha-for-alpha-bar": "weight of x_0_hat, t = 200",
    "index-slip": "weight of x_0_hat, t = 200",
    "variance-as-deviation": "weight of the noise, t = 200",
    "noise-at-the-end": "weight of the noise, t = 1",
    "no-clip": "the last states are not the clipped estimate",
    "guidance-plus-one": "guidance is not z_with + w * (z_with - z_without)",
}


@pytest.mark.parametrize("key", mistakes.MISTAKES)
def test_the_checklist_finds_each_mistake(key):
    assert ask(mistakes.load_wrong(key)) == SAID[key]


@pytest.mark.parametrize("T", SIZES)
@pytest.mark.parametrize("change", VARIANTS)
def test_a_right_program_passes_the_checklist(change, T):
    program = mistakes.load_program(*SIZES[T], *VARIANTS[change])
    assert ask(program) is None
    program.Network = new_unet(0.0)
    assert ask(program) is None


@pytest.mark.parametrize("T", SIZES)
@pytest.mark.parametrize("predicts", ["v", "x_0"])
def test_a_right_program_of_another_network_passes_with_an_option(predicts, T):
    changes = [*SIZES[T], *{"v": OF_V, "x_0": OF_X_0}[predicts]]
    assert ask(mistakes.load_program(*changes), PREDICTS=predicts) is None
    assert ask(mistakes.load_program(*changes)) == LOST
    slips = {"weight of x_t": IN_A, "last states": NO_CLIP}
    for said, slip in slips.items():
        assert said in ask(mistakes.load_program(*changes, slip), PREDICTS=predicts)


@pytest.mark.parametrize("T", SIZES)
def test_a_right_program_without_a_clip_passes_with_an_option(T):
    program = mistakes.load_program(*SIZES[T], NO_CLIP)
    assert ask(program, CLIP=False) is None
    assert ask(mistakes.load_program(*SIZES[T], NO_CLIP, IN_B), CLIP=False).startswith("weight of x_0_hat")


@pytest.mark.parametrize("T", SIZES)
@pytest.mark.parametrize("kind", ["linear", "variance beta_t", "DDIM"])
def test_a_step_of_two_kinds_is_refused(kind, T):
    """The right weights of another kind in one of the steps."""
    step = "t == T // 2"
    other = {
        "linear": [(SIGMA, f"{SIGMA} if {step} else beta[t].sqrt()")],
        "variance beta_t": [(SIGMA, f"sigma = beta[t].sqrt() if {step} else {SIGMA.removeprefix('sigma = ')}")],
        "DDIM": [(MEAN, LEAP), (SIGMA, f"sigma = beta[t].sqrt() if {step} else 0")],
    }[kind]
    assert ask(mistakes.load_program(*SIZES[T], *other)) == f"weight of the noise, t = {T // 2}"


WIDE = ("0.02, steps) * 1000 / steps", "0.04, steps) * 1000 / steps")  # betas up to twice as large
ORDERED = ("torch.randint(1, T + 1, (len(x_0),))", "torch.arange(len(x_0)) * T // len(x_0) + 1")
OF_Z = "mean = (x - beta[t] / (1 - now) * (x - now.sqrt() * x_0)) / (1 - beta[t]).sqrt()"


@pytest.mark.parametrize("T", [200, 1000])
@pytest.mark.parametrize("change", [WIDE, ORDERED, (MEAN, OF_Z)], ids=["larger betas", "ordered times", "by the noise"])
def test_other_right_programs_pass_both_tools(change, T):
    program = mistakes.load_program(("LABELS = 200,", f"LABELS = {T},"), change)
    assert ask(program) is None


@pytest.mark.parametrize("T", [200, 1000])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (IN_B, "weight of x_0_hat"),
        (("* z_hat) / now.sqrt()", "* z_hat) / before.sqrt()"), "weight of x_0_hat"),
        (IN_A, "weight of x_t, t = "),
        ((SIGMA, SIGMA.replace("beta[t]", "beta[t - 1]")), "weight of the noise, t = "),
        ((START, "    x = 2 * torch.randn(shape)"), "x_T is not"),
        ((START, "    x = 0.5 * torch.randn(shape)"), "x_T is not"),
        ((START, "    x = torch.randn(shape) + 1"), "x_T is not"),
        ((START, "    x = torch.rand(shape)"), "x_T is not"),
        (("self.first(x_t)", "self.first(0 * x_t)"), "ignores x_t"),
        (("torch.randn_like(x_0)", "(torch.rand_like(x_0) - 0.5) * 12**0.5"), "kurtosis"),
        (UNSEEN["relu"], "one sign"),
    ],
)
def test_the_checklist_sees_small_slips(change, said, T):
    assert said in ask(mistakes.load_program(("LABELS = 200,", f"LABELS = {T},"), change))


NO_CLIP = ("x_0 = x_0.clamp(-1, 1)", "pass")
FINAL_CLAMP = ("    return x\n", "    return x.clamp(-1, 1)\n")


@pytest.mark.parametrize("T", [50, 200, 1000])
def test_a_final_clamp_is_no_clip_of_the_estimates(T):
    size = ("LABELS = 200,", f"LABELS = {T},")
    for changes, said in ((), None), ((FINAL_CLAMP,), None), ((NO_CLIP,), "no"), ((NO_CLIP, FINAL_CLAMP), "no"):
        program = mistakes.load_program(size, *changes)
        assert ask(program) == (said and "the last states are not the clipped estimate")


@pytest.mark.parametrize("T", SIZES)
def test_ddim_that_keeps_the_noise_of_an_unclipped_estimate_passes_the_checklist(T):
    leap = (MEAN, "mean = before.sqrt() * x_0 + (1 - before).sqrt() * z_hat")
    assert ask(mistakes.load_program(*SIZES[T], leap, (SIGMA, "sigma = 0"))) is None


def test_noise_in_the_last_of_a_thousand_steps_shows_in_the_last_state():
    """Its deviation of 0.01 is within the bound of the weights at t = 1."""
    mistake = mistakes.MISTAKES["noise-at-the-end"]
    program = mistakes.load_program(("LABELS = 200,", "LABELS = 1000,"), (mistake.right, mistake.wrong))
    assert ask(program) == "the last states are not the clipped estimate"


def test_a_sampler_may_ask_the_network_for_its_device():
    device = "next(model.parameters()).device"
    program = mistakes.load_program((START, f"    x = torch.randn(shape, device={device})"))
    assert ask(program) is None


def test_four_thousand_times_in_float32_fail_the_checklist():
    for changes in ([], [mistakes.COSINE]):
        program = mistakes.load_program(("LABELS = 200,", "LABELS = 4000,"), *changes)
        assert ask(program) == "the table is wrong, or rounded"


def test_a_program_without_labels_passes_the_checklist():
    assert ask(mistakes.load_program(*NO_LABELS)) is None


def test_a_sampler_may_change_its_state_in_place():
    last = "x = mean + sigma * torch.randn(shape) if t > 1 else mean"
    program = mistakes.load_program((last, last.replace("x = ", "x.copy_(") + ")"))
    assert ask(program) is None
    assert all(each.fine for each in examine(**mistakes.list_parts(program, IMAGES)))


def test_a_step_that_returns_nothing_gets_a_message():
    assert ask(mistakes.load_program(("    return loss.item()", ""))) == "train_step returns no loss"


def test_what_the_list_says_of_times_and_the_clip(page):
    """Examine reports neither, and the checklist only the other bound."""
    often = ("torch.randint(1, T + 1, (len(x_0),))", "(T * torch.rand(len(x_0)) ** 2).long() + 1")
    page = page | {"examine": examine}
    exec(study_mutations.find_cell("detective-look")["source"], page)
    said = {often: None, ("x_0.clamp(-1, 1)", "x_0.clamp(-1.5, 1.5)"): "the last states are not the clipped estimate"}
    for change, message in said.items():
        program = mistakes.load_program(change)
        assert ask(program) == message
        assert all(each.fine for each in page["look"](vars(program)))


def test_three_hundred_times_with_betas_that_are_not_scaled_leave_an_image():
    program = mistakes.load_program(("LABELS = 200,", "LABELS = 300,"), (" * 1000 / steps", ""))
    assert ask(program) == "x_T is no pure noise"


BOOK = study_mistakes.RESULTS.parent


def read_source(code):
    """The functions of a source text by name, and the two tables of the checklist."""
    parts = ast.parse(code).body
    tables = [node for node in parts if isinstance(node, ast.Assign)]
    tables = {ast.unparse(node.targets[0]): ast.unparse(node) for node in tables}
    found = {node.name: ast.unparse(node) for node in parts if isinstance(node, ast.FunctionDef)}
    return found | {name: tables[name] for name in ("QUESTIONS", "OPTIONS") if name in tables}


def read_functions(page):
    """The functions of a page, by name."""
    cells = json.loads((study_mistakes.RESULTS.parent / page).read_text(encoding="utf8"))["cells"]
    code = "\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code" and cell["id"] != "install"
    )
    return read_source(code)


def test_functions_of_all_pages_are_the_same():
    """An appendix runs alone, so it repeats the chapter's functions. `mark` there takes a row, and here its key."""
    chapter, measured, failing = map(read_functions, study_mutations.PAGES)
    assert {"check_all", "read_weights", "run_fake", "follow", "end", "look", "load"} <= set(chapter) & set(measured)
    file = read_source((BOOK / "checklist.py").read_text(encoding="utf8"))
    assert len(file) == 16
    assert all(chapter[name] == measured[name] == text for name, text in file.items())
    assert "load" in set(chapter) & set(failing)
    for appendix in (measured, failing):
        both = set(chapter) & set(appendix) - {"mark"}
        assert {name for name in both if chapter[name] != appendix[name]} == set()


def read_table(text):
    """The cells of a Markdown table, without its two first lines."""
    rows = [line.strip("| ").split(" | ") for line in "".join(text).splitlines() if line.startswith("|")]
    return rows[2:]


def test_the_tables_of_the_chapter_are_those_of_the_appendix():
    cases = study_mutations.find_cell("detective-real-cases")["outputs"][0]["data"]["text/markdown"]
    shown = read_table(study_mutations.find_cell("detective-real")["source"])
    parts = [(re.sub(r" #\d+]", "]", where), *rest) for where, *rest in read_table(cases)]  # without their numbers
    table = [[where, what, says.split(":")[0], said] for where, what, _, says, said in parts]
    assert (len(table), len(shown)) == (9, 4)  # as the chapter says
    assert shown == [row for row in table if row in shown]
    grid = study_mutations.find_cell("detective-grid")["outputs"][0]["data"]["text/markdown"]
    counts = study_mutations.find_cell("detective-counts")["outputs"][0]["data"]["text/markdown"]
    marks = [row[1:4] for row in read_table(grid)[:-1]]
    clearly = [sum(row[i] == "●" for row in marks) for i in range(3)]
    none = sum(not set(row) & {"●", "○"} for row in marks)
    assert list(map(int, read_table(counts)[-1][1:])) == [len(marks), *clearly, none]


IN_EVAL = (START, "    model.eval()\n    x = torch.randn(shape)")


def new_unet(dropout):
    """The book's U-Net with its new weights, many of which are 0, as the checklist calls a network."""

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = UNet(UNetConfig(8, dropout=dropout))

        def forward(self, x_t, t, label=None):
            return self.unet(x_t, t)

    return Network


BLOCK, LAST = "self.conv_2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)", "self.last = nn.Conv2d(WIDTH, 1, 3, padding=1)"
DROPOUT = ("self.conv_2(F.silu(new))", "self.conv_2(F.dropout(F.silu(new), 0.1, self.training))")
ZEROS = [(line, f"{line}; [nn.init.zeros_(p) for p in {line.split(' =')[0]}.parameters()]") for line in (BLOCK, LAST)]


TINY = {  # how many programs begin their last layers
    "times 1e-10": "nn.init.zeros_({0}.bias); {0}.weight.data.mul_(1e-10)",
    "gain of 1e-5": "nn.init.zeros_({0}.bias); nn.init.xavier_uniform_({0}.weight, gain=1e-5)",
}


@pytest.mark.parametrize("lines", [(BLOCK, LAST), (LAST,)], ids=["blocks too", "last"])
@pytest.mark.parametrize("begin", TINY.values(), ids=TINY)
def test_layers_that_begin_near_zero_fail_no_line(begin, lines):
    tiny = [(line, f"{line}; {begin.format(line.split(' =')[0])}") for line in lines]
    program = mistakes.load_program(*tiny)
    assert ask(program) is None
    assert wrong_of(program) == []
    untold = mistakes.MISTAKES["no-time"]
    program = mistakes.load_program((untold.right, untold.wrong), *tiny)
    if "gain" in begin:  # at 1e-10 the output is 0, of which `examine` says only that
        assert [each.check for each in wrong_of(program)] == ["time in the network"]
    assert ask(program) == "the network ignores the time"


def test_a_frozen_tensor_needs_no_gradient():
    norm = "self.norm = nn.GroupNorm(8, WIDTH)"
    uncalled = mistakes.MISTAKES["norm-uncalled"]
    for layer, called in (("self.norm", True), ("self.never", False)):
        frozen = f"self.norm = nn.GroupNorm(8, WIDTH); {layer} = nn.GroupNorm(8, WIDTH).requires_grad_(False)"
        program = mistakes.load_program((norm, frozen))
        assert ask(program) is None, called
        program = mistakes.load_program((uncalled.right, uncalled.wrong))
    assert ask(program) == "a layer is made but never called"


FULL = "told = torch.full((shape[0],), t)"


@pytest.mark.parametrize(
    "told",
    ["told = torch.ones(shape[0]).long(); told[0] = t", "told = torch.full((shape[0],), t + 0.4)"],
    ids=["the first image only", "t + 0.4"],
)
def test_the_times_of_all_images_are_asked_and_not_rounded(told):
    program = mistakes.load_program((FULL, told))
    assert ask(program).startswith("times ")


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


TOLD_LABELS, LOSS = "z_hat = model(x_t, t, drop_labels(labels))", "loss = (z_hat - z).square().mean()"
ZERO, BACK, STEP = (f"    {call}\n" for call in ("optimiser.zero_grad()", "loss.backward()", "optimiser.step()"))
MOVE = "    update_average(average, model, step)\n    return"
STEPS = {
    "target -z": (LOSS, "loss = (z_hat + z).square().mean()"),
    "target x_0": (LOSS, "loss = (z_hat - x_0).square().mean()"),
    "target x_t": (LOSS, "loss = (z_hat - x_t).square().mean()"),
    "fresh noise": (LOSS, "loss = (z_hat - torch.randn_like(z)).square().mean()"),
    "a sum over pixels": (LOSS, "loss = (z_hat - z).square().sum() / len(z)"),
    "part of the batch": (LOSS, "loss = (z_hat - z)[:16].square().mean()"),
    "mean before the square": (LOSS, "loss = (z_hat - z).mean(dim=0).square().mean()"),
    "target of another shape": (LOSS, "loss = (z_hat - z[:1]).square().mean()"),
    "L1": (LOSS, "loss = (z_hat - z).abs().mean()"),
    "images of another batch": ("make_batch(x_0)\n    z_hat", "make_batch(x_0.roll(1, 0))\n    z_hat"),
    "told t - 1": ("model(x_t, t, drop", "model(x_t, t - 1, drop"),
    "zero_grad forgotten": (ZERO, ""),
    "zero_grad too late": (BACK, BACK + ZERO),
    "step before backward": (BACK + STEP, STEP + BACK),
    "no step": (STEP, ""),
    "the average as the model": (MOVE, MOVE.replace("average, model", "model, average")),
    "no average": (MOVE, "    return"),
    "labels of another batch": (TOLD_LABELS, "z_hat = model(x_t, t, drop_labels(labels.roll(1)))"),
    "labels never dropped": (TOLD_LABELS, "z_hat = model(x_t, t, labels)"),
    "labels dropped twice": (TOLD_LABELS, "z_hat = model(x_t, t, drop_labels(drop_labels(labels)))"),
}


ANOTHER, LOST = "the training asks about another x_t or t", "the loss is not the mean square of z_hat - z"
STILL, UP = "a step changes no weight", "a step raises the loss"
OTHER_LABELS, STANDS = "the training passes on other labels", "the training does not move the average"


@pytest.mark.parametrize("name", STEPS)
def test_a_wrong_step_of_the_training_is_seen(name):
    about = {"no average": STANDS, "zero_grad forgotten": UP, "zero_grad too late": STILL, "no step": STILL}
    about |= {"step before backward": STILL, "images of another batch": ANOTHER, "told t - 1": ANOTHER}
    about |= {"the average as the model": ask(mistakes.load_program(STEPS["the average as the model"]))}
    said = OTHER_LABELS if "labels" in name else about.get(name, LOST)
    assert ask(mistakes.load_program(STEPS[name])) == said
    assert said is not None


CALLED = "z_hat = model(x_t, t, drop_labels(labels))"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *[(STEPS[name], LOST) for name in list(STEPS)[:9]],
        (STEPS["images of another batch"], ANOTHER),
        (STEPS["told t - 1"], ANOTHER),
        ((CALLED, CALLED.replace("x_t", "x_0")), ANOTHER),
        ((CALLED, CALLED.replace("x_t", "z")), ANOTHER),
        ((CALLED, CALLED.replace("x_t, t", "x_t, t.roll(1)")), ANOTHER),
        ((CALLED, CALLED.replace("x_t, t", "x_t, t / T")), ANOTHER),
    ],
)
@pytest.mark.parametrize("T", [200, 1000])
def test_the_checklist_sees_what_the_training_asks(change, said, T):
    assert ask(mistakes.load_program(("LABELS = 200,", f"LABELS = {T},"), change)) == said


CLIP_TO = "    torch.nn.utils.clip_grad_norm_(model.parameters(), {})\n"
FORGOTTEN = {
    "zero_grad": ((ZERO, ""), UP),
    "zero_grad too late": (STEPS["zero_grad too late"], STILL),
    "step before backward": (STEPS["step before backward"], STILL),
    "step": (STEPS["no step"], STILL),
    "backward": ((BACK, ""), STILL),
    "the sign of the loss": ((BACK, "    (-loss).backward()\n"), UP),
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_the_checklist_sees_a_step_that_does_not_go_down(name):
    change, said = FORGOTTEN[name]
    assert ask(mistakes.load_program(change)) == said


@pytest.mark.parametrize("norm", [1, 0.001])
def test_a_forgotten_zero_grad_is_seen_under_clipping(norm):
    changes = [(ZERO, ""), (STEP, CLIP_TO.format(norm) + STEP)]
    assert ask(mistakes.load_program(*changes)) == UP


AUTOCAST = """    with torch.autocast("cpu", dtype=torch.bfloat16):
        z_hat = model(x_t, t, drop_labels(labels))
        loss = (z_hat - z).square().mean()
"""
SCALED = """    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(loss).backward()
    scaler.unscale_(optimiser)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
    scaler.step(optimiser)
"""


@pytest.mark.parametrize(
    "changes",
    [
        [(STEP, CLIP_TO.format(1) + STEP)],
        [(STEP, CLIP_TO.format(0.001) + STEP)],
        [(ZERO, "    optimiser.zero_grad(set_to_none=True)\n")],
        [(ZERO, "    optimiser.zero_grad(set_to_none=False)\n")],
        [(ZERO, ""), (STEP, STEP + ZERO)],
        [(ZERO, ""), (STEP, CLIP_TO.format(1) + STEP + "    optimiser.zero_grad(set_to_none=False)\n")],
        [(f"    {TOLD_LABELS}\n    {LOSS}\n", AUTOCAST)],
        [(BACK + STEP, SCALED)],
    ],
    ids=["clipped", "clipped to 0.001", "None", "zeros", "at the end", "zeros at the end", "autocast", "scaled"],
)
def test_right_steps_of_other_forms_pass_the_checklist(changes):
    assert ask(mistakes.load_program(*changes)) is None


def test_which_other_choices_fail_the_checklist():
    """As the chapter says."""
    cases = {
        STILL: [
            (ZERO, "    if step % 4 == 1: optimiser.zero_grad()\n"),
            (STEP, "    if step % 4 == 0: " + STEP.strip() + "\n"),
        ],
        "neighbouring times look alike": [("angle = t[:, None] *", "angle = t[:, None] / T *")],
    }
    for said, changes in cases.items():
        assert ask(mistakes.load_program(*changes)) == said
    squares = "(z_hat - z).square().mean()"
    for other in ("(z_hat - z).abs().mean()", "F.smooth_l1_loss(z_hat, z)", "(z_hat - z).square().sum()"):
        assert "not the mean square" in ask(mistakes.load_program((squares, other)))
    for other in ("x / 128 - 1", "(x + torch.rand_like(x)) / 128 - 1", "(x / 255 - 0.5) / 0.3"):
        assert ask(mistakes.load_program(("x / 127.5 - 1", other))) == "range of the images"
    labelled = "told = 0 if label is None else self.label(label)"
    program = mistakes.load_program(NO_LABELS[0], ("told = self.label(label)", labelled))
    assert ask(program) == "a layer is made but never called"
    assert "weight of" in ask(mistakes.load_program((START, START + ".double()")))
    program = mistakes.load_program()
    draw = program.sample
    program.sample = lambda *given: (draw(*given) + 1) / 2
    assert "weight of" in ask(program)
    before = "    x_t, t, z = make_batch(x_0)\n    z_hat"
    flipped = "    x_0 = torch.where(torch.rand(len(x_0), 1, 1, 1) < 0.5, x_0, x_0.flip(3))\n"
    dropped = "    labels = drop_labels(labels)\n"
    for line in (flipped, dropped):
        assert ask(mistakes.load_program((before, line + before))) == ANOTHER


def test_the_checklist_asks_for_the_shape_of_the_output():
    program = mistakes.load_program(("Conv2d(WIDTH, 1, 3", "Conv2d(WIDTH, 2, 3"))
    assert ask(program) == "the output has another shape"


@pytest.mark.parametrize("name", ["label", "y"])
def test_labels_may_be_passed_by_name(name):
    changes = [(TOLD_LABELS, TOLD_LABELS.replace("drop_labels(", f"{name}=drop_labels("))]
    changes += [
        (
            "def forward(self, x_t, t, label=None):",
            "def forward(self, x_t, t, label=None, y=None):\n        label = label if y is None else y",
        )
    ]
    assert ask(mistakes.load_program(*changes)) is None


def test_target_and_answer_may_be_exchanged():
    assert ask(mistakes.load_program((LOSS, LOSS.replace("z_hat - z", "z - z_hat")))) is None


def test_dropout_and_layers_of_zeros_fail_no_line():
    for changes in ([DROPOUT, IN_EVAL], ZEROS, ZEROS[1:], [DROPOUT, IN_EVAL, *ZEROS]):
        assert ask(mistakes.load_program(*changes)) is None
    untold = mistakes.MISTAKES["no-time"]
    program = mistakes.load_program((untold.right, untold.wrong), *ZEROS)
    assert ask(program) == "the network ignores the time"


CALL = "z_hat = model(x, told, label)"
OTHER_CALLS = {
    "DDIM with 50 of 200 times": [
        *VARIANTS["DDIM"],
        ("range(len(beta) - 1, 0, -1)", "range(T, 0, -4)"),
        ("alpha_bar[t - 1]", "alpha_bar[t - 4]"),
    ],
    "fewer": [("make_tables(T)\n    x", "make_tables(T // 4)\n    x")],
    "more": [("make_tables(T)\n    x", "make_tables(5 * T)\n    x")],
    "two in each step": [(CALL, f"{CALL}; {CALL}")],
    "none": [(CALL, "z_hat = x")],
}


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (
            "    x = torch.randn(shape)",
            "    x = torch.randn(1, *shape[1:]).expand(shape)",
            "x_T is not the first noise that is drawn",
        ),
        ("z_with + w * (z_with", "z_with - w * (z_with", SAID["guidance-plus-one"]),
        ("(z_with - z_without)", "(z_with + z_without)", SAID["guidance-plus-one"]),
        ("z_with + w * (z_with - z_without)", "z_with * (1 + w)", SAID["guidance-plus-one"]),
        ("w * (z_with - z_without)", "w / (z_with - z_without)", SAID["guidance-plus-one"]),
        ("Conv2d(WIDTH, 1, 3", "Conv2d(WIDTH, 2, 3", "the output has another shape"),
        ("return self.last(F.silu(h))", "return self.last(F.silu(h)).relu()", "the output has one sign"),
        ("x_0.clamp(-1, 1)", "x_0.clamp(-2, 1)", "the last states are not the clipped estimate"),
        ("x_0.clamp(-1, 1)", "x_0.clamp(-1, 2)", "the last states are not the clipped estimate"),
        ("self.first(x_t)", "self.first(0 * x_t)", "the network ignores x_t"),
        ("< P, NONE, labels", "< P, 0, labels", "5% of the labels are dropped, not 10%"),
    ],
    ids=[
        "one x_T",
        "guidance reversed",
        "a sum",
        "z_without left out",
        "a quotient",
        "two channels",
        "relu",
        "low",
        "high",
        "x_t ignored",
        "0 for no label",
    ],
)
def test_a_line_of_the_checklist_sees(right, wrong, said):
    assert ask(mistakes.load_program((right, wrong))) == said


@pytest.mark.parametrize("changes", OTHER_CALLS.values(), ids=OTHER_CALLS)
def test_another_number_of_calls_is_said(changes):
    assert re.fullmatch(r"\d+ calls of the network, not 200", ask(mistakes.load_program(*changes)))


def test_the_slip_of_the_stranger_is_to_be_deduced(page):
    """`examine` finds it but knows no name for it; a alone is wrong, by the root of the alpha_bar before."""
    found = {each.check: each for each in examine(page["schedule"], sampler=page["stranger"]) if not each.fine}
    assert set(found) == {"weights of a step", "noise of a step"}
    assert found["weights of a step"].text.endswith("; compare its tables with those of the training")
    weights, told = page["read_weights"](page["stranger"], page["alpha_bar"])
    assert told == list(range(200, 0, -1))
    shares = torch.tensor(weights).flip(0)[1:] / page["right_weights"][1:]  # at t = 1 a and sigma are 0
    root = page["alpha_bar"][1:-1].sqrt()
    torch.testing.assert_close(
        shares, torch.stack([root, *torch.ones(2, len(root))], dim=1).to(shares), atol=1e-3, rtol=0
    )


CHAINS = ["unscaled-betas", "one-time-early", "index-slip", "noise-at-the-end", "alpha-for-alpha-bar", "another-T"]


@pytest.mark.parametrize("key", CHAINS)
def test_the_exact_chain_is_as_recorded(key):
    row = read_record("results/mistakes.json")["rows"][key]
    assert study_mistakes.follow(study_mistakes.load_unclipped(key)) == pytest.approx(row["chain"], rel=2e-3)


def test_the_exact_chain_of_a_wrong_estimate_is_not_bent_by_the_clip():
    """alpha_t for alpha_bar_t by a recursion of its own, in which nothing is measured and nothing clipped."""
    schedule = linear_schedule(200, 5e-4, 0.1)
    slope, offset = GaussianChain(schedule, study_mistakes.MEAN, study_mistakes.STD).line()
    mean, variance = 0.0, 1.0
    for t in range(200, 0, -1):
        root = schedule.beta[t].sqrt()  # should be that of 1 - alpha_bar_t
        now, before = schedule.one_minus_alpha_bar[t], schedule.one_minus_alpha_bar[t - 1]
        weight_x_t = schedule.alpha[t].sqrt() * before / now
        weight_x_0 = schedule.alpha_bar[t - 1].sqrt() * schedule.beta[t] / now
        estimate = weight_x_0 / schedule.alpha_bar[t].sqrt()  # of x_t - root z_hat
        factor = weight_x_t + estimate * (1 - root * slope[t])
        mean = factor * mean - estimate * root * offset[t]
        variance = factor**2 * variance + schedule.beta_tilde[t]
    chain = read_record("results/mistakes.json")["rows"]["alpha-for-alpha-bar"]["chain"]
    assert chain == pytest.approx([mean.item(), variance.sqrt().item()], rel=2e-3)


def test_the_study_trains_what_the_program_says():
    """Three steps of the right program: the losses of an independent loop over the same draws."""
    program = mistakes.load_program()
    data, labels = load_digits("train")
    network, losses = study_mistakes.train(program, ((data + 1) * 127.5).round(), labels, seed=0, steps=3)
    torch.manual_seed(0)
    model = program.Network()
    for step in range(3):
        chosen = torch.randint(len(data), (study_mistakes.BATCH,))
        t = torch.randint(1, 201, (len(chosen),))
        z = torch.randn(len(chosen), 1, 8, 8)
        share = linear_schedule(200, 5e-4, 0.1).alpha_bar.float()[t][:, None, None, None]
        told = torch.where(torch.rand(len(chosen)) < 0.1, 10, labels[chosen])
        if step == 0:
            loss = (model(share.sqrt() * data[chosen] + (1 - share).sqrt() * z, t, told) - z).square().mean()
            assert losses[0].item() == pytest.approx(loss.item(), rel=1e-4)
    assert not network.training
    assert len(losses) == 3


def test_other_first_weights_leave_the_draws_as_they_are(monkeypatch):
    """The batches of two runs are equal, and their first weights are not."""
    data, labels = load_digits("train")
    seen, weights = [], []
    for more in (None, 1):
        program = mistakes.load_program()
        make_batch, network = program.make_batch, program.Network

        def note(x_0, make_batch=make_batch):
            seen.append(make_batch(x_0)[0])
            return make_batch(x_0)

        def build(network=network):
            weights.append(network())
            return weights[-1]

        monkeypatch.setattr(program, "make_batch", note)
        monkeypatch.setattr(program, "Network", build)
        study_mistakes.train(program, ((data + 1) * 127.5).round(), labels, steps=2, weights=more)
    assert torch.equal(torch.stack(seen[:2]), torch.stack(seen[2:]))
    assert len(weights) == 3  # the second run draws those of seed 0 as well, before its own
    assert not torch.equal(weights[0].first.weight, weights[2].first.weight)


def test_only_uniform_noise_changes_a_draw():
    """All other mistakes are trained with the images, labels, times and noise of the right program with seed 0."""
    x_0 = torch.zeros(study_mistakes.BATCH, 1, 8, 8)
    labels = torch.zeros(study_mistakes.BATCH, dtype=torch.int64)

    def take(program):
        torch.manual_seed(0)
        program.Network()
        _, t, z = program.make_batch(x_0)
        program.drop_labels(labels)
        return t, z, torch.get_rng_state()

    right = take(mistakes.load_program())
    other = set()
    for key in filter(study_mistakes.needs_training, mistakes.MISTAKES):
        t, z, state = take(mistakes.load_wrong(key))
        late = key == "from-zero"  # its t - 1 is drawn
        if not (torch.equal(t + late, right[0]) and torch.equal(z, right[1]) and torch.equal(state, right[2])):
            other.add(key)
    assert other == {"uniform-noise"}


def test_the_draws_are_those_of_the_mistakes_that_leave_training_alone():
    compared = more_mistakes.list_draws()
    alone = {key for key in mistakes.MISTAKES if not study_mistakes.needs_training(key)} | {"no-warm-up"}
    assert set(compared) == alone | {"right, seed 0", "right, guided", "right, w = 3", "no-clip, w = 3"}
    assert [key for key, usual in compared.items() if usual == "right, guided"] == ["guidance-plus-one"]


def test_the_processor_is_stored_with_the_samples(tmp_path, monkeypatch):
    def train(program, *_):
        return program.Network(), torch.zeros(study_mistakes.STEPS)

    monkeypatch.setattr(study_mistakes, "train", train)
    monkeypatch.setattr(study_mistakes, "draw", lambda *_: torch.zeros(1, 1, 8, 8))
    threads = torch.get_num_threads()
    for key in study_mistakes.KEYS:
        study_mistakes.work(key, tmp_path, IMAGES, torch.zeros(len(IMAGES), dtype=torch.int64))
    torch.set_num_threads(threads)  # `work` takes one, as a process of its own may
    told = study_mistakes.read_circumstances(tmp_path)
    assert told["hardware"] == f"{name_processor()}, one thread for each program, no GPU"
    assert told["torch"] == torch.__version__
    (tmp_path / "no-time.safetensors").unlink()
    with pytest.raises(ValueError, match="folder: expected all 25 programs, got 24"):
        study_mistakes.read_circumstances(tmp_path)
    old = dict.fromkeys(("hardware", "hardware_source", "torch", "commit"), "old")
    mixed = study_mistakes.read_circumstances(tmp_path, old | {"made_since": {"no-time": "kept"}})
    assert mixed["hardware"] == "old"
    assert set(mixed["made_since"]) == set(study_mistakes.KEYS)
    assert mixed["made_since"]["no-time"] == "kept"
    assert mixed["made_since"]["from-zero"]["torch"] == torch.__version__
    study_mistakes.save_file({"samples": torch.zeros(1)}, tmp_path / "index-slip.safetensors")
    with pytest.raises(ValueError, match="folder: expected"):
        study_mistakes.read_circumstances(tmp_path)


def test_the_record_says_where_its_processor_is_from():
    record = read_record("results/mistakes.json")
    assert record["hardware"]
    assert "by hand" in record["hardware_source"] or "samples of each program" in record["hardware_source"]


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


def read_box():
    """The code of the box for programs of another form, block by block."""
    (box,) = re.findall(
        r"\n:::\{admonition\} If your program.*?\n:::$",
        study_mutations.find_cell("detective-prepare-text")["source"],
        re.S,
    )
    return re.findall(r"```python\n(.*?)```", box, re.S)


SIGNATURE = "def sample(model, shape, label=None, w=0.0):"
TOLD = "told = torch.full((shape[0],), t)"
LATE = [  # times from 0, in tables without a first entry
    ("torch.cat([torch.zeros(1), make_betas(steps)])", "make_betas(steps)"),
    ("torch.randint(1, T + 1,", "torch.randint(0, T,"),
    ("range(len(beta) - 1, 0, -1)", "range(len(beta) - 1, -1, -1)"),
    ("alpha_bar[t], alpha_bar[t - 1]", "alpha_bar[t], alpha_bar[t - 1] if t else torch.ones(())"),
    ("if t > 1 else mean", "if t > 0 else mean"),
]
V = "loss = (z_hat - ((now := ALPHA_BAR[t].reshape(-1, 1, 1, 1)).sqrt() * z - (1 - now).sqrt() * x_0)).square().mean()"
OF_V = [
    ("x_0 = (x - (1 - now).sqrt() * z_hat) / now.sqrt()", "x_0 = now.sqrt() * x - (1 - now).sqrt() * z_hat"),
    (LOSS, V),
]
OF_X_0 = [("x_0 = (x - (1 - now).sqrt() * z_hat) / now.sqrt()", "x_0 = z_hat"), STEPS["target x_0"]]
EVAL = "\n    model.eval()\n    device = next(model.parameters()).device"
MODULE = [(SIGNATURE, SIGNATURE + EVAL), (CALL, "z_hat = model(x.to(device), told, label=label)")]
GIVEN = [
    (SIGNATURE, "def sample(model, shape, label, w=0.0):\n    assert label.shape == shape[:1]"),
    ("def forward(self, x_t, t, label=None):", "def forward(self, x_t, t, label):"),
]
IF_GIVEN = [
    ("label = torch.full((len(x_t),), NONE) if label is None else label", "pass"),
    ("told = self.label(label)", "told = 0 if label is None else self.label(label)"),
]
FORMS = {  # the program's changes; whether its times begin at 0, what it predicts, whether it needs labels
    "module": (MODULE, False, "z", False),
    "times from 0": (LATE, True, "z", False),
    "v": (OF_V, False, "v", False),
    "x_0": (OF_X_0, False, "x_0", False),
    "labels": (GIVEN, False, "z", True),
    "times from 0, v": ([*LATE, *OF_V], True, "v", False),
    "a layer for given labels": (IF_GIVEN, False, "z", True),
    "in [0, 1]": ([(RETURN, "    return (x + 1) / 2\n")], False, "z", False),
    "clamped": ([(RETURN, "    return ((x + 1) / 2).clamp(0, 1)\n")], False, "z", False),
}


def adapt(changes, late, predicts, labels):
    """A program of another form, adapted by the lines of the box in a file of its own."""
    program = {name: value for name, value in vars(mistakes.load_program(*changes)).items() if name[0] != "_"}
    for name in ("sample", "make_batch", "embed", "train_step"):
        program[f"my_{name}"] = program[name]
    program |= {"MyNetwork": program["Network"], "my_betas": program["BETA"], "my_alpha_bar": program["ALPHA_BAR"]}
    moved, _, given, back = read_box()
    outside = any("(x + 1) / 2" in new for _, new in changes)
    exec(back if outside else moved * late + given * labels, program)
    return program | {"PREDICTS": predicts}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_right_program_of_another_form_passes_with_the_lines_of_the_box(form):
    program = adapt(*form)
    assert checklist.check_all(**program) == "no mistake found"
    sample, shift = program["sample"], torch.randn(4, 1, 8, 8)
    program["sample"] = lambda model, shape: sample(model, shape) + 0.01 * shift
    with pytest.raises(AssertionError, match="t = 1$"):
        checklist.check_all(**program)


@pytest.mark.parametrize("form", ["module", "times from 0, v"])
@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (("(1 - before) * x +", "(1 - now) * x +"), "weight of x_t"),
        ((SIGMA, f"sigma = 0.5 * {SIGMA.removeprefix('sigma = ')}"), "weight of the noise"),
        ((RETURN, "    return x + 0.1 * torch.randn(shape)\n"), "weight of the noise, t = 1"),
        (NO_CLIP, "the last states are not the clipped estimate"),
    ],
    ids=["image", "noise", "last step", "clip"],
)
def test_the_lines_of_the_box_hide_no_slip(form, slip, said):
    changes, *rest = FORMS[form]
    with pytest.raises(AssertionError, match=said):
        checklist.check_all(**adapt([*changes, slip], *rest))


LEARNT = [  # a network of 2 C channels, whose second half chooses a variance between the two
    ("self.last = nn.Conv2d(WIDTH, 1,", "self.last = nn.Conv2d(WIDTH, 2,"),
    ("z_hat = model(x, told, label)", "z_hat, v = model(x, told, label).chunk(2, dim=1)"),
    (
        SIGMA,
        "tilde = (beta[t] * (1 - before) / (1 - now)).clamp(min=1e-20); "
        "sigma = (beta[t].log() * (1 + v) / 4 + tilde.log() * (1 - v) / 4).exp()",
    ),
]


@pytest.mark.parametrize("wrong", [False, True])
def test_a_learnt_variance_passes_with_the_lines_of_the_box(wrong):
    slip = [(NOW, NOW.replace("t - 1", "t"))] * wrong
    own = vars(mistakes.load_program(*LEARNT, *slip)) | {"torch": torch}
    own |= {"MyNetwork": own["Network"], "my_sample": own["sample"]}
    exec(read_box()[1], own)
    if wrong:
        with pytest.raises(AssertionError, match="weight of x_0_hat"):
            checklist.check_all(**own)
    else:
        assert checklist.check_all(**own) == "no mistake found; not asked, as not given: train_step"


def test_the_file_is_for_any_shape_and_says_its_names():
    """It imports PyTorch only, and its docstring lists each name that a question may get."""
    text = (BOOK / "checklist.py").read_text(encoding="utf8")
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import torch"]
    names = {name for _, needed, more in checklist.QUESTIONS for name in f"{needed} {more}".split()}
    assert {name for name in names if name not in checklist.__doc__} == set()
    assert set(checklist.OPTIONS) <= names
    assert max(map(len, text.split('"""')[2].splitlines())) <= 72


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 16, 16)])
def test_the_checklist_takes_other_shapes(shape):
    program = mistakes.load_program(
        ("nn.Conv2d(1, WIDTH", f"nn.Conv2d({shape[0]}, WIDTH"), (LAST, LAST.replace("WIDTH, 1", f"WIDTH, {shape[0]}"))
    )
    assert ask(program, SHAPE=shape) is None


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 32, 32)], ids=["small", "large"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_new_u_net_and_large_images_raise_no_alarm(dropout, shape):
    program = mistakes.load_program(IN_EVAL)
    program.Network = new_unet(dropout)
    assert ask(program, SHAPE=shape) is None


def test_only_what_is_given_is_asked():
    """A part that is None or missing is named at the end, and options are not."""
    program = vars(mistakes.load_wrong("guidance-plus-one"))
    assert checklist.check_all(**program | {"guide": None}) == "no mistake found; not asked, as not given: guide"
    few = {name: program[name] for name in ("BETA", "ALPHA_BAR", "sample")}
    said = checklist.check_all(**few).removeprefix("no mistake found; not asked, as not given: ")
    names = {name for _, needed, more in checklist.QUESTIONS for name in f"{needed} {more}".split()}
    assert set(said.split(", ")) == names - {*few, *checklist.OPTIONS}


@pytest.mark.parametrize("steps", [200, 1000, 100_000])
def test_a_decay_is_judged_after_the_steps_of_the_training(steps):
    constant = mistakes.load_wrong("no-warm-up")
    kept = f"the average keeps {0.9999**steps:.0%} of its start"
    assert ask(constant, STEPS=steps) == (None if steps == 100_000 else kept)
    assert ask(mistakes.load_program(), STEPS=steps) is None


def test_an_average_without_buffers_is_right_if_the_network_has_none():
    copy = """    for a, b in zip(average.buffers(), model.buffers(), strict=True):
        a.copy_(b)
"""
    assert ask(mistakes.load_program((copy, ""))) == SAID["buffers-averaged"]
    no_buffer = ('self.register_buffer("alpha_bar", ALPHA_BAR.clone())', "pass")
    assert ask(mistakes.load_program((copy, ""), no_buffer)) is None
