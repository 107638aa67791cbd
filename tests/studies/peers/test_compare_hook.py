"""The hook of chapter 14 reads the calls of a network, in small pipelines and in that of diffusers."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import diffusers
import torch
from compare_pages import SCHEDULE, read_cell
from libraries.row import import_peer

from ddpm_lite import (
    LabelEncoder,
    respace,
)


def test_case_of_the_pipeline_prints_what_the_chapter_shows(hooked):
    names, printed, said = hooked
    assert printed == said
    assert len(names["calls"]) == 50
    assert isinstance(names["pipe"].unet, diffusers.UNet2DModel)
    assert [t + 1 for _, t, *_ in names["calls"]] == respace(SCHEDULE, 50, "leading").times[1:].flip(0).tolist()


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
