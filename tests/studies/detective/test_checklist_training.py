"""The checklist about a step of the training and the average of the weights."""

import mistakes
import pytest
from detective_programs import ANOTHER, BACK, LOSS, LOST, SAID, STEP, STEPS, STILL, TOLD_LABELS, UP, ZERO, ask


def test_a_step_that_returns_nothing_gets_a_message():
    assert ask(mistakes.load_program(("    return loss.item()", ""))) == "train_step returns no loss"


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
