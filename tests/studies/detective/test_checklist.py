"""The checklist finds each mistake and small slips, and passes right programs."""

import re

import mistakes
import pytest
import study_mutations
import torch
from detective_programs import (
    ANOTHER,
    BLOCK,
    CALL,
    DROPOUT,
    IMAGES,
    IN_A,
    IN_B,
    IN_EVAL,
    LAST,
    LEAP,
    LOST,
    MEAN,
    NO_CLIP,
    OF_V,
    OF_X_0,
    RETURN,
    SAID,
    SIGMA,
    SIZES,
    START,
    STEP,
    STILL,
    UNSEEN,
    VARIANTS,
    ZERO,
    ask,
    new_unet,
    wrong_of,
)

from ddpm_lite import examine

NO_LABELS = [  # the plain case: a program whose network has no labels
    ("label = torch.full((len(x_t),), NONE) if label is None else label", "pass"),
    ("told = self.label(label)", "told = 0"),
    ("self.label = nn.Embedding(LABELS + 1, WIDTH)", "pass"),
]


@pytest.mark.parametrize("key", mistakes.MISTAKES)
def test_the_checklist_finds_each_mistake(key):
    assert ask(mistakes.load_wrong(key)) == SAID[key]


TOLD = ("self.time(embed(t))", "self.time({})")


@pytest.mark.parametrize("T", [200, 1000])
@pytest.mark.parametrize("told", ["embed(t.clamp(max=100))", "embed(t // 2)", "embed(t / T)", "embed(t / 1000)"])
def test_times_that_the_network_confuses_are_found_before_training(told, T):
    """Also where `embed` itself is right, because its caller changes the time; at few times by the older question."""
    said = ask(mistakes.load_program(*SIZES[T], (TOLD[0], TOLD[1].format(told))))
    assert said == "neighbouring times get one answer" or said == "the network ignores the time"
    assert said.startswith("neighbouring") or (told, T) in (("embed(t.clamp(max=100))", 1000), ("embed(t / 1000)", 200))


@pytest.mark.parametrize("T", SIZES)
def test_right_networks_keep_neighbouring_times_apart(T):
    """Twenty first weights of the tutorial's network, and the package's U-Net: none is near the bound."""
    program = mistakes.load_program(*SIZES[T])
    for seed in range(20):
        torch.manual_seed(seed)
        study_mutations.checklist.check_network(program.Network(), program.ALPHA_BAR, (1, 8, 8), program.embed)
    for seed in range(3):
        torch.manual_seed(seed)
        study_mutations.checklist.check_network(new_unet(0.0)(), program.ALPHA_BAR, (1, 8, 8))


def test_a_network_that_draws_is_not_taken_for_one_that_mixes_images():
    program = mistakes.load_program(("return self.last(F.silu(h))", "return self.last(F.dropout(F.silu(h), 0.1))"))
    assert ask(program) == "the same call gives two answers"


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
    slips = {"coefficient of x_t": IN_A, "last states": NO_CLIP}
    for said, slip in slips.items():
        assert said in ask(mistakes.load_program(*changes, slip), PREDICTS=predicts)


@pytest.mark.parametrize("T", SIZES)
def test_a_right_program_without_a_clip_passes_with_an_option(T):
    program = mistakes.load_program(*SIZES[T], NO_CLIP)
    assert ask(program, CLIP=False) is None
    assert ask(mistakes.load_program(*SIZES[T], NO_CLIP, IN_B), CLIP=False).startswith("coefficient of x_0_hat")


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
    assert ask(mistakes.load_program(*SIZES[T], *other)) == f"coefficient of the noise, t = {T // 2}"


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
        (IN_B, "coefficient of x_0_hat"),
        (("* z_hat) / now.sqrt()", "* z_hat) / before.sqrt()"), "coefficient of x_0_hat"),
        (IN_A, "coefficient of x_t, t = "),
        ((SIGMA, SIGMA.replace("beta[t]", "beta[t - 1]")), "coefficient of the noise, t = "),
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


@pytest.mark.parametrize("changes", [[], [NO_CLIP]], ids=["clip", "no clip"])
def test_noise_in_the_last_of_a_thousand_steps_is_asked_exactly(changes):
    """Its deviation of 0.01 is within the bound of the other weights at t = 1."""
    mistake = mistakes.MISTAKES["noise-at-the-end"]
    program = mistakes.load_program(("LABELS = 200,", "LABELS = 1000,"), (mistake.right, mistake.wrong), *changes)
    assert ask(program, CLIP=not changes) == "coefficient of the noise, t = 1"


@pytest.mark.parametrize("T", SIZES)
@pytest.mark.parametrize(
    ("change", "t"),
    [
        (("if t > 1 else mean", "if t > 2 else mean"), 2),
        (("if t > 1 else mean", "if t > 3 else mean"), 3),
        (("mean + sigma *", "mean + (sigma if t > 3 else sigma / 2) *"), 3),
    ],
)
def test_the_noise_of_small_times_is_asked_exactly(change, t, T):
    """With 1,000 times it is within the bound of the other weights."""
    assert ask(mistakes.load_program(*SIZES[T], change)) == f"coefficient of the noise, t = {t}"


@pytest.mark.parametrize(
    ("change", "t"),
    [
        (("x_0.clamp(-1, 1)", "x_0.clamp(-1, 1) * float('nan')"), 200),
        (("/ (1 - now)).sqrt()", "/ (1 - now) - 1e-3).sqrt()"), 3),
        ((RETURN, "    return x / 0\n"), 1),
    ],
    ids=["in each step", "a root", "at the end"],
)
def test_numbers_that_are_not_finite_are_said(change, t, capfd):
    said = ask(mistakes.load_program(change))
    assert said == f"the sampler returns numbers that are not finite, t = {t}"
    assert "ERROR" not in "".join(capfd.readouterr())


def test_tables_that_begin_at_time_1_are_to_be_padded():
    program = vars(mistakes.load_program())
    tables = {name: program[name][1:] for name in ("BETA", "ALPHA_BAR")}
    with pytest.raises(AssertionError, match="pad your tables with 0 and 1, or pass FIRST_TIME=0"):
        study_mutations.checklist.check_all(program | tables)


GIVEN = "label if label is None else"
NOT_PASSED = "a step without the labels"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((), None),
        ((CALL, "z_hat = model(x, told, label=label)"), None),
        ((CALL, "z_hat = model(x, told)"), NOT_PASSED),
        ((CALL, f"z_hat = model(x, told, {GIVEN} 0 * label)"), NOT_PASSED),
        ((CALL, f"z_hat = model(x, told, {GIVEN} label if t == T else 0 * label)"), NOT_PASSED),
        ((CALL, f"z_hat = model(x, told, {GIVEN} label.flip(0))"), NOT_PASSED),
        ((CALL, f"z_hat = model(x, told, {GIVEN} label.roll(1))"), NOT_PASSED),
        ((CALL, f"z_hat = model(x, told, {GIVEN} label[:1].expand(len(label)))"), NOT_PASSED),
        (UNSEEN["label ignored"], "the network ignores the label"),
    ],
    ids=["right", "by name", "not passed", "another", "in one call", "turned round", "shifted", "the first", "ignored"],
)
def test_the_use_of_labels_is_a_question(change, said):
    """`check_all` passes all of them. Afterwards the network answers as before."""
    for changes in ([], ZEROS):
        program = mistakes.load_program(*[change] * bool(change), *changes)
        assert ask(program) is None
        model = program.Network()
        if said is None:
            study_mutations.checklist.check_label_use(model, program.sample)
        else:
            with pytest.raises(AssertionError, match=said):
                study_mutations.checklist.check_label_use(model, program.sample)
        assert "forward" not in vars(model)


@pytest.mark.parametrize(
    ("call", "fine"), [("model(x, told, label)", True), ("model(x, told)", False)], ids=["right", "not passed"]
)
def test_a_guided_sampler_passes_on_its_labels(call, fine):
    """It also asks without a label, so each time needs one call with the right ones, in either order."""
    program = mistakes.load_program((CALL, f"z_hat = {call}"))
    ask_labels = study_mutations.checklist.check_label_use

    def ask_first_without(model, shape, label):
        def answer(x, t, label=None):
            model(x, t)
            return model(x, t, label)

        return program.sample(answer, shape, label)

    for sample in (lambda *parts: program.sample(*parts, w=1.0)), ask_first_without:
        if fine:
            ask_labels(program.Network(), sample)
        else:
            with pytest.raises(AssertionError, match=NOT_PASSED):
                ask_labels(program.Network(), sample)


@pytest.mark.parametrize(("order", "fine"), [("label, none", True), ("none, label", True), ("none, none", False)])
def test_labels_of_both_answers_may_be_asked_in_one_call(order, fine):
    """A batch with each state twice, as guided samplers have it, gets the labels in one of its halves."""
    program = mistakes.load_program()
    none = torch.full((4,), program.NONE)

    def sample(model, shape, label):
        def answer(x, t, label=None):
            labels = torch.cat([{"label": label, "none": none}[name] for name in order.split(", ")])
            return model(torch.cat([x, x]), torch.cat([t, t]), labels)[: len(x)]

        return program.sample(answer, shape, label)

    if fine:
        study_mutations.checklist.check_label_use(program.Network(), sample)
    else:
        with pytest.raises(AssertionError, match=NOT_PASSED):
            study_mutations.checklist.check_label_use(program.Network(), sample)


def test_the_predictor_of_score_models_is_refused_by_both_tools():
    """A right step that keeps the image only up to about beta^2 / 4 sqrt(alpha_bar)."""
    score = "mean = (2 - (1 - beta[t]).sqrt()) * x - beta[t] * (x - now.sqrt() * x_0) / (1 - now)"
    program = mistakes.load_program((MEAN, score), (SIGMA, "sigma = beta[t].sqrt()"))
    assert ask(program) == "coefficient of x_t, t = 200"
    wrong = [each for each in wrong_of(program) if not each.fine]
    assert {each.check for each in wrong} == {"weights of a step", "noise of a step"}
    assert "alpha_bar_t is used where alpha_bar_{t-1} belongs" in str(wrong[0])
    now, before = (program.ALPHA_BAR[k:].double()[:200] for k in (1, 0))
    beta = 1 - now / before
    a, b = 2 - (1 - beta).sqrt() - beta / (1 - now), beta * now.sqrt() / (1 - now)
    off = a * now.sqrt() + b - before.sqrt()
    assert off.abs().max() == pytest.approx(1.9e-4, abs=1e-5)
    assert (off.abs() / (beta**2 / 4 * now.sqrt()) - 1).abs().max() < 0.15


FIRST = "h = self.first(x_t)"


@pytest.mark.parametrize(
    "change",
    [
        UNSEEN["tanh"],
        (FIRST, "h = self.first(x_t.clamp(-1, 1))"),
        (FIRST, "h = self.first(x_t.abs())"),
        (FIRST, "h = self.first(x_t.flip(-1))"),
        ("h = block(h, F.silu(told))", "h = block(h, F.silu(told if block is self.blocks[0] else self.label(label)))"),
        ("* 10_000 **", "* 100 **"),
    ],
    ids=["tanh", "clamped", "positive", "mirrored", "time in one block", "base"],
)
def test_the_network_inside_is_hardly_tested(change):
    program = mistakes.load_program(change)
    assert ask(program) is None
    assert not [each for each in wrong_of(program) if not each.fine]


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


def test_which_other_choices_fail_the_checklist():
    """As the chapter says."""
    cases = {
        STILL: [
            (ZERO, "    if step % 4 == 1: optimiser.zero_grad()\n"),
            (STEP, "    if step % 4 == 0: " + STEP.strip() + "\n"),
        ],
        "two times look alike": [("angle = t[:, None] *", "angle = t[:, None] / T *")],
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
    assert "coefficient of" in ask(mistakes.load_program((START, START + ".double()")))
    program = mistakes.load_program()
    draw = program.sample
    program.sample = lambda *given: (draw(*given) + 1) / 2
    assert "coefficient of" in ask(program)
    before = "    x_t, t, z = make_batch(x_0)\n    z_hat"
    flipped = "    x_0 = torch.where(torch.rand(len(x_0), 1, 1, 1) < 0.5, x_0, x_0.flip(3))\n"
    dropped = "    labels = drop_labels(labels)\n"
    for line in (flipped, dropped):
        assert ask(mistakes.load_program((before, line + before))) == ANOTHER


def test_the_checklist_asks_for_the_shape_of_the_output():
    program = mistakes.load_program(("Conv2d(WIDTH, 1, 3", "Conv2d(WIDTH, 2, 3"))
    assert ask(program) == "the output has another shape"


def test_dropout_and_layers_of_zeros_fail_no_line():
    for changes in ([DROPOUT, IN_EVAL], ZEROS, ZEROS[1:], [DROPOUT, IN_EVAL, *ZEROS]):
        assert ask(mistakes.load_program(*changes)) is None
    untold = mistakes.MISTAKES["no-time"]
    program = mistakes.load_program((untold.right, untold.wrong), *ZEROS)
    assert ask(program) == "the network ignores the time"


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
        ("< P, NONE, labels", "< P, 0, labels", "dropped labels become label 0"),
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


ON_V = "return torch.linspace(1e-4, 0.02, steps) * 1000 / steps"
RATE = "    optimiser.param_groups[0]['lr'] *= (step - 1) / 1000\n"


@pytest.mark.parametrize(
    ("changes", "said", "options"),
    [
        ([("torch.rand(len(labels)) < P", "torch.rand(1) < P")], "of the labels are dropped", {}),
        ([(STEP, RATE + STEP)], STILL, {}),
        ([(FULL, f"{FULL} / T")], "times 1.0..", {}),
        (
            [*OF_V, (ON_V, f"{ON_V[:6]} torch.cat([({ON_V[7:]})[:-1], torch.ones(1)])")],
            "a beta near 1",
            {"PREDICTS": "v"},
        ),
    ],
    ids=["whole batch", "warm-up of the rate", "t / T", "zero terminal SNR"],
)
def test_right_programs_that_the_chapter_calls_refused(changes, said, options):
    assert said in ask(mistakes.load_program(*changes), **options)


@pytest.mark.parametrize("images", ["1 - x / 127.5", "(x > 127).float() * 2 - 1", "2 * (x / 255) ** 2 - 1"])
def test_wrong_images_of_the_right_range_pass(images):
    assert ask(mistakes.load_program(("x / 127.5 - 1", images))) is None


@pytest.mark.parametrize(
    "change",
    [
        (SIGMA, "sigma = (beta[t] * (1 - before) / (now - 1)).sqrt()"),
        ("x_0 = (x - (1 - now).sqrt() *", "x_0 = (x - (now - 1).sqrt() *"),
    ],
    ids=["sigma", "x_0"],
)
def test_a_wrong_sign_under_a_root_makes_numbers_that_are_not_finite(change):
    assert "not finite" in ask(mistakes.load_program(change))
