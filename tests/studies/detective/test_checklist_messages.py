"""The appendix explains every message of the checklist, and its lines for averages and classes do what they say."""

import ast
import re

import mistakes
import pytest
import study_mutations
from detective_programs import BOOK, SAID
from study_mutations import checklist
from test_mistakes_record import read_table

SOURCE = (BOOK / "checklist.py").read_text(encoding="utf8")


def write_pattern(node, names):
    """What a message may be, as a regular expression: whatever is computed in it may be anything."""
    if isinstance(node, ast.Name) and node.id in names:
        return write_pattern(names[node.id], names)
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(write_pattern(part, names) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return write_pattern(node.value, names)
    return ".+"


def read_patterns(source):
    """The messages of all assertions, as regular expressions."""
    patterns = []
    for function in ast.walk(ast.parse(source)):
        if not isinstance(function, ast.FunctionDef):
            continue
        texts = ast.Constant, ast.JoinedStr
        names = {
            line.targets[0].id: line.value
            for line in ast.walk(function)
            if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) and isinstance(line.value, texts)
        }
        asserts = [line for line in ast.walk(function) if isinstance(line, ast.Assert)]
        assert all(line.msg for line in asserts)
        patterns += [write_pattern(line.msg, names) for line in asserts]
    return patterns


def read_messages():
    """The first column of the appendix's table."""
    return [row[0].strip("`") for row in read_table(study_mutations.find_cell("measured-messages")["source"])]


def compare(source, messages):
    """The messages of the checklist without a row, and the rows without a message."""
    patterns = read_patterns(source)
    bare = [each for each in patterns if not any(re.fullmatch(each, said) for said in messages)]
    return bare, [said for said in messages if not any(re.fullmatch(each, said) for each in patterns)]


def test_every_message_has_a_row_and_every_row_a_message():
    messages = read_messages()
    assert len(messages) == len(set(messages)) >= 40
    assert ".+" not in read_patterns(SOURCE)  # else a message would fit every row
    assert compare(SOURCE, messages) == ([], [])
    assert {re.sub(r"\d+", "0", said) for said in SAID.values()} <= {re.sub(r"\d+", "0", said) for said in messages}


def test_a_message_without_a_row_and_a_row_without_a_message_are_found():
    messages = read_messages()
    more = SOURCE + '\n\ndef check_more(x):\n    said = f"{x} is too large"\n    assert x < 1, said\n'
    assert compare(more, messages) == ([r".+\ is\ too\ large"], [])
    assert compare(SOURCE, [*messages, "nobody says this"]) == ([], ["nobody says this"])
    for k, said in enumerate(messages):
        bare, free = compare(SOURCE, messages[:k] + messages[k + 1 :])
        assert free == []
        assert bare or said.startswith("coefficient of ")  # one assertion has three rows


def test_an_average_that_leaves_out_steps_is_asked_in_two_calls():
    decay = "decay = min(0.9999, (1 + step) / (10 + step))"
    program = vars(mistakes.load_program((decay, f"{decay}\n    if step % 10:\n        return")))
    with pytest.raises(AssertionError, match="the training does not move the average"):
        checklist.check_all(program)
    (lines,) = re.findall(r"```python\n(.*?)```", study_mutations.find_cell("measured-options")["source"], re.DOTALL)
    told = []
    names = {"check_all": checklist.check_all, "globals": lambda: program, "print": told.append, "my_steps": 10_000}
    exec(lines, names | {"my_update": vars(mistakes.load_program())["update_average"]})
    assert told[0].endswith("; NOT ASKED: average (not given: update_average)")
    assert told[1].startswith("no mistake found in: average")
    slow = mistakes.load_program((decay, "decay = 0.9999")).update_average
    with pytest.raises(AssertionError, match="the average keeps"):
        exec(lines, names | {"my_update": slow})


CLASSES = """
class Diffusion:
    def __init__(self, model):
        self.model, self.beta, self.alpha_bar = model, BETA[1:], ALPHA_BAR[1:]

    def scale_images(self, x):
        return x / 127.5 - 1

    def draw_times(self, count):
        return torch.randint(FIRST, T, (count,))

    def add_noise(self, x_0, t, z):
        now = self.alpha_bar[t].reshape(-1, 1, 1, 1)
        return now.sqrt() * x_0 + (1 - now).sqrt() * z

    def compute_loss(self, x_0):
        t, z = self.draw_times(len(x_0)), torch.randn_like(x_0)
        return (self.model(self.add_noise(x_0, t, z), t) - z).square().mean()

    def sample(self, shape):
        return plain_sample(lambda x, t, label: self.model(x, t - 1), shape)
"""


NO_ROOTS = ("now.sqrt() * x_0 + (1 - now).sqrt() * z", "now * x_0 + (1 - now) * z")


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (("FIRST", "0"), None),
        (("FIRST", "1"), "times drawn"),
        (NO_ROOTS, "weights of image and noise in x_t"),
    ],
    ids=["right", "times", "roots"],
)
@pytest.mark.parametrize("ranged", [True, False], ids=["range", "no range"])
def test_the_adapter_for_classes_passes_its_parts(slip, said, ranged):
    """A batch is asked even without `scale_images`, which the result then names."""
    text = study_mutations.find_cell("detective-short-text")["source"]
    (block,) = (code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Diffusion" in code)
    assert len([line for line in block.splitlines() if line.strip()]) <= 20
    program = vars(mistakes.load_program())
    for name in ("drop_labels", "update_average", "scale_images"):
        del program[name]  # this program has none of them
    program |= {"plain_sample": program["sample"], "Unet": program["Network"], "told": [], "FIRST": 0}
    assert CLASSES.count(slip[0]) == 1
    exec(CLASSES.replace(*slip), program)
    program |= {"print": program["told"].append, "check_all": checklist.check_all}
    assert block.count("SHAPE=(3, 32, 32)") == 1
    block = block.replace("SHAPE=(3, 32, 32)", "SHAPE=(1, 8, 8)")  # this network is that of the digits
    if not ranged:
        block = block.replace("scale_images =", "scale =")
    if said:
        with pytest.raises(AssertionError, match=said):
            exec(block, program)
    else:
        exec(block, program)
        asked = f"schedule, {'images, ' * ranged}batch, network, training, guidance, sampler, mode"
        left = f"{'images, ' * (not ranged)}labels, average (not given: "
        assert program["told"][0].startswith(f"no mistake found in: {asked}; NOT ASKED: {left}")
