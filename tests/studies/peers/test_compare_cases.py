"""The cases of chapter 14 and of its pages of programs and weights: their programs print what the pages show."""

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
from compare_pages import DDIM, INDEX, ROOT, SCHEDULE, answer_flow, read_cell, run_boxes, shorten
from libraries.row import import_peer

from ddpm_lite import (
    Schedule,
    ddim_step,
    last,
    load_pretrained,
    sample,
    schedule_from_levels,
)
from ddpm_lite.files.diffusers_settings import OLD_KEYS
from ddpm_lite.process import predict_x_0, q_sample, z_from_flow

DDIM_WITHOUT_CLIP = "7. step: translated: step to t - 20, eta = 0 (DDIM)"


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
