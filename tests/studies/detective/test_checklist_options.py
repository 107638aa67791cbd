"""Times from 0, fewer steps and guidance: right programs pass with the option, and slips get their message."""

import mistakes
import pytest
import study_mutations
import torch
from detective_programs import CALL, DROPOUT, IN_EVAL, LEAP, MEAN, NO_CLIP, OF_V, SIGMA, SIZES, UNSEEN, ask
from test_checklist import ZEROS
from test_checklist_forms import LATE

checklist = study_mutations.checklist
TOLD = "told = torch.full((shape[0],), t)"
AT_ZERO = "alpha_bar[t], alpha_bar[t - 1] if t else torch.ones(())"


@pytest.mark.parametrize("T", SIZES)
@pytest.mark.parametrize("padded", [False, True], ids=["T entries", "padded"])
def test_times_from_0_pass_with_an_option(T, padded):
    """Tables of T entries are those of most programs; padded ones are read at t + 1."""
    late = [
        LATE[1],
        ("ALPHA_BAR[t].reshape", "ALPHA_BAR[t + 1].reshape"),
        (TOLD, f"{TOLD} - 1"),
    ]
    program = mistakes.load_program(*SIZES[T], *(late if padded else LATE))
    assert ask(program, FIRST_TIME=0) is None
    assert ask(program) is not None


@pytest.mark.parametrize("T", [200, 1000])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((TOLD, f"{TOLD} + 1"), "times {0}..1"),
        ((TOLD, f"{TOLD} - 1"), "times {2}..-1"),
        ((AT_ZERO, AT_ZERO.replace("t - 1", "t")), "coefficient of x_"),
        (("torch.randint(0, T,", "torch.randint(1, T,"), "times drawn"),
        (("model(x_t, t, drop", "model(x_t, t + 1, drop"), "the training asks about another x_t or t"),
        (NO_CLIP, "the last states are not the clipped estimate"),
        (("if t > 0 else mean", "if t > 1 else mean"), "coefficient of the noise, t = 1"),
    ],
    ids=["told t + 1", "told t - 1", "index", "times drawn", "training", "clip", "noise at 1"],
)
def test_slips_beside_times_from_0_are_found(change, said, T):
    changes = list(LATE)
    for i, (old, new) in enumerate(changes):  # a slip in a line that is changed already
        if change[0] in new:
            changes[i], change = (old, new.replace(*change)), None
            break
    program = mistakes.load_program(("LABELS = 200,", f"LABELS = {T},"), *changes, *[change] * bool(change))
    assert ask(program, FIRST_TIME=0).startswith(said.format(T, T - 1, T - 2))


def skip(T, stride, kind="DDIM", first=1):
    """The program with every stride-th time; `before` belongs to the time to which the step goes."""
    times = f"list(range(T{' - 1' * (first == 0)}, {first - 1}, -{stride}))"
    shift = " + 1" * (first == 0)
    changes = [
        ("LABELS = 200,", f"LABELS = {T},"),
        ("for t in range(len(beta) - 1, 0, -1):", f"for t, s in zip({times}, [*{times}[1:], {first - 1}]):"),
        ("alpha_bar[t], alpha_bar[t - 1]", f"alpha_bar[t{shift}], alpha_bar[s{shift}]"),
        ("if t > 1 else mean", f"if s > {first - 1} else mean"),
    ]
    if first == 0:
        changes += [LATE[1], ("ALPHA_BAR[t].reshape", "ALPHA_BAR[t + 1].reshape")]
    if kind == "DDIM":
        return [*changes, (MEAN, LEAP), (SIGMA, "sigma = 0")]
    step = "(1 - now / before)"
    mean = f"mean = ((now / before).sqrt() * (1 - before) * x + before.sqrt() * {step} * x_0) / (1 - now)"
    return [*changes, (MEAN, mean), (SIGMA, f"sigma = ({step} * (1 - before) / (1 - now)).sqrt()")]


def list_times(T, stride, first=1):
    return list(range(T - 1 + first, first - 1, -stride))


@pytest.mark.parametrize("first", [1, 0])
@pytest.mark.parametrize("kind", ["DDIM", "DDPM"])
@pytest.mark.parametrize(("T", "stride"), [(20, 4), (200, 4), (1000, 20), (1000, 100), (1000, 250), (1000, 7)])
def test_fewer_steps_pass_with_their_times(T, stride, kind, first):
    program = mistakes.load_program(*skip(T, stride, kind, first), SIZES[T][1])
    times = list_times(T, stride, first)
    assert ask(program, FIRST_TIME=first, SAMPLE_TIMES=times) is None
    assert ask(program, FIRST_TIME=first, SAMPLE_TIMES=torch.tensor(times)) is None
    assert ask(program, FIRST_TIME=first) == f"{len(times)} calls of the network, not {T}"


@pytest.mark.parametrize(("T", "stride"), [(200, 4), (1000, 20)])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("alpha_bar[s]", "alpha_bar[t - 1]"), "coefficient of x_0_hat, t = {T}"),  # tables of t - 1, with fewer steps
        (("alpha_bar[s]", "alpha_bar[max(s, 1)]"), "coefficient of x_t, t = {last}"),
        ((TOLD, f"{TOLD} - 1"), "times {before}..{early}"),
        (NO_CLIP, "the last states are not the clipped estimate"),
        (("sigma = 0", "sigma = 0.1"), "coefficient of the noise, t = {T}"),
    ],
    ids=["previous time", "ends at 1", "told t - 1", "clip", "noise"],
)
def test_slips_in_fewer_steps_are_found(change, said, T, stride):
    changes = skip(T, stride)
    for i, (old, new) in enumerate(changes):
        if change[0] in new:
            changes[i], change = (old, new.replace(*change)), None
            break
    times = list_times(T, stride)
    program = mistakes.load_program(*changes, *[change] * bool(change))
    expected = said.format(T=T, last=times[-1], before=T - 1, early=times[-1] - 1)
    assert ask(program, SAMPLE_TIMES=times) == expected


@pytest.mark.parametrize(("T", "stride"), [(200, 4), (1000, 20), (1000, 100)])
def test_fewer_steps_of_the_cosine_schedule_pass(T, stride):
    """x_0_hat divides by the root of alpha_bar_T, about 5e-5, and a long step gives it much weight."""
    for kind in ("DDIM", "DDPM"):
        program = mistakes.load_program(*skip(T, stride, kind), mistakes.COSINE)
        assert ask(program, SAMPLE_TIMES=list_times(T, stride)) is None


def test_a_list_of_times_is_compared_with_what_is_told():
    program = mistakes.load_program(*skip(200, 4))
    assert ask(program, SAMPLE_TIMES=range(199, 0, -4)) == "times 200..4"


GUIDED = "guide(z_hat, model(x, told, torch.full((shape[0],), NONE)), w)"
WRONG_GUIDANCE = "the guidance in sample is not z_with + w * (z_with - z_without)"
TWICE = [  # both questions in one call, of a batch that holds the images twice
    (
        CALL,
        "none = torch.full((shape[0],), NONE); both = model(torch.cat([x, x]), told.repeat(2), "
        "None if label is None else torch.cat([label, none])); z_hat, z_none = both.chunk(2)",
    ),
    (GUIDED, "guide(z_hat, z_none, w)"),
]


def ask_guidance(*changes):
    program = mistakes.load_program(*changes)
    assert ask(program) is None
    model = program.Network()
    try:
        checklist.check_guided_sample(model, program.sample)
    except AssertionError as found:
        return str(found)
    finally:
        assert "forward" not in vars(model)


@pytest.mark.parametrize("T", SIZES)
@pytest.mark.parametrize(
    "changes",
    [[], [mistakes.COSINE], [DROPOUT, IN_EVAL], [*ZEROS], [(MEAN, LEAP), (SIGMA, "sigma = 0")]],
    ids=["linear", "cosine", "dropout", "zeros", "DDIM"],
)
def test_right_guidance_passes(changes, T):
    assert ask_guidance(*SIZES[T], *changes) is None


@pytest.mark.parametrize(
    "changes",
    [
        [(GUIDED, GUIDED.replace("told, torch.full((shape[0],), NONE)", "told"))],
        [(GUIDED, GUIDED.replace("model(x, told, ", "model(x, told, label="))],
        [(GUIDED, "(1 + w) * z_hat - w * model(x, told)")],
    ],
    ids=["no label at all", "by name", "another form"],
)
def test_other_forms_of_guidance_pass(changes):
    assert ask_guidance(*changes) is None


@pytest.mark.parametrize("slip", [None, "w"])
def test_a_batch_that_holds_the_images_twice_passes(slip):
    """`check_all` samples without labels; this sampler is asked with them only."""
    changes = list(TWICE)
    if slip:
        changes[1] = (GUIDED, "guide(z_none, z_hat, w)")
    program = mistakes.load_program(*changes)
    if slip:
        with pytest.raises(AssertionError, match="the guidance in sample"):
            checklist.check_guided_sample(program.Network(), program.sample)
    else:
        checklist.check_guided_sample(program.Network(), program.sample)


def test_guidance_passes_for_a_network_of_v():
    program = mistakes.load_program(*OF_V)
    checklist.check_guided_sample(program.Network(), program.sample)


@pytest.mark.parametrize("T", [20, 200, 1000])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((GUIDED, GUIDED.replace(", w)", ", w - 1)")), WRONG_GUIDANCE),
        ((GUIDED, GUIDED.replace(", w)", ", w + 1)")), WRONG_GUIDANCE),
        ((GUIDED, "guide(model(x, told, torch.full((shape[0],), NONE)), z_hat, w)"), WRONG_GUIDANCE),
        (UNSEEN["arguments of guide"], WRONG_GUIDANCE),
        (UNSEEN["told t - 1"], WRONG_GUIDANCE),
        ((GUIDED, "z_hat"), WRONG_GUIDANCE),
        ((GUIDED, GUIDED.replace("torch.full((shape[0],), NONE)", "label")), WRONG_GUIDANCE),
        (("        if w:\n", "        if w and t > T // 2:\n"), WRONG_GUIDANCE),
        (UNSEEN["label 0 for none"], "the call without a label gets label 0"),
    ],
    ids=[
        "w for w + 1",
        "w + 1 for w",
        "exchanged",
        "0 for one",
        "told t - 1",
        "w ignored",
        "label twice",
        "early",
        "0",
    ],
)
def test_wrong_guidance_is_found(change, said, T):
    assert ask_guidance(*SIZES[T], change) == said
