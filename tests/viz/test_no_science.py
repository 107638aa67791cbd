"""The pictures and widgets compute no science: they call the package, where each equation is checked."""

import ast
from pathlib import Path

import pytest

VIZ = Path(__file__).resolve().parents[2] / "ddpm_lite" / "viz"
MODULES = sorted(VIZ.rglob("*.py"))
# What follows from beta in a schedule: the package's functions read these, a picture has no need to.
TABLES = {"alpha", "alpha_bar", "one_minus_alpha_bar", "beta_tilde", "snr", "numbers"}
# How such a table, a training or a density would be made by hand.
SCIENCE = {"cumprod", "log1p", "expm1", "backward", "optim", "softmax", "logsumexp"}


def arithmetic(source):
    """What a module has of its own science: tables of a schedule, sums with beta, and training, as (line, name)."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in TABLES | SCIENCE:
            found.add((node.lineno, node.attr))
        if isinstance(node, ast.BinOp | ast.UnaryOp):
            parts = [part for part in ast.walk(node) if isinstance(part, ast.Attribute | ast.Name)]
            names = {part.attr if isinstance(part, ast.Attribute) else part.id for part in parts}
            found |= {(node.lineno, name) for name in names & {"beta"}}
    return sorted(found)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(VIZ)))
def test_viz_computes_no_science(path):
    allowed = {"alpha"} if path.name == "plots.py" else set()  # a colour's transparency
    found = [(line, name) for line, name in arithmetic(path.read_text(encoding="utf8")) if name not in allowed]
    assert found == [], f"{path.relative_to(VIZ)}: call the package for what stands in these lines"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("share = schedule.alpha_bar[t].sqrt()", ["alpha_bar"]),
        ("bar = np.cumprod(1 - np.frombuffer(data))", ["cumprod"]),
        ("alpha = 1 - schedule.beta[t]", ["beta"]),
        ("loss.backward()", ["backward"]),
        ("from_s = Schedule(torch.cat([schedule.beta[:1], schedule.beta[s + 1 :]]))", []),
    ],
)
def test_the_look_finds_what_it_is_for(source, names):
    assert [name for _, name in arithmetic(source)] == names
