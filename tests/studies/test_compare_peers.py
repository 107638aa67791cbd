"""`compare_program` finds in the libraries what the tables of chapter 14 say, through their real calls."""

import inspect
import json
import pickle
import re
from contextlib import redirect_stdout
from functools import partial
from importlib import import_module
from io import StringIO
from pathlib import Path
from unittest.mock import Mock

import diffusers
import numpy as np
import pytest
import torch
from libraries.row import Network, import_peer

from ddpm_lite import (
    LabelEncoder,
    Schedule,
    compare_program,
    ddim_step,
    heun_step,
    last,
    linear_schedule,
    load_pretrained,
    respace,
    sample,
    schedule_from_levels,
)
from ddpm_lite.files.diffusers_settings import OLD_KEYS
from ddpm_lite.process import predict_x_0, q_sample, z_from_flow

SCHEDULE = linear_schedule()
ROOT = Path(__file__).resolve().parents[2]
ONE = [(500, 499), (800, 799), (40, 39)]


def shorten(found):
    """What is printed, without the differences."""
    return re.sub(r" \([^()]* -> [\d.]+ %\)$", "", str(found))


def lines(scheduler=None, **parts):
    return [shorten(found) for found in compare_program(SCHEDULE, **parts)]


def diffusers_parts(name, jump, **options):
    """The calls of a scheduler that makes steps of this length; k is their time."""
    scheduler = getattr(diffusers, name)(**options)
    scheduler.set_timesteps(1000 // jump)
    return {
        "scheduler": scheduler,
        "table": scheduler.alphas_cumprod,
        "times": scheduler.timesteps,
        "noisy": lambda x_0, z, k: scheduler.add_noise(x_0, z, torch.tensor([k])),
        "estimate": lambda x, k, answer: scheduler.step(answer, k, x).pred_original_sample,
        "step": lambda x, k, to, answer: scheduler.step(answer, k, x).prev_sample,
    }


INDEX = "1. tables: translated: alpha_bar_t, index t - 1"
IMAGE = "3. images: equal: image x_t"
DDIM = [
    INDEX,
    "2. times: translated: times leading",
    IMAGE,
    "4 and 6. estimate: translated: answer z, clipped to [-1, 1]",
    "7. step: translated: old z_hat kept, step to t - 20, eta = 0 (DDIM)",
    "8. fresh noise: equal: none",
]
DDIM_WITHOUT_CLIP = "7. step: translated: step to t - 20, eta = 0 (DDIM)"


def test_ddim_of_diffusers():
    assert lines(**diffusers_parts("DDIMScheduler", 20)) == DDIM


@pytest.mark.parametrize(
    ("option", "number", "said"),
    [
        ({"prediction_type": "v_prediction"}, 3, "answer v, clipped to [-1, 1]"),
        ({"prediction_type": "sample", "clip_sample": False}, 3, "answer x_0, not clipped"),
        ({"clip_sample_range": 2.0}, 3, "answer z, clipped to [-2, 2]"),
        ({"timestep_spacing": "linspace"}, 1, "times linspace"),
        ({"steps_offset": 1}, 1, "times leading, one later"),
        ({"thresholding": True, "sample_max_value": 1.5}, 3, "4 and 6. estimate: different"),
        ({"beta_schedule": "scaled_linear"}, 0, "with scaled-linear betas from 0.0001 to 0.02 it is translated"),
        ({"beta_schedule": "squaredcos_cap_v2"}, 0, "with cosine_schedule(1000) it is translated"),
        ({"rescale_betas_zero_snr": True}, 0, "with ours, rescaled to a last SNR of 0, it is translated"),
    ],
)
def test_options_of_ddim_of_diffusers(option, number, said):
    assert said in lines(**diffusers_parts("DDIMScheduler", 20, **option))[number]


KARRAS = {"use_karras_sigmas": True}
LINEAR = {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}


def find_times(name, options, n):
    """What check 2 says of the times of this scheduler."""
    scheduler = getattr(diffusers, name)(**options | LINEAR)
    scheduler.set_timesteps(n)
    return lines(table=scheduler.alphas_cumprod, times=scheduler.timesteps)[1]


@pytest.mark.parametrize(
    ("name", "options", "n"),
    [
        ("DPMSolverMultistepScheduler", KARRAS, 18),
        ("DDIMScheduler", {"timestep_spacing": "trailing"}, 48),
        ("DPMSolverMultistepScheduler", {"use_exponential_sigmas": True}, 20),
        ("DPMSolverMultistepScheduler", {"use_beta_sigmas": True}, 20),
        ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True}, 20),
    ],
)
@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_times_that_are_not_known(name, options, n):
    said = find_times(name, options, n)
    assert said.startswith("2. times: different: ")
    assert ("much nearer is times at Karras's levels from 1000 to 1;" in said) == (options == KARRAS)


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        ("DPMSolverMultistep UniPCMultistep", {}, "linspace of {} without its end"),
        ("DPMSolverMultistep UniPCMultistep", {"timestep_spacing": "leading"}, "leading of {} without its end"),
        ("DPMSolverMultistep UniPCMultistep", KARRAS, "at Karras's levels from 1000 to 1, rounded"),
        ("EulerDiscrete", KARRAS, "at Karras's levels from 1000 to 1"),
        (
            "EulerDiscrete",
            KARRAS | {"timestep_spacing": "leading", "steps_offset": 1},
            "at Karras's levels from {} to 2",
        ),
    ],
)
@pytest.mark.parametrize("n", [10, 20, 25, 50])
@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_times_of_the_solvers_of_pipelines(names, options, said, n):
    number = 1000 - 1000 // n + 2 if "steps_offset" in options else n + 1
    for name in names.split():
        assert find_times(f"{name}Scheduler", options, n) == f"2. times: translated: times {said.format(number)}"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Heun", {"timestep_spacing": "leading"}, "each time but the first twice, times leading"),
        ("Heun", {}, "each time but the first twice, times linspace, not rounded"),
        ("Heun", KARRAS, "each time but the first twice, times at Karras's levels from 1000 to 1"),
        ("PNDM", {"skip_prk_steps": True}, "the second time twice, times leading"),
        ("PNDM", {"skip_prk_steps": True, "steps_offset": 1}, "the second time twice, times leading, one later"),
    ],
)
@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_times_that_come_twice(name, options, said):
    full = f"{name}{'Discrete' * (name == 'Heun')}Scheduler"
    assert find_times(full, options, 20) == f"2. times: translated: {said}"


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize(("n", "jump"), [(50, 20), (100, 10), (10, 100)])
def test_rounding_of_euler_is_no_eta(n, jump):
    scheduler = diffusers.EulerDiscreteScheduler(
        timestep_spacing="leading", beta_schedule="linear", beta_start=1e-4, beta_end=0.02
    )
    scheduler.set_timesteps(n)

    def noisy(x_0, z, k):
        return scheduler.add_noise(x_0, z, torch.tensor([k]))

    def step(x, k, to, answer):
        scheduler.set_timesteps(n)
        return scheduler.step(answer, scheduler.timesteps[scheduler.timesteps == k][0], x).prev_sample

    parts = {"table": scheduler.alphas_cumprod, "noisy": noisy, "step": step}
    for t in (501, 601, 901):
        found = lines(**parts, pairs=[(t, t - jump), (801, 801 - jump), (2 * jump + 1, jump + 1)])
        assert found[2:] == [
            "7. step: translated: answer z, not clipped, step to s, eta = 0 (DDIM)",
            "8. fresh noise: equal: none",
        ]


@pytest.mark.parametrize(
    ("variance", "said"),
    [
        ("fixed_small", "equal: deviation of eta = 1"),
        ("fixed_large", "translated: deviation sqrt(1 - alpha_bar_t / alpha_bar_s)"),
    ],
)
def test_ddpm_of_diffusers(variance, said):
    found = lines(**diffusers_parts("DDPMScheduler", 1, variance_type=variance), pairs=ONE, eta=1)
    assert found[0] == INDEX
    assert found[2:] == [
        IMAGE,
        "4 and 6. estimate: translated: answer z, clipped to [-1, 1]",
        "7. step: equal: z_hat computed again, step to s, eta = 1 (DDPM)",
        f"8. fresh noise: {said}",
    ]


def test_eta_and_the_given_noise_of_diffusers():
    parts = diffusers_parts("DDIMScheduler", 20)
    options = {"eta": 0.5, "use_clipped_model_output": True}
    scheduler = parts.pop("scheduler")
    parts["step"] = lambda x, k, to, answer, noise: (
        scheduler.step(answer, k, x, variance_noise=noise, **options).prev_sample
    )
    found = [*compare_program(SCHEDULE, eta=0.5, **parts, pairs=[(500, 480), (800, 780), (40, 20)])]
    assert [each.outcome for each in found[-2:]] == ["equal", "equal"]


@pytest.mark.parametrize(("objective", "target"), [("pred_noise", "z"), ("pred_v", "v"), ("pred_x0", "x_0")])
def test_denoising_diffusion_pytorch(objective, target):
    class Given(Network):
        def forward(self, x, t, *others, **named):
            return self.answer

    net, lucid = Given(), import_peer("denoising_diffusion_pytorch")
    diffusion = lucid.GaussianDiffusion(net, image_size=8, objective=objective, beta_schedule="linear")

    def ask(x, k, answer):
        net.answer = answer
        return diffusion.p_sample(x, k)

    parts = {
        "table": diffusion.alphas_cumprod,
        "noisy": lambda x_0, z, k: diffusion.q_sample(x_0, torch.full((len(x_0),), k), z),
        "estimate": lambda x, k, answer: ask(x, k, answer)[1],
        "step": lambda x, k, to, answer: ask(x, k, answer)[0],
    }
    assert lines(**parts, pairs=ONE, eta=1) == [
        INDEX,
        IMAGE,
        f"4 and 6. estimate: translated: answer {target}, clipped to [-1, 1]",
        "7. step: equal: z_hat computed again, step to s, eta = 1 (DDPM)",
        "8. fresh noise: equal: deviation of eta = 1",
    ]


def read_cell(name, *pages):
    """The source of a cell, of chapter 14 or its pages of solvers, programs and weights if no page is given."""
    pages = pages or ("14_other_peoples_code", "solvers", "cases", "weights")
    files = [ROOT / "book" / f"{page}.ipynb" for page in pages]
    cells = [cell for file in files for cell in json.loads(file.read_text(encoding="utf8"))["cells"]]
    (cell,) = (cell for cell in cells if cell["id"] == name)
    return "".join(cell["source"])


def run_boxes(*cells):
    """What the programs of these cells find, one list for each program; each goes on where the one before ended."""
    every, names = [], {}
    for text in cells:
        for code in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
            assert max(map(len, code.splitlines())) <= 72
            every.append([])
            names["print"] = every[-1].append
            exec(code, names)
    return every


def read_rows(text):
    """The rows of a table of findings as lines, and the differences that are left."""
    rows = re.findall(r"^\| (\d.*?) \| (\w+) \| `(.*?)` \| (.*?) ?\|$", text, re.M)
    return [": ".join(row[:3]) for row in rows], [row[3].removesuffix(" %") for row in rows]


def hold_table(text, found, without=""):
    """The table has the lines that are printed and not equal, without those of some checks, and their differences."""
    said, left = read_rows(text)
    found = [each for each in found if each.outcome != "equal" and each.check[0] not in without]
    assert said == [shorten(each) for each in found]
    printed = [re.search(r" % -> ([\d.]+) %\)$", str(each)) for each in found]
    assert left == [f"{float(each[1]):g}" if each else "" for each in printed]


def test_example_with_diffusers_prints_what_the_chapter_shows():
    text = read_cell("harness")
    (found,) = run_boxes(text)
    assert [shorten(each) for each in found] == DDIM
    hold_table(text, found)


def test_settings_of_stable_diffusion(tmp_path, monkeypatch):
    """The lines of the file, each with a row of the table, and both programs with their lines."""
    text = read_cell("case-sd")
    (file,) = re.findall(r"^```json\n(.*?)^```", text, re.M | re.S)
    (tmp_path / "scheduler_config.json").write_text(file, encoding="utf8")
    monkeypatch.chdir(tmp_path)
    _, ends, goes_on = run_boxes(read_cell("harness"), text)
    assert [str(found) for found in ends] == [" ".join(re.search(r"```text\n(.*?)```", text, re.S)[1].split())]
    hold_table(text, goes_on, without="17")
    assert [shorten(each) for each in goes_on if each.check[0] in "17"] == [INDEX, DDIM_WITHOUT_CLIP]
    rows = re.findall(r"^\| (`.*?) \| .* \| \d+ \|$", text, re.M)
    settings = json.loads(file)
    assert settings.pop("_class_name") == "PNDMScheduler"
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == {*settings, "prediction_type"}
    given = {name: value for name, value in settings.items() if name != "skip_prk_steps"}
    theirs = diffusers.DDIMScheduler(**given)
    plms = diffusers.PNDMScheduler.from_config(settings)
    assert theirs.config.prediction_type == plms.config.prediction_type == "epsilon"
    assert plms.config.skip_prk_steps
    assert torch.equal(theirs.betas, plms.betas)
    assert len(theirs.betas) == 1000
    roots = theirs.betas.double().sqrt()
    assert torch.allclose(roots.square()[[0, -1]], torch.tensor([0.00085, 0.012]).double())
    assert torch.allclose(roots.diff(), roots.diff().mean(), rtol=1e-3)
    theirs.set_timesteps(50)
    plms.set_timesteps(50)
    assert theirs.timesteps[[0, 1, -1]].tolist() == [981, 961, 1]
    assert set(theirs.timesteps.tolist()) == set(plms.timesteps.tolist())
    assert len(plms.timesteps) == 51
    assert plms.timesteps[[0, 1, 2, 3, -1]].tolist() == [981, 961, 961, 941, 1]
    x, answer = torch.randn(2, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    out = theirs.step(answer, 1, x)
    assert out.pred_original_sample.abs().max() > 1
    own = Schedule(torch.cat([0 * theirs.betas[:1], theirs.betas]))
    assert torch.allclose(out.prev_sample, ddim_step(own, x, 2, 1, answer, 0 * x, clip=False), atol=1e-5)
    assert (out.prev_sample - out.pred_original_sample).abs().max() > 0.01
    assert inspect.signature(diffusers.AutoencoderKL).parameters["scaling_factor"].default == 0.18215


def test_checkpoint_of_v_without_signal_at_the_end(tmp_path, monkeypatch):
    """The program after that of Stable Diffusion, its lines, and the first step, which an answer z cannot make."""
    before, text = read_cell("case-sd"), read_cell("case-v")
    (file,) = re.findall(r"^```json\n(.*?)^```", before, re.M | re.S)
    (tmp_path / "scheduler_config.json").write_text(file, encoding="utf8")
    monkeypatch.chdir(tmp_path)
    *_, found = run_boxes(read_cell("harness"), before, text)
    line, _, more = str(found[0]).partition("%), ")
    assert more == re.search(r"adds `(.*?)`", text)[1]
    found[0] = found[0]._replace(text=line.partition(": translated: ")[2] + "%)")
    again = [DDIM_WITHOUT_CLIP, *read_rows(before)[0]]
    assert {"7. step", "9. guidance"} == {
        each.check for each in found if shorten(each) in again and each.check[0] in "79"
    }
    assert shorten(found[0]) == INDEX
    (estimate,) = (each for each in found if each.check == "4 and 6. estimate")
    assert shorten(estimate).endswith(": " + re.search(r"finds `(.*?)`", text)[1])
    assert "Check 2** is *equal*" in text
    assert found[1].outcome == "equal"
    options = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "clip_sample": False}
    x, answer = torch.randn(2, 1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for kind in ("v_prediction", "epsilon"):
        theirs = diffusers.DDIMScheduler(prediction_type=kind, **options)
        theirs.set_timesteps(50)
        assert theirs.alphas_cumprod[-1] == 0
        out = theirs.step(answer, 999, x)
        if kind == "epsilon":
            assert not out.pred_original_sample.isfinite().any()
        else:
            after = theirs.alphas_cumprod[979]
            assert torch.equal(out.pred_original_sample, -answer)
            assert torch.allclose(out.prev_sample, -after.sqrt() * answer + (1 - after).sqrt() * x, atol=1e-6)
    plain = diffusers.DDIMScheduler().alphas_cumprod.double().sqrt()
    due = plain[0] / (plain[0] - plain[-1]) * (plain - plain[-1])
    assert torch.allclose(theirs.alphas_cumprod.double().sqrt(), due, atol=1e-5)


def test_options_of_the_weights_are_those_of_the_table():
    """The defaults of their U-Net and our settings, and the names in files of 2022."""
    text = read_cell("weights-text")
    ours = load_pretrained("digits")[0].config
    theirs = {name: given.default for name, given in inspect.signature(diffusers.UNet2DModel).parameters.items()}
    for name, own, default in (("freq_shift", 1, 0), ("norm_eps", 1e-6, 1e-5), ("downsample_padding", 0, 1)):
        assert (getattr(ours, name), theirs[name]) == (own, default)
        assert re.search(rf"^\| `{name}={own:g}`".replace("e-06", "e-6"), text, re.M)
    assert theirs["flip_sin_to_cos"] is True
    assert (ours.head_dim, theirs["attention_head_dim"], ours.groups, theirs["norm_num_groups"]) == (None, 8, 8, 32)
    assert "| `attention_head_dim=8`: " in text
    assert "| 8 groups in a norm | `norm_num_groups=32` |" in text
    names, old = re.search(r"^\| (`to_q`.*?) \| in files of 2022 (.*?) \|", text, re.M).groups()
    assert dict(zip(re.findall("`(.*?)`", old), re.findall("`(.*?)`", names), strict=True)) == OLD_KEYS


def test_names_of_another_file_are_those_of_the_table():
    """As diffusers translates them; and its own U-Net lists the middle block after the up blocks."""
    names = import_module("diffusers.loaders.single_file_utils")
    assert names.CHECKPOINT_KEY_NAMES["v1"].startswith("model.diffusion_model.output_blocks.")
    source = inspect.getsource(names.convert_ldm_unet_checkpoint)
    layers = names.DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"]
    known = {old.removesuffix(".weight"): new.removesuffix(".weight") for new, old in layers.items() if "weight" in old}
    found = {}
    parts = ["in_layers.0", "in_layers.2", "emb_layers.1", "skip_connection", "out_layers.0", "out_layers.3"]
    names.update_unet_resnet_ldm_to_diffusers(parts, found, {part: part for part in parts})
    known |= {old: new for new, old in found.items()}
    for theirs, ours in (("input_blocks", "down_blocks"), ("output_blocks", "up_blocks")):
        assert f'"old": f"{theirs}.{{i}}.0", "new": f"{ours}.{{block_id}}.resnets.{{layer_in_block_id}}"' in source
    assert 'block_id = (i - 1) // (config["layers_per_block"] + 1)' in source  # so 4 begins the second of two blocks
    known |= {"input_blocks.1.0": "down_blocks.0.resnets.0", "output_blocks.0.0": "up_blocks.0.resnets.0"}
    for key, kind in ((0, "resnets"), (1, "attentions"), (2, "resnets")):
        assert f'"new": f"mid_block.{kind}.{{diffusers_key}}"' in source
        known[f"middle_block.{key}"] = f"mid_block.{kind}.{max(key - 1, 0)}"
    rows = re.findall(r"^\| (`.*?) \| (`.*?) \|$", read_cell("names-text"), re.M)
    said = {}
    for row in rows:
        said |= dict(zip(*(re.findall("`(.*?)`", column) for column in row), strict=True))
    assert said == known
    own = list(load_pretrained("digits")[0].state_dict())
    theirs = diffusers.UNet2DModel(block_out_channels=(8, 8), norm_num_groups=4, sample_size=8,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2).state_dict()  # fmt: skip
    order = [list(dict.fromkeys(name.partition(".")[0] for name in listed)) for listed in (own, theirs)]
    assert order[0].index("mid_block") < order[0].index("up_blocks")
    assert order[1].index("mid_block") > order[1].index("up_blocks")


def test_levels_of_the_case_by_hand_are_those_of_the_program():
    """What the appendix says of the scheduler is what its program prints."""
    text = read_cell("case-twice")
    line, once, twice = (re.search(rf"^{name} +(.*)$", text, re.M)[1].split() for name in ("theirs", "once", "twice"))
    assert line == twice
    assert f"keeps the lowest, {once[-1]}, as `sigma_min`" in text
    assert f"`mu` $= \\log 3$ the last level is {once[-1]}." in text
    assert "every level but the first is higher than yours, the last nearly three times as high" in text
    assert line[0] == once[0]
    assert all(float(theirs) > float(own) for theirs, own in zip(line[1:], once[1:], strict=True))
    assert 2.9 < float(line[-1]) / float(once[-1]) < 3
    for cell in ("call-hook", "call-watch"):  # the appendix repeats the hook
        assert read_cell(cell).partition("handle =")[0].strip() in read_cell("cases-hook")


def test_table_in_float16_begins_with_1():
    """The cause of the black images: the first alpha_bar rounds to 1, so nothing is left to divide by."""
    assert (1 - SCHEDULE.beta.half()).cumprod(0)[1] == 1
    assert "(1 - schedule.beta.half()).cumprod(0)" in read_cell("symptoms-run")
    solver = diffusers.DDIMScheduler(clip_sample=False)
    solver.alphas_cumprod = (1 - solver.betas.half()).cumprod(0)
    solver.set_timesteps(50)
    x, answer = torch.randn(2, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    out = solver.step(answer, 0, x)  # its variance divides by 0, though eta is 0
    assert out.pred_original_sample.isfinite().all()
    assert out.prev_sample.isnan().all()


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_options_that_come_over_to_another_scheduler():
    """From the scheduler of the file: what it sets is kept, also by a class between, and the rest begins anew."""
    text = read_cell("case-sd")
    said = read_cell("scheduler-cases", "rosetta")
    (file,) = re.findall(r"^```json\n(.*?)^```", text, re.M | re.S)
    plms = diffusers.PNDMScheduler.from_config(json.loads(file))
    assert "clip_sample" not in inspect.signature(diffusers.PNDMScheduler).parameters
    ddim, bare = diffusers.DDIMScheduler.from_config(plms.config), diffusers.DDIMScheduler()
    solver = diffusers.DPMSolverMultistepScheduler.from_config(plms.config)
    options = ["clip_sample", "steps_offset", "set_alpha_to_one", "beta_schedule"]
    kept = [False, 1, False, "scaled_linear"]
    assert [ddim.config[name] for name in options] == kept
    assert [diffusers.DDIMScheduler.from_config(solver.config).config[name] for name in options] == kept
    assert [bare.config[name] for name in options] == [True, 0, True, "linear"]
    assert torch.equal(solver.betas, plms.betas)
    assert (plms.config.timestep_spacing, solver.config.timestep_spacing) == ("leading", "linspace")
    assert solver.config.final_sigmas_type == "zero"
    for scheduler, first in ((plms, 951), (ddim, 951), (solver, 999)):
        scheduler.set_timesteps(20)
        assert scheduler.timesteps[0] == first
    assert solver.sigmas[-1] == 0
    assert "the first of 20 times is 999 instead of 951" in said


def test_version_to_install_is_that_of_the_record():
    record = json.loads((ROOT / "book/results/rosetta.json").read_text(encoding="utf8"))
    assert f"`pip install diffusers=={record['versions']['diffusers']}`" in read_cell("harness")


def test_weights_are_saved_as_the_chapter_says(tmp_path):
    """The names of denoising-diffusion-pytorch's average, the mode of a new network, and a pickle that is refused."""
    lucid = import_peer("denoising_diffusion_pytorch")
    saved = inspect.getsource(lucid.Trainer.save)
    assert "'model': self.accelerator.get_state_dict(self.model)" in saved
    assert "'ema': self.ema.state_dict()" in saved
    network = lucid.GaussianDiffusion(lucid.Unet(8, dim_mults=(1, 2)), image_size=8)
    assert network.training
    average = import_module("ema_pytorch").EMA(network)
    for part in ("ema_model.", "online_model."):
        names = {name.removeprefix(part) for name in average.state_dict() if name.startswith(part)}
        assert names == set(network.state_dict())
    torch.save({"weights": print}, tmp_path / "model.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "model.ckpt", weights_only=True)


def test_latents_are_divided_after_a_text_and_multiplied_before_an_image():
    folder = Path(diffusers.__file__).parent / "pipelines/stable_diffusion"
    text, image = ((folder / f"pipeline_stable_diffusion{kind}.py").read_text("utf8") for kind in ("", "_img2img"))
    for source in (text, image):
        assert "self.vae.decode(latents / self.vae.config.scaling_factor" in source
    multiplies = "scaling_factor * init_latents"
    assert multiplies in image
    assert multiplies not in text


def test_guidance_of_stable_diffusion():
    """Read in the source: from the answer without a label, by the scale times the difference; 7.5 is the default."""
    folder = Path(diffusers.__file__).parent / "pipelines"
    for name, steps, scale in (("stable_diffusion", 50, 7.5), ("stable_diffusion_3", 28, 7.0)):
        source = (folder / name / f"pipeline_{name}.py").read_text(encoding="utf8")
        assert "noise_pred_uncond + self.guidance_scale * (noise_pred_text - noise_pred_uncond)" in source
        assert f"num_inference_steps: int = {steps}," in source
        assert f"guidance_scale: float = {scale}," in source


def split_flow():
    """The program of case 3, and the two lines of the first step, which the appendix has."""
    cells = read_cell("case-flow-run"), read_cell("flows-text", "rosetta")
    ((program,), (first,)) = (re.findall(r"^```python\n.*?^```", text, re.M | re.S) for text in cells)
    return program, first


def test_flow_is_read_in_its_own_words():
    text = read_cell("case-flow-run")
    (found,) = run_boxes(split_flow()[0])
    hold_table(text, found, without="12")
    for each, said in zip(found, re.findall(r"finds `(.*?)`, and check 2 `(.*?)`", text)[0], strict=False):
        assert said in each.text
    folder = Path(diffusers.__file__).parent / "pipelines"
    flux = (folder / "flux/pipeline_flux.py").read_text(encoding="utf8")
    assert "num_inference_steps: int = 28," in flux
    assert "timestep=timestep / 1000," in flux
    assert re.search(
        r"if self.transformer.config.guidance_embeds:\n.*guidance_scale.*\n.*\n +else:\n +guidance = None", flux
    )
    assert "sigmas = np.linspace(1.0, 1 / num_inference_steps, num_inference_steps) if sigmas is None" in flux
    transformer = folder.parent / "models/transformers/transformer_flux.py"
    assert "timestep = timestep.to(hidden_states.dtype) * 1000" in transformer.read_text(encoding="utf8")
    levels, scheduler = np.linspace(1, 1 / 28, 28), diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    scheduler.set_timesteps(sigmas=levels, mu=1.15)
    shifted = np.exp(1.15) * levels / (1 + (np.exp(1.15) - 1) * levels)
    assert np.allclose(scheduler.sigmas[:-1], shifted, atol=1e-6)
    assert "timestep=timestep," in (folder / "stable_diffusion_3/pipeline_stable_diffusion_3.py").read_text("utf8")


def answer_flow(m, tau):
    """The exact z - x_0 of a flow whose pixels have mean 1 and standard deviation 0.5."""
    pull = (m - (1 - tau)) / (0.25 * (1 - tau) ** 2 + tau**2)
    return tau * pull - (1 + 0.25 * (1 - tau) * pull)


@pytest.mark.parametrize(("steps", "without"), [(28, 0.994), (4, 0.973)])
def test_first_step_of_a_flow_as_printed(steps, without):
    """Their walk is ours after the two lines; the mean of z alone goes to the mean of the images, and not without."""
    code = split_flow()[1].removeprefix("```python\n").removesuffix("```")
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(steps)
    tau = theirs.sigmas[1:].flip(0).double()
    own = schedule_from_levels(tau / (1 - tau))
    draws = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    blank = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    z = torch.cat([blank, draws, blank + 1])  # the walk is linear: 0 gives the mean, and 1 one deviation above it
    m = z
    for time, level in zip(theirs.timesteps, theirs.sigmas, strict=False):
        m = theirs.step(answer_flow(m, level.double()), time, m).prev_sample

    def net(x, t, context=None):
        level = own.flow_time[t].reshape(-1, 1, 1, 1)
        return z_from_flow(own, x, t, answer_flow(x * ((1 - level) ** 2 + level**2).sqrt(), level))

    names = {"z": z, "tau": tau, "u": answer_flow(z, 1.0)}
    exec(code, names)
    options = {"step": partial(ddim_step, clip=False), "dtype": torch.float64}
    ours, missed = (last(sample(net, own, z.shape, x_T=x, **options))[1] for x in (names["x_T"], z))
    assert torch.allclose(ours, m.double(), atol=1e-5)
    assert torch.allclose(ours[0], torch.ones_like(ours[0]), atol=1e-5)
    assert missed[0].mean().item() == pytest.approx(without, abs=5e-4)
    spreads = [float((walk[-1] - walk[0]).mean()) for walk in (ours, missed)]
    assert spreads == pytest.approx([0.45, 0.45] if steps == 28 else [0.16, 0.162], abs=1e-3)
    assert all(number in read_cell("flows-text", "rosetta") for number in ("0.994", "is 0.45 instead of 0.5."))


def test_shift_made_twice_prints_what_the_chapter_shows():
    """The program after that of case 3, and the cause: which lowest level `set_timesteps` shifts."""
    text = read_cell("case-twice")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    (said,) = re.findall(r"^```text\n(.*?)^```", text, re.M | re.S)
    assert max(map(len, code.splitlines())) <= 72
    names = {}
    with redirect_stdout(StringIO()):
        exec(split_flow()[0].removeprefix("```python\n").removesuffix("```"), names)
    with redirect_stdout(StringIO()) as out:
        exec(code, names)
    assert out.getvalue() == said
    make = diffusers.FlowMatchEulerDiscreteScheduler
    theirs, plain = make(shift=3.0), make()
    assert theirs.sigma_min == pytest.approx(names["shift"](0.001))
    assert theirs.sigma_min == pytest.approx(0.0030, abs=5e-5)
    assert (len(plain.sigmas), plain.sigma_min) == (1000, pytest.approx(0.001))
    theirs.set_timesteps(28)
    lowest = theirs.sigmas[-2].double()
    assert lowest / (1 - lowest) == pytest.approx(9 * 0.001 / 0.999, rel=1e-4)
    even = torch.linspace(1, 0.001, 28, dtype=torch.float64)
    once = names["shift"](even).float()
    theirs.set_timesteps(sigmas=even.tolist())
    assert torch.allclose(theirs.sigmas[:-1], once, atol=1e-6)
    dynamic = make(use_dynamic_shifting=True)
    dynamic.set_timesteps(28, mu=float(np.log(3)))
    assert torch.allclose(dynamic.sigmas[:-1], once, atol=1e-6)
    assert (names["theirs"].sigmas[1:-1] > once[1:]).all()
    other = make(use_dynamic_shifting=True, shift=7.0)  # the option changes nothing then
    other.set_timesteps(28, mu=float(np.log(3)))
    assert torch.equal(other.sigmas, dynamic.sigmas)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_default_times_of_the_solvers_are_those_of_the_text():
    """Fractions of *linspace*, *linspace* rounded, *leading*, or times of their own."""
    kinds = {}
    for name in re.findall(r"`(\w+Scheduler)`", read_cell("solvers-table")):
        solver = getattr(diffusers, name)()
        solver.set_timesteps(20)
        whole = torch.equal(solver.timesteps, solver.timesteps.round())
        kinds.setdefault((solver.config.get("timestep_spacing"), whole), set()).add(name)
    assert kinds.pop(("linspace", False)) == {
        f"{name}DiscreteScheduler" for name in ("Euler", "EulerAncestral", "Heun")
    }
    assert kinds.pop(("linspace", True)) == {"DPMSolverMultistepScheduler", "UniPCMultistepScheduler"}
    own = {"FlowMatchEulerDiscreteScheduler"}
    assert kinds.pop((None, False)) == own
    assert kinds == {("leading", True): {"DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "LCMScheduler"}}
    for name in ("Euler", "EulerAncestral", "Heun"):
        for n in (10, 20, 28, 38, 50):
            solver = getattr(diffusers, f"{name}DiscreteScheduler")()
            solver.set_timesteps(n)
            assert torch.equal(solver.timesteps, solver.timesteps.round()) == (999 % (n - 1) == 0)
    column = re.findall(r"^\| .*?`(\w+Scheduler)`.* \| (.*?) \|$", read_cell("solvers-table"), re.M)
    said = {(spacing, name) for name, spacing in column}
    assert {("*linspace*", f"{name}DiscreteScheduler") for name in ("EulerAncestral", "Heun")} <= said
    assert ("*linspace*; of a flow, its own", "EulerDiscreteScheduler") in said
    for name in ("DPMSolverMultistepScheduler", "UniPCMultistepScheduler"):
        assert ("*linspace*, rounded", name) in said
    for name in ("DDIM", "DDPM", "PNDM"):
        assert ("*leading*", f"{name}Scheduler") in said
    solver = diffusers.LCMScheduler()  # it ignores its option `timestep_spacing`
    solver.set_timesteps(20)
    assert solver.timesteps[[0, 1, -1]].tolist() == [999, 959, 59]


def test_autoencoder_may_be_run_in_float32():
    """Read in the source: the option that the text names, and what it does in a pipeline in float16."""
    assert inspect.signature(diffusers.AutoencoderKL).parameters["force_upcast"].default is True
    folder = Path(diffusers.__file__).parent / "pipelines/stable_diffusion_xl"
    source = (folder / "pipeline_stable_diffusion_xl.py").read_text(encoding="utf8")
    assert "self.vae.dtype == torch.float16 and self.vae.config.force_upcast" in source
    assert "`force_upcast`" in read_cell("symptoms-see")
    folder = Path(diffusers.__file__).parent / "pipelines/stable_diffusion"
    assert "nsfw_content_detected" in (folder / "pipeline_output.py").read_text(encoding="utf8")
    assert "np.zeros(images[idx].shape)  # black image" in (folder / "safety_checker.py").read_text(encoding="utf8")


@pytest.mark.parametrize("by", [0.5, 3.0])
def test_a_shift_multiplies_each_noise_level(by):
    tau = diffusers.FlowMatchEulerDiscreteScheduler().sigmas[1:].double()
    moved = diffusers.FlowMatchEulerDiscreteScheduler(shift=by).sigmas[1:].double()
    assert torch.allclose(moved / (1 - moved), by * tau / (1 - tau), rtol=1e-3)


@pytest.fixture(scope="module")
def hooked():
    """The names after the cells of the hook, with the network of the digits, and the lines of both boxes of case 4."""
    network, _ = load_pretrained("digits")
    names = {"torch": torch, "network": network, "schedule": SCHEDULE, "respace": respace, "ddim_step": ddim_step}
    names |= {"predict_x_0": predict_x_0}
    exec(read_cell("call-hook") + "\n\n" + read_cell("call-watch").partition("handle =")[0], names)
    text, printed = read_cell("case-pipeline"), []
    for code in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
        assert max(map(len, code.splitlines())) <= 72
        with redirect_stdout(StringIO()) as out:
            exec(code, names)
        printed.append(out.getvalue())
    return names, printed, re.findall(r"^```text\n(.*?)^```", text, re.M | re.S)


def test_case_of_the_pipeline_prints_what_the_chapter_shows(hooked):
    names, printed, said = hooked
    assert printed == said
    assert len(names["calls"]) == 50
    assert isinstance(names["pipe"].unet, diffusers.UNet2DModel)
    assert [t + 1 for _, t, *_ in names["calls"]] == respace(SCHEDULE, 50, "leading").times[1:].flip(0).tolist()


def test_step_that_keeps_the_old_noise_is_that_of_diffusers(hooked):
    scheduler = diffusers.DDIMScheduler()
    scheduler.set_timesteps(50)
    x_t, z_hat = torch.randn(2, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for t in (981, 501, 1):
        theirs = scheduler.step(z_hat, t - 1, x_t).prev_sample
        ours = hooked[0]["keep"](SCHEDULE, x_t, t, max(t - 20, 0), z_hat, None)
        assert torch.allclose(theirs, ours.float(), atol=1e-5)


@pytest.fixture(scope="module")
def solvers(hooked):
    """The names after the code cells of the solvers, beside those of the hook."""
    names = dict(hooked[0])
    cells = "setup", "move-again", "2m", "plms", "order", "ask"
    for cell in (f"solvers-{name}" for name in cells):
        with redirect_stdout(StringIO()):
            exec(read_cell(cell), names)
    return names


def read_solver(names, solver, x):
    """All states of a scheduler, for the network of the digits."""
    for t in solver.timesteps:
        x = solver.step(names["ask"](x, t + 1), t, x).prev_sample
        yield x


def run_whole(page):
    """The names after all code cells of the page, as "Run all" leaves them."""
    cells = json.loads((ROOT / f"book/{page}.ipynb").read_text(encoding="utf8"))["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code" and cell["id"] != "install":
            with redirect_stdout(StringIO()):
                exec("".join(cell["source"]), names)
            names["plots"] = Mock()  # the figures are of no interest here
    return names


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize(
    ("page", "cells"), [("cases", ("case-pipeline", "weights-program")), ("solvers", ("solvers-case",))]
)
def test_programs_run_after_the_whole_page(page, cells):
    """No later cell, such as one of an exercise, takes a name that they use."""
    whole = run_whole(page)
    for cell in ("harness", "case-flow-run") if page == "cases" else ():
        for program in re.findall(r"^```python\n(.*?)^```", read_cell(cell), re.M | re.S):
            with redirect_stdout(StringIO()):
                exec(program, whole)  # a reader may run these cases first
    for cell in cells:
        code, said = (
            re.findall(rf"^```{kind}\n(.*?)^```", read_cell(cell), re.M | re.S) for kind in ("python", "text")
        )
        for program, due in zip(code, said, strict=True):
            with redirect_stdout(StringIO()) as out:
                exec(program, whole)
            assert out.getvalue() == due


def test_order_of_2m_as_derived():
    """The weighted mean of the fold, and the error of the extrapolated value for a parabola."""
    for h in (0.5, 0.1):
        r = np.linspace(-h / 2, h / 2, 20001)
        mean = np.trapezoid(r * np.exp(r), r) / np.trapezoid(np.exp(r), r)
        assert mean == pytest.approx(h / 2 / np.tanh(h / 2) - 1, rel=1e-5)
        assert abs(mean - h**2 / 12) < h**4 / 700
        before = 0.7 * h
        value, earlier = h**2 / 8, (h / 2 + before) ** 2 / 2  # of f = r^2 / 2, whose second derivative is 1
        middle = value + h / (2 * before) * (value - earlier)
        assert -middle == pytest.approx(h / 2 * (h / 2 + before) / 2)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize("which", [0, 1])
def test_cases_of_the_solvers_print_what_the_chapter_shows(solvers, which):
    """DPM-Solver++ 2M and PNDM."""
    text = read_cell("solvers-case")
    code, said = (re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)[which] for kind in ("python", "text"))
    assert max(map(len, code.splitlines())) <= 72
    with redirect_stdout(StringIO()) as out:
        exec(code, solvers)
    assert out.getvalue() == said


def test_each_mix_of_pndm_integrates_its_polynomial(solvers):
    """Over the next of evenly spaced steps, as the weights of Adams and Bashforth do."""
    for n, mix in enumerate(solvers["MIXES"]):
        for power in range(n + 1):
            mean = sum(w * (-i) ** power for i, w in enumerate(mix)) / sum(mix)
            assert mean == pytest.approx(1 / (power + 1))


@pytest.mark.parametrize("n", [50, 100])
def test_mean_over_the_steps_for_the_mean_over_the_levels(n):
    """What even weights cost at uneven levels: of second order, as derived."""
    i = np.linspace(0, 1, 2001) / n + 0.4  # a step of 1 / n, with the answer and the level as smooth functions
    answer, level, middle = np.sin(i), np.exp(2 * i), 0.4 + 0.5 / n
    gap = np.trapezoid(answer, level) / (level[-1] - level[0]) - np.trapezoid(answer, i) * n
    assert gap == pytest.approx(np.cos(middle) * 2 / 12 / n**2, rel=0.01)  # f' nu'' / (12 nu'), in steps of 1 / n


def test_move_makes_every_step_of_a_flow(solvers):
    """Also the first, from the noise alone, which our schedule cannot hold."""
    theirs = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    theirs.set_timesteps(28)
    tau = theirs.sigmas.double()
    m = x = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for i, time in enumerate(theirs.timesteps):
        u = answer_flow(x, tau[i])
        image = x - tau[i] * u  # q = 1 and p = -1, so a q - b p = 1
        x = solvers["move"](x, image, 1 - tau, tau, i, i + 1)
        m = theirs.step(answer_flow(m, tau[i]), time, m).prev_sample.double()
        assert torch.allclose(x, m, atol=1e-5)
    with pytest.raises(ValueError, match="finite"):
        schedule_from_levels(torch.tensor([0, 1, torch.inf]))


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_levels_of_the_long_last_step(solvers):
    """Those of sigma_min are the default ones and that of t = 1; the fold of the chapter measures 2M at them."""
    with redirect_stdout(StringIO()):
        exec(read_cell("solvers-default"), names := dict(solvers))
    solver = diffusers.DPMSolverMultistepScheduler(final_sigmas_type="sigma_min")
    solver.set_timesteps(20)
    assert torch.allclose(solver.sigmas.double(), names["list_long"](20)[:-1].double(), rtol=1e-4)


@pytest.mark.parametrize(("n", "first"), [(14, True), (15, False), (20, False)])
@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_last_step_of_dpm_solver_to_its_smallest_level(solvers, n, first):
    """Of order 2 from 15 steps on; a 0 for the last level makes it of order 1."""
    solver = diffusers.DPMSolverMultistepScheduler(final_sigmas_type="sigma_min")
    solver.set_timesteps(n)
    told, x = (solver.timesteps + 1).tolist(), solvers["z"]
    *_, before, theirs = read_solver(solvers, solver, x)
    a, b = (SCHEDULE.alpha_bar.sqrt()[[*told, 1]], SCHEDULE.one_minus_alpha_bar.sqrt()[[*told, 1]])

    def estimate(x, i):
        return (x - b[i] * solvers["ask"](x.float(), told[i])) / a[i]

    *_, ours = solvers["solve_2m"](estimate, a, b, x)
    single = solvers["move"](before, estimate(before, n - 1), a, b, n - 1, n)
    assert torch.allclose(single, theirs, atol=1e-5) == first
    assert torch.allclose(ours, theirs, atol=1e-5) == (not first)


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("DDIMScheduler", {"clip_sample": False}, "move"),
        ("DDPMScheduler", {"clip_sample": False}, "noisy"),
        ("EulerDiscreteScheduler", {"timestep_spacing": "leading"}, "move"),
        ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "leading"}, "noisy"),
        ("HeunDiscreteScheduler", {"timestep_spacing": "leading"}, "heun"),
        ("DPMSolverMultistepScheduler", {"timestep_spacing": "leading", "solver_order": 1}, "move"),
    ],
)
@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_rows_of_the_solvers_are_our_steps(solvers, name, options, kind):
    """A walk of 10 calls or steps, state by state, each of our steps from their state and with their noise."""
    solver = getattr(diffusers, name)(**options | LINEAR)
    solver.set_timesteps(10)
    nu = getattr(solver, "sigmas", None)
    told = [t for i, t in enumerate((solver.timesteps + 1).long().tolist()) if kind != "heun" or i == 0 or i % 2]
    ends = [*told[1:], 0]
    in_levels = solver.init_noise_sigma != 1
    a, b = SCHEDULE.alpha_bar.sqrt().float(), SCHEDULE.one_minus_alpha_bar.sqrt().float()
    x, ask, calls = solvers["z"] * solver.init_noise_sigma, solvers["ask"], 0
    times = iter(solver.timesteps)
    for t, s in zip(told, ends, strict=True):
        ours = x * a[t] if in_levels else x
        z_hat = ask(ours, t)
        fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(t))
        if kind == "move":
            due = solvers["move"](ours, (ours - b[t] * z_hat) / a[t], a, b, t, s)
        elif kind == "noisy":
            due = ddim_step(SCHEDULE, ours, t, s, z_hat, fresh, eta=1, clip=False)
        else:
            due = heun_step(SCHEDULE, ours, t, s, z_hat, fresh, ask=ask, clip=False)
        for _ in range(2 if kind == "heun" and s else 1):
            k = next(times)
            given = solver.scale_model_input(x, k)
            extra = {"generator": torch.Generator().manual_seed(t)} if kind == "noisy" else {}
            x = solver.step(ask(given, int(k) + 1), k, x, **extra).prev_sample
            calls += 1
        state = x * a[s] if in_levels else x
        assert (state - due).abs().max() < 1e-4 * due.abs().max(), (t, s)
    assert calls == (19 if kind == "heun" else 10)
    assert (nu is None) == (name in ("DDIMScheduler", "DDPMScheduler"))


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize("karras", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_solver_with_fresh_noise_is_ddim_with_the_middle_estimate(solvers, second, karras):
    """All states of DPM++ 2M SDE, and those of first order, each of our steps from their state and with their noise."""
    options = {"algorithm_type": "sde-dpmsolver++", "solver_order": 1 + second, "use_karras_sigmas": karras}
    solver = diffusers.DPMSolverMultistepScheduler(**options, **LINEAR)
    solver.set_timesteps(20)
    told, x, memory = (solver.timesteps + 1).tolist(), solvers["z"], None
    own = schedule_from_levels(solver.sigmas.double().flip(0))
    a, b = own.alpha_bar.sqrt(), own.one_minus_alpha_bar.sqrt()
    for i, told_time in enumerate(told):
        t, s = 20 - i, 19 - i
        answer = solvers["ask"](x, told_time)
        image = middle = (x - b[t] * answer) / a[t]
        h = (a[s] / b[s]).log() - (a[t] / b[t]).log()
        if second and memory and s:
            middle = image + h / (2 * memory[1]) * (image - memory[0])
        memory = image, h
        fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(i))
        due = ddim_step(own, x, t, s, (x - a[t] * middle) / b[t], fresh, eta=1, clip=False)
        x = solver.step(answer, told_time - 1, x, variance_noise=fresh).prev_sample
        assert (x - due).abs().max() < 1e-4 * due.abs().max(), (t, s)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_unipc_is_2m_after_a_correction(solvers):
    """Its states are those of 2M without the corrector, which is on by default, asks no further and changes them."""
    gaps = {}
    for off in (20, 0):
        solver = diffusers.UniPCMultistepScheduler(disable_corrector=list(range(off)), **LINEAR)
        solver.set_timesteps(20)
        times = [*(solver.timesteps + 1).tolist(), 0]
        a, b = SCHEDULE.alpha_bar.sqrt()[times], SCHEDULE.one_minus_alpha_bar.sqrt()[times]

        def estimate(x, i, a=a, b=b, times=times):
            return (x - b[i] * solvers["ask"](x.float(), times[i])) / a[i]

        theirs, ours = (
            list(read_solver(solvers, solver, solvers["z"])),
            solvers["solve_2m"](estimate, a, b, solvers["z"]),
        )
        gaps[off] = [float((p - q).abs().max() / q.abs().max()) for p, q in zip(theirs, ours, strict=True)]
    assert inspect.signature(diffusers.UniPCMultistepScheduler).parameters["disable_corrector"].default == []
    assert max(gaps[20]) < 1e-4
    assert gaps[0][0] < 1e-4
    assert gaps[0][1] > 1e-3


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
@pytest.mark.parametrize("n", [1, 4, 8, 50])
def test_lcm_noises_its_estimate_again(solvers, n):
    """The estimate's factor is 1, and the state's 0, to within 0.00001 at the times of use, and not at time 0."""
    solver = diffusers.LCMScheduler(**LINEAR)
    solver.set_timesteps(n)
    for k in solver.timesteps:
        state, image = solver.get_scalings_for_boundary_condition_discrete(k)
        assert 0 < state < 1e-5
        assert 0 <= 1 - image < 4e-6
    assert solver.get_scalings_for_boundary_condition_discrete(0) == (1, 0)
    assert "to within 0.00001; at time 0" in read_cell("solvers-notes")
    times, x = [*(solver.timesteps + 1).tolist(), 0], solvers["z"]
    for i, (t, s) in enumerate(zip(times[:-1], times[1:], strict=True)):
        answer = solvers["ask"](x, t)
        fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(i))
        image = predict_x_0(SCHEDULE, x, t, answer)
        due = q_sample(SCHEDULE, image, s, fresh) if s else image
        x = solver.step(answer, t - 1, x, generator=torch.Generator().manual_seed(i)).prev_sample
        assert (x - due).abs().max() < 1e-4 * due.abs().max(), (t, s)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")
def test_step_with_a_memory_is_said_to_need_its_walk(solvers):
    solver = diffusers.DPMSolverMultistepScheduler(**LINEAR)

    def begin(x, k, to, answer):
        solver.set_timesteps(20)
        return solver.step(answer, k, x).prev_sample

    times = (solver.set_timesteps(20), solver.timesteps + 1)[1].tolist()
    pairs = [(times[i], times[i + 1]) for i in (4, 10, 16)]
    first = lines(table=solver.alphas_cumprod, step=begin, pairs=pairs)
    assert first[1].endswith("answer z, not clipped, step to s, eta = 0 (DDIM)")

    def remember(x, k, to, answer):
        solver.set_timesteps(20)
        i = times.index(k + 1)
        solver.step(torch.ones_like(x), times[i - 1] - 1, x)
        return solver.step(answer, k, x).prev_sample

    (*_, said) = lines(table=solver.alphas_cumprod, step=remember, pairs=pairs)
    assert said.startswith("7. step: different: ")
    assert "a step that uses earlier answers too cannot be compared by one step" in said

    def go_on(x, k, to, answer):
        return solver.step(answer, k, x).prev_sample

    solver.set_timesteps(20)
    with pytest.raises(ValueError, match="a step with memory is compared by its walk"):
        lines(table=solver.alphas_cumprod, step=go_on, pairs=pairs)


def test_rounding_in_half_precision_is_that_of_the_box():
    text = read_cell("checks-detail", "rosetta").split("In half precision: how far")[1]
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    assert max(map(len, code.splitlines())) <= 72
    with redirect_stdout(StringIO()) as out:
        exec(code, {})
    found, said = (
        [float(line.split()[1]) for line in lines.splitlines()]
        for lines in (out.getvalue(), re.search(r"```text\n(.*?)```", text, re.S)[1])
    )
    assert found == pytest.approx(said, rel=0.05)
    assert "{:g} in float16 and {:g} in bfloat16".format(*said) in read_cell("checks")


def test_estimate_of_a_good_answer_has_a_limit_of_its_own():
    """Of the exact z: above 0.00001 at late times, where it is divided by a small root, and below the limit there."""
    assert r"$0.00001 / \sqrt{\bar{\alpha}_t}$" in read_cell("checks-detail", "rosetta")
    solver, worst = diffusers.DDIMScheduler(clip_sample=False), {}
    solver.set_timesteps(1000)
    for t in (300, 500, 700, 800, 900, 1000):
        for seed in range(5):
            x_0, z = torch.randn(2, 1, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
            x_t = q_sample(SCHEDULE, x_0.mul(0.5).clamp(-1, 1), t, z).float()
            due = predict_x_0(SCHEDULE, x_t.double(), t, z.double())
            gap = (solver.step(z, t - 1, x_t).pred_original_sample - due).abs().max() / due.abs().max()
            worst[t] = max(worst.get(t, 0), float(gap))
        assert worst[t] < 1e-5 / SCHEDULE.alpha_bar[t] ** 0.5
    assert max(worst[t] for t in (300, 500, 700, 800)) < 1e-5
    assert worst[1000] > 1e-5


def watch(names, network, *places, **named):
    """What the hook of the chapter keeps of one call."""
    names["calls"].clear()
    handle = network.register_forward_pre_hook(**names["watch"])
    with torch.no_grad():
        network(*places, **named)
    handle.remove()
    return names["calls"][0]


def test_hook_reads_a_small_pipeline(hooked):
    """Of a network of diffusers that is told a time without an axis."""
    names, *_ = hooked
    unet = diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",),
    )  # fmt: skip
    pipe = diffusers.DDIMPipeline(unet, diffusers.DDIMScheduler())
    pipe.set_progress_bar_config(disable=True)
    names["calls"].clear()
    handle = pipe.unet.register_forward_pre_hook(**names["watch"])
    pipe(2, num_inference_steps=5, output_type="pt")
    handle.remove()
    assert [t for _, t, *_ in names["calls"]] == [800, 600, 400, 200, 0]
    assert {tuple(x.shape) for x, *_ in names["calls"]} == {(2, 1, 8, 8)}
    x = torch.zeros(3, 1, 8, 8)
    assert watch(names, unet, sample=x, timestep=7)[1] == 7
    assert watch(names, unet.train(), x, torch.tensor([9] * 3))[1:] == (9, "training", None)


def test_hook_reads_a_call_by_names(hooked):
    """As in the pipelines of Stable Diffusion 3 and FLUX."""
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=16, caption_projection_dim=16, pooled_projection_dim=16,
        pos_embed_max_size=8,
    ).eval()  # fmt: skip
    x, text, pooled = torch.ones(2, 4, 8, 8), torch.zeros(2, 3, 16), torch.zeros(2, 16)
    given = {"encoder_hidden_states": text, "pooled_projections": pooled, "timestep": torch.tensor([500.0, 500.0])}
    seen, t, mode, labels = watch(hooked[0], transformer, hidden_states=x, **given)
    assert torch.equal(seen, x)
    assert (t, mode) == (500, "eval")
    assert labels is text


def test_hook_reads_the_labels_of_a_doubled_batch(hooked):
    """As in the pipeline of DiT, whose second half has the number of "no label"."""
    net = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=1, out_channels=1, num_layers=1, sample_size=8,
        patch_size=2,
    ).eval()  # fmt: skip
    vae = diffusers.AutoencoderKL(
        in_channels=1, out_channels=1, latent_channels=1, block_out_channels=(8,), norm_num_groups=4,
    ).eval()  # fmt: skip
    pipe = diffusers.DiTPipeline(net, vae, diffusers.DDIMScheduler())
    pipe.set_progress_bar_config(disable=True)
    names, *_ = hooked
    names["calls"].clear()
    handle = pipe.transformer.register_forward_pre_hook(**names["watch"])
    pipe([3], num_inference_steps=2, output_type="np")
    handle.remove()
    assert [len(x) for x, *_ in names["calls"]] == [2, 2]
    assert [labels.tolist() for *_, labels in names["calls"]] == [[3, 1000]] * 2
    with redirect_stdout(StringIO()) as out:
        names["show"](*names["calls"][0])
    assert out.getvalue().endswith("\nlabels [3, 1000]\n")


def test_wrapped_forward_is_seen_where_a_hook_is_not(hooked):
    """As in the guided network of denoising-diffusion-pytorch, which calls its own `forward`."""
    import_peer("denoising_diffusion_pytorch")
    from denoising_diffusion_pytorch.classifier_free_guidance import Unet

    names = dict(hooked[0])
    names["network"] = net = Unet(dim=8, num_classes=3, dim_mults=(1, 2), channels=1).eval()
    x, calls = torch.ones(2, 1, 8, 8), names["calls"]
    given = (x, torch.tensor([9, 9]), torch.tensor([0, 1]))
    calls.clear()
    with torch.no_grad():
        handle = net.register_forward_pre_hook(**names["watch"])
        due, _ = net.forward_with_cond_scale(*given, cond_scale=2.0)
        handle.remove()
        assert calls == []
        (code,) = re.findall(r"^```python\n(.*?)^```", read_cell("call-else"), re.M | re.S)
        exec(code, names)
        got, _ = net.forward_with_cond_scale(*given, cond_scale=2.0)
    assert torch.equal(got, due)
    assert [(tuple(x.shape), t, mode) for x, t, mode, _ in calls] == [((2, 1, 8, 8), 9, "eval")] * 2
    assert calls[0][3] is given[2]  # the classes are given by their place


def test_hook_reads_or_names_other_keywords(hooked):
    class Other(torch.nn.Module):
        def forward(self, **given):
            return given

    x = torch.ones(2, 1, 8, 8)
    seen, t, mode, _ = watch(hooked[0], Other(), img=x, timesteps=torch.tensor([0.5, 0.5]))
    assert torch.equal(seen, x)
    assert (t, mode) == (0.5, "training")
    hooked[0]["calls"].clear()
    with redirect_stdout(StringIO()) as out:
        hooked[0]["report"](Other(), (), {"latent": x, "sigma": 3})
    assert out.getvalue() == "no image or no time among: latent sigma\n"
    assert hooked[0]["calls"] == []


def test_number_of_no_label():
    assert LabelEncoder(10, 4).none == 10
    source = (Path(diffusers.__file__).parent / "pipelines/dit/pipeline_dit.py").read_text(encoding="utf8")
    assert "class_null = torch.tensor([1000] * batch_size" in source


def test_box_for_smalldiffusion():
    import_peer("smalldiffusion")
    (found,) = run_boxes(read_cell("small-program", "rosetta"))
    assert [shorten(each) for each in found] == [
        "1. tables: translated: the noise level nu_t, index t - 1",
        "3. images: translated: index t - 1, image x_0 + nu_t z",
        "4 and 6. estimate: equal: answer z, not clipped",
        "7. step: equal: step to s, eta = 0 (DDIM)",
        "8. fresh noise: equal: none",
    ]


def test_noise_levels_as_times():
    sigmas = import_peer("smalldiffusion").ScheduleDDPM().sample_sigmas(50)[:-1]
    assert lines(times=sigmas)[0].startswith("2. times: translated: time nu_t, times trailing ")


@pytest.mark.parametrize(("eta", "said"), [(0.25, "eta = 0.5 (its root)"), (0.0, "eta = 0 (DDIM)")])
def test_azula(eta, said):
    sample, denoise = import_peer("azula.sample"), import_peer("azula.denoise")
    weights = import_module("libraries.wrap_azula").Weights()

    class Given(torch.nn.Module):
        def __init__(self, answer):
            super().__init__()
            self.answer, self.like = answer, torch.nn.Parameter(torch.zeros(1))

        def forward(self, *others, **named):
            return self.answer

    def wrap(answer):
        return denoise.KarrasDenoiser(Given(answer), weights)

    def noisy(x_0, z, k):
        image, noise = weights(k)
        return image * x_0 + noise * z

    def step(x, k, to, answer):
        return sample.DDIMSampler(wrap(answer), eta=eta).step(x, torch.tensor(k), torch.tensor(to))

    parts = {
        "times": sample.DDIMSampler(wrap(None), steps=50).timesteps[:-1],
        "noisy": noisy,
        "estimate": lambda x, k, answer: wrap(answer)(x, torch.tensor(k)).mean,
        "step": step,
    }
    found = lines(**parts, eta=eta)
    assert found[0].startswith("2. times: translated: time t / T, times trailing ")
    assert found[1:3] == [IMAGE, "4 and 6. estimate: translated: answer -v, not clipped"]
    assert found[3].endswith(f"step to s, {said}")
    assert found[4].startswith("8. fresh noise: equal: ")
    (table,) = lines(table=weights(torch.arange(1, 1001) / 1000)[0])
    assert table == "1. tables: translated: the root of alpha_bar_t, index t - 1"
