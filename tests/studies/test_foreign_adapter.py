"""The adapter for denoising-diffusion-pytorch in the appendix of chapter 15: what both tools say of that program."""

import contextlib
import io
import re

import pytest
import study_mutations
import torch
from libraries.row import import_peer

from ddpm_lite import examine

TEXT = study_mutations.find_cell("detective-foreign-lucid")["source"]
(BLOCK,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
CREATED = 'objective="pred_noise")\n'
# Earlier alpha_bar padded at its end, as in their issue 18, put into what their constructor computes from it.
PADDED = """
prev = torch.nn.functional.pad(theirs.alphas_cumprod[:-1], (0, 1), value=1)
variance = theirs.betas * (1 - prev) / (1 - theirs.alphas_cumprod)
theirs.posterior_log_variance_clipped = variance.clamp(min=1e-20).log()
theirs.posterior_mean_coef1 = theirs.betas * prev.sqrt() / (1 - theirs.alphas_cumprod)
theirs.posterior_mean_coef2 = (1 - prev) * (1 - theirs.betas).sqrt() / (1 - theirs.alphas_cumprod)
"""


def run_adapter(schedule, padded):
    """The names of the adapter."""
    import_peer("denoising_diffusion_pytorch")
    source = BLOCK.replace('objective="pred_noise"', f'objective="pred_noise", beta_schedule="{schedule}"')
    assert source.count("objective") == 1
    names = {}
    exec(source + PADDED * padded, names)
    return names


def test_the_adapter_is_short():
    lines = [line for line in BLOCK.splitlines() if line.strip()]
    assert f"an adapter of {len(lines)} lines" in TEXT
    assert len(lines) <= 29
    assert max(map(len, BLOCK.splitlines())) <= 72


@pytest.mark.parametrize(
    ("schedule", "padded"), [("sigmoid", False), ("cosine", False), ("linear", False), ("sigmoid", True)]
)
def test_both_tools_say_what_the_table_says(schedule, padded):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line[:2] == "| "]
    (row,) = (row for row in rows if f"`{schedule}`" in row[0].replace('"', "`") and ("padding" in row[0]) == padded)
    names = run_adapter(schedule, padded)
    with contextlib.redirect_stderr(io.StringIO()):  # their progress bar
        try:
            said = names["check_all"](names)
        except AssertionError as found:
            said = str(found)
        parts = {
            name: names[key] for name, key in {"embed": "embed", "batch": "make_batch", "sampler": "sample"}.items()
        }
        pixels = names["scale_images"](torch.randint(0, 256, (64, 1, 8, 8)).float())
        tables = {"beta": names["BETA"], "alpha_bar": names["ALPHA_BAR"]}
        found = list(examine(tables, images=pixels, model=names["Network"](), **parts))
    wrong = [each.check for each in found if not each.fine]
    where = "schedule, images, batch, network, training, sampler, mode"
    left = "labels, average, guidance (not given: drop_labels, update_average, guide)"
    end = f"no mistake found in: {where}; NOT ASKED: {left}"
    assert said.replace(end, "passes") == row[1]
    assert row[2] == (f"WRONG: {wrong[0]}" if wrong else f"{len(found)} lines, 0 WRONG")
