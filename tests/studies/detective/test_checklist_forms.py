"""The checklist and programs of other forms: the lines of the appendix adapt them, and the file takes their parts."""

import ast
import re

import mistakes
import pytest
import study_mutations
import torch
from detective_programs import BOOK, CALL, IN_EVAL, LAST, NO_CLIP, NOW, OF_V, OF_X_0, RETURN, SIGMA, ask, new_unet
from study_mutations import checklist

from ddpm_lite import UNet, UNetConfig

IN_ALL = "schedule, images, batch, labels, network, training, average, guidance, sampler, mode"


def read_box():
    """The code of the box for programs of another form, block by block."""
    (box,) = re.findall(
        r"\n:::\{admonition\} If your program.*?\n:::$",
        study_mutations.find_cell("detective-prepare-text")["source"],
        re.S,
    )
    return re.findall(r"```python\n(.*?)```", box, re.S)


SIGNATURE = "def sample(model, shape, label=None, w=0.0):"
LATE = [  # times from 0, in tables without a first entry
    ("torch.cat([torch.zeros(1), make_betas(steps)])", "make_betas(steps)"),
    ("torch.randint(1, T + 1,", "torch.randint(0, T,"),
    ("range(len(beta) - 1, 0, -1)", "range(len(beta) - 1, -1, -1)"),
    ("alpha_bar[t], alpha_bar[t - 1]", "alpha_bar[t], alpha_bar[t - 1] if t else torch.ones(())"),
    ("if t > 1 else mean", "if t > 0 else mean"),
]
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
DROPPED = ("z_hat = model(x_t, t, drop_labels(labels))", "z_hat = model(x_t, t, labels)")
IF_NONE = "label = torch.full((len(x_t),), NONE) if label is None else label"
INSIDE = [DROPPED, (IF_NONE, f"{IF_NONE}; label = drop_labels(label) if self.training else label")]
FORMS = {  # the program's changes; whether its times begin at 0, what it predicts, whether it needs labels
    "module": (MODULE, False, "z", False),
    "times from 0": (LATE, True, "z", False),
    "v": (OF_V, False, "v", False),
    "x_0": (OF_X_0, False, "x_0", False),
    "labels": (GIVEN, False, "z", True),
    "times from 0, v": ([*LATE, *OF_V], True, "v", False),
    "a layer for given labels": (IF_GIVEN, False, "z", True),
    "labels dropped inside": (INSIDE, False, "z", False),
    "in [0, 1]": ([(RETURN, "    return (x + 1) / 2\n")], False, "z", False),
    "clamped": ([(RETURN, "    return ((x + 1) / 2).clamp(0, 1)\n")], False, "z", False),
}


def adapt(changes, late, predicts, labels):
    """A program of another form, adapted by the lines of the box in a file of its own."""
    program = {name: value for name, value in vars(mistakes.load_program(*changes)).items() if name[0] != "_"}
    for name in ("sample", "make_batch", "embed", "train_step"):
        program[f"my_{name}"] = program[name]
    program |= {"MyNetwork": program["Network"], "my_betas": program["BETA"], "my_alpha_bar": program["ALPHA_BAR"]}
    _, given, dropped, back = read_box()
    outside = any("(x + 1) / 2" in new for _, new in changes)
    inside = DROPPED in changes
    program["my_drop"] = program["drop_labels"]
    exec(back if outside else dropped if inside else given * labels, program)
    return program, {"PREDICTS": predicts, "FIRST_TIME": 0 if late else 1}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_right_program_of_another_form_passes_with_the_lines_of_the_box(form):
    program, options = adapt(*form)
    assert checklist.check_all(program, **options) == "no mistake found"
    sample, shift = program["sample"], torch.randn(4, 1, 8, 8)
    program["sample"] = lambda model, shape: sample(model, shape) + 0.01 * shift
    with pytest.raises(AssertionError, match=f"t = {options['FIRST_TIME']}$"):
        checklist.check_all(program, **options)


@pytest.mark.parametrize("form", ["module", "times from 0, v"])
@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (("(1 - before) * x +", "(1 - now) * x +"), "coefficient of x_t"),
        ((SIGMA, f"sigma = 0.5 * {SIGMA.removeprefix('sigma = ')}"), "coefficient of the noise"),
        ((RETURN, "    return x + 0.1 * torch.randn(shape)\n"), "coefficient of the noise, t = {}"),
        (NO_CLIP, "the last states are not the clipped estimate"),
    ],
    ids=["image", "noise", "last step", "clip"],
)
def test_the_lines_of_the_box_hide_no_slip(form, slip, said):
    changes, *rest = FORMS[form]
    program, options = adapt([*changes, slip], *rest)
    with pytest.raises(AssertionError, match=said.format(options["FIRST_TIME"])):
        checklist.check_all(program, **options)


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
    exec(read_box()[0], own)
    if wrong:
        with pytest.raises(AssertionError, match="coefficient of x_0_hat"):
            checklist.check_all(own)
    else:
        assert (
            checklist.check_all(own)
            == f"no mistake found in: {IN_ALL.replace(', training', '')}; NOT ASKED: training (not given: train_step)"
        )


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


def test_the_rounding_of_a_larger_network_raises_no_alarm():
    """Its outputs are a few units, so an image alone and in a batch may differ by more than 1e-5."""
    parts = vars(mistakes.load_program())
    sizes = {"in_channels": 3, "channels": (128, 256, 256), "attention_levels": (1,), "groups": 32}
    model = UNet(UNetConfig(16, **sizes)).eval()
    parts = {"BETA": parts["BETA"], "ALPHA_BAR": parts["ALPHA_BAR"], "Network": lambda: model}
    assert checklist.check_all(**parts, SHAPE=(3, 16, 16)).startswith("no mistake found in: schedule, network")
    x_t, t = 5 * torch.randn(4, 3, 16, 16), torch.arange(50, 201, 50)
    with torch.no_grad():
        alone = model(x_t[-1:], t[-1:]) - model(x_t, t)[-1:]
    assert alone.abs().max() < 1e-4 * model(x_t, t).abs().max()


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32)])
def test_a_batch_has_the_shape_of_the_images(shape):
    make_batch = mistakes.load_program().make_batch

    def fixed(x_0):
        assert x_0.shape[1:] == shape
        return make_batch(x_0)

    parts = vars(mistakes.load_program())
    parts = {name: parts[name] for name in ("ALPHA_BAR", "scale_images")}
    said = checklist.check_all(**parts, make_batch=fixed, SHAPE=shape)
    assert said.startswith("no mistake found in: images, batch;")


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("SHAPE", (4, 1, 8, 8), "3 numbers"),
        ("SHAPE", 8, "3 numbers"),
        ("PREDICTS", "eps", "z, v or x_0"),
        ("CLIP", 0.0, "True or False"),
        ("FIRST_TIME", 2, "0 or 1"),
        ("SAMPLE_TIMES", 50, "a list of times"),
        ("P", "0.1", "a share"),
        ("LABELS", ["cat", "dog"], "a whole number"),
        ("STEPS", 0, "a whole number"),
    ],
)
def test_an_option_of_another_form_is_refused_and_no_global_is_an_option(name, value, form):
    program = vars(mistakes.load_program())
    with pytest.raises(TypeError, match=f"{name}: expected {form}") as found:
        checklist.check_all(program, **{name: value})
    assert "\n" not in str(found.value)
    assert repr(value) in str(found.value)
    assert checklist.check_all(program | {name: value}) == "no mistake found"


SEED, TIMES, DROP = "torch.manual_seed(0); ", "torch.randint(1, T + 1, (len(x_0),))", "torch.rand(len(labels)) < P"
HALF = "(len(x_0) + 1) // 2"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (f"t = {TIMES}", f"{SEED}t = {TIMES}", "two batches have the same noise"),
        (TIMES, f"torch.randint(1, T + 1, ({HALF},)).repeat(2)[: len(x_0)]", "times drawn"),
        (
            "z = torch.randn_like(x_0)",
            f"z = torch.randn_like(x_0[: {HALF}]).repeat(2, 1, 1, 1)[: len(x_0)]",
            "share noise",
        ),
        ("angle = t[:, None]", "angle = (t % 100)[:, None]", "two times look alike"),
        (DROP, "labels == 0", "two calls drop the same labels"),
        (DROP, "torch.arange(len(labels)) % 10 == 3", "two calls drop the same labels"),
        ("z_with + w * (z_with - z_without)", "z_with + w * (1 - z_without)", "guidance is not z_with"),
    ],
)
def test_what_one_draw_or_one_example_hides_is_found(old, new, said):
    assert said in ask(mistakes.load_program((old, new)))


def test_an_average_that_skips_the_convolutions_is_found():
    def update(average, model, step):
        for kept, now in zip(average.parameters(), model.parameters(), strict=True):
            if kept.dim() < 4:
                kept.data.mul_(0.9).add_(now.data, alpha=0.1)

    with pytest.raises(AssertionError, match="the average keeps 100% of its start"):
        checklist.check_all(update_average=update)


def test_only_what_is_given_is_asked():
    """What was not asked is named, and the parts that are None or missing; options are not."""
    program = vars(mistakes.load_wrong("guidance-plus-one"))
    without = IN_ALL.replace(", guidance", "")
    said = f"no mistake found in: {without}; NOT ASKED: guidance (not given: guide)"
    assert checklist.check_all(program | {"guide": None}) == said
    said = f"no mistake found in: {without}; NOT ASKED: guidance, embed (not given: embed, guide)"
    assert checklist.check_all(program | {"guide": None, "embed": None}) == said
    few = {name: program[name] for name in ("BETA", "ALPHA_BAR", "sample")}
    start, end = checklist.check_all(**few).split(" (not given: ")
    lost = ", ".join(name for name in IN_ALL.split(", ") if name not in ("schedule", "sampler"))
    assert start == f"no mistake found in: schedule, sampler; NOT ASKED: {lost}, embed"
    names = {name for _, needed, more in checklist.QUESTIONS for name in f"{needed} {more}".split()}
    assert set(end.removesuffix(")").split(", ")) == names - {*few, *checklist.OPTIONS}


@pytest.mark.parametrize(("name", "value"), [("PREDICT", "v"), ("CLIPS", False), ("sampler", None)])
def test_an_unknown_name_is_refused(name, value):
    program = vars(mistakes.load_program())  # of its other names none is refused
    with pytest.raises(TypeError, match=f"unknown: {name}; known: BETA, ALPHA_BAR, ") as found:
        checklist.check_all(program, **{name: value})
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("k", [0, 1, 7])
def test_dropped_labels_that_become_a_label_are_reported(k):
    assert ask(mistakes.load_program(("< P, NONE, labels", f"< P, {k}, labels"))) == f"dropped labels become label {k}"


def test_the_number_of_labels_is_an_option():
    two = mistakes.load_program(("LABELS = 200, 0.1, 32, 10", "LABELS = 200, 0.1, 32, 2"))
    parts = {name: getattr(two, name) for name in ("drop_labels",)}
    assert checklist.check_all(**parts, LABELS=2).startswith("no mistake found in: labels; NOT ASKED: ")
    with pytest.raises(AssertionError, match="dropped labels become label 2"):
        checklist.check_all(**parts)


def test_labels_of_another_batch_are_seen_where_the_network_drops_them():
    wrong = (DROPPED[0], DROPPED[1].replace("labels)", "labels.roll(1))"))
    program = vars(mistakes.load_program(wrong, INSIDE[1]))
    program |= {"my_drop": program["drop_labels"], "my_train_step": program["train_step"]}
    exec(read_box()[2], program)
    with pytest.raises(AssertionError, match="passes on other labels"):
        checklist.check_all(program)
