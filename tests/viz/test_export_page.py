"""The network in the page, run by node, against PyTorch with the same weights; the noise, the steps, the refusals."""

import hashlib
import json
import math
from base64 import b64decode
from functools import partial

import numpy as np
import pytest
import torch
from javascript import run_module
from torch import nn
from torch.nn import functional as F

from ddpm_lite import unet as unet_module
from ddpm_lite.attention import MultiHeadAttention
from ddpm_lite.cli import commands as command_line
from ddpm_lite.condition import ConditionalUNet, LabelEncoder, guided
from ddpm_lite.files.weights import load_pretrained
from ddpm_lite.sampler import STEPS, ddim_step, ddpm_step, sample
from ddpm_lite.schedule import cosine_schedule, linear_schedule, respace
from ddpm_lite.unet import UNet, UNetConfig
from ddpm_lite.viz import export_page as exporter
from ddpm_lite.viz.export_page import compute_checksum, export_page, round_as_page, split_script
from ddpm_lite.viz.noise import normals
from ddpm_lite.viz.widgets.drawing import SAMPLERS

SHIPPED = ("digits", "digits-by-label", "fashion")
SMALL = SHIPPED[:2]


def node(code, **given):
    """What a function body in JavaScript returns, with the page's `engine` and `given` at hand."""
    return run_module(["science.js", "unet.js"], f"const engine = modules; const given = {json.dumps(given)};", code)


def file_of(script):
    written, text = split_script(script)
    return {"sum": written, "text": text}


@pytest.fixture(scope="module")
def shipped():
    """The models that come along, as the page has them, their schedules and their files."""
    found = {}
    for name in SHIPPED:
        model, schedule = load_pretrained(name)
        found[name] = round_as_page(model), schedule, file_of(export_page(name, model, schedule))
    return found


def wild(model, seed=0):
    """Random weights everywhere: a new network has zeros where an error would hide."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        size = parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 3
        parameter.data = torch.randn(parameter.shape, generator=generator) / size
    return model.eval()


def asked(model, file, n, T=1000, simd=True):
    """z_hat of n random x_t at random times, (2, n, ...): by PyTorch and by JavaScript, with or without SIMD."""
    config = (model.unet if isinstance(model, ConditionalUNet) else model).config
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, config.in_channels, config.sample_size, config.sample_size, generator=generator)
    t = torch.randint(1, T + 1, (n,), generator=generator)
    t[:2] = torch.tensor([1, T])
    labels = torch.arange(n) % (model.encoder.labels + 1) if isinstance(model, ConditionalUNet) else None
    with torch.no_grad():
        expected = model(x, t) if labels is None else model(x, t, labels)
    code = """const net = engine.network(given.file, { simd: given.simd });
    if (net.simd !== given.simd) throw new Error(`SIMD: ${net.simd}`);
    return given.x.map((x, i) => Array.from(net.ask(x, given.t[i], given.labels?.[i])));"""
    listed = None if labels is None else labels.tolist()
    found = node(code, file=file, x=x.flatten(1).tolist(), t=t.tolist(), labels=listed, simd=simd)
    return expected, torch.tensor(found, dtype=torch.float64).reshape(expected.shape)


@pytest.mark.parametrize("simd", [True, False], ids=["SIMD", "no SIMD"])
@pytest.mark.parametrize("name", SHIPPED)
def test_forward_passes_are_pytorchs(name, simd, shipped):
    model, _, file = shipped[name]
    expected, found = asked(model, file, 22 if name in SMALL else 3, simd=simd)
    assert float((found - expected).abs().max()) < 1e-5
    assert float(expected.std()) > 0.5


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        (UNetConfig(8, channels=(8, 16), blocks=2, head_dim=4, context_dim=6), 3),
        (UNetConfig(12, 3, (8, 12, 8), 1, (1,), False, groups=4, norm_eps=1e-3, dropout=0.3), None),
        (UNetConfig(4, 2, (6,), 1, (), groups=3, freq_shift=0), None),
        (UNetConfig(8, 1, (10, 20), 1, (0,), head_dim=10, groups=5, context_dim=5, downsample_padding=1), 1),
    ],
    ids=["heads", "three levels and colours", "one level", "padding"],
)
def test_any_config_plays_back(config, labels):
    model = (
        UNet(config) if labels is None else ConditionalUNet(UNet(config), LabelEncoder(labels, config.context_dim, 2))
    )
    model = round_as_page(wild(model))
    expected, found = asked(model, file_of(export_page("wild", model, linear_schedule(20))), 6)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize(("seed", "count"), [(0, 1001), (1, 1), (7, 64), (2**32 - 1, 200), (2**31, 0)])
def test_noise_is_the_same_to_the_last_bit(seed, count):
    found = node(
        "const next = engine.normals(given.seed); return Array.from({length: given.n}, next);", seed=seed, n=count
    )
    assert found == normals(seed, count).tolist()


def test_noise_is_normal():
    from scipy.stats import kstest

    x = np.array([normals(seed, 2000) for seed in range(20)])
    assert kstest(x.ravel(), "norm").pvalue > 0.01
    assert abs((x.ravel() ** 4).mean() - 3) < 0.15
    assert np.abs(np.corrcoef(x) - np.eye(20)).max() < 0.1, "seeds have nothing to do with each other"
    assert abs(np.corrcoef(x[:, :-1].ravel(), x[:, 1:].ravel())[0, 1]) < 0.02
    np.testing.assert_array_equal(normals(3, 10), normals(3, 500)[:10])


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True])
def test_noise_refuses_other_seeds(seed, plain):
    with pytest.raises(ValueError, match="seed: expected a whole number in"):
        normals(seed, 1)


@pytest.mark.parametrize("spacing", ["trailing", "leading"])
@pytest.mark.parametrize("full", [linear_schedule(), cosine_schedule(250)], ids=["linear", "cosine"])
def test_schedules_are_the_samplers(full, spacing):
    steps = [s for s in (1, 7, 10, 16, 50, 200, 333, 1000) if s <= full.T]
    code = """const full = engine.schedule(Float64Array.from(given.beta));
    return given.steps.map((steps) => engine.respace(full, steps, given.spacing));"""
    for count, found in zip(steps, node(code, beta=full.beta.tolist(), steps=steps, spacing=spacing), strict=True):
        short = respace(full, count, spacing)
        assert found["times"] == short.times.tolist()
        assert found["T"] == count
        names = {"beta": "beta", "alphaBar": "alpha_bar", "rest": "one_minus_alpha_bar", "betaTilde": "beta_tilde"}
        for theirs, ours in names.items():
            np.testing.assert_allclose(found[theirs], getattr(short, ours), rtol=1e-9, atol=1e-16)


def python_walk(model, schedule, labels, options, keep):
    """The samplers of the package on the page's noise: x_t at the steps with a number in `keep`, {k: (n, C, H, W)}."""
    steps, seed = options["steps"], options["seed"]
    way = schedule if steps == schedule.T else respace(schedule, steps, options.get("spacing", "trailing"))
    config = (model.unet if isinstance(model, ConditionalUNet) else model).config
    size = config.in_channels, config.sample_size, config.sample_size
    noise = torch.tensor(normals(seed, math.prod(size) * (steps + 1)), dtype=torch.float32).reshape(-1, 1, *size)
    noise = noise.expand(-1, len(labels), -1, -1, -1)
    choose = {"ddpm": partial(ddpm_step, variance=options.get("variance", "beta_tilde")), "ddim": ddim_step}
    choose["ddim"] = partial(ddim_step, eta=options.get("eta", 0.0))

    def step(schedule, x_t, t, s, z_hat, _):
        fresh = noise[schedule.T - t + 1]
        return choose[options["sampler"]](schedule, x_t, t, s, z_hat, fresh, clip=options.get("clip", True))

    context = torch.tensor(labels) if isinstance(model, ConditionalUNet) else None
    if options.get("scale"):
        model = guided(model, options["scale"], model.none)
    states = sample(model, way, tuple(noise[0].shape), step=step, x_T=noise[0], context=context)
    return {k: (t, x) for k, (t, x) in enumerate(states) if k in keep}


def both_walk(shipped, name, labels, **options):
    """The largest difference of any pixel at the start, on the way and at the end; the last images."""
    model, schedule, file = shipped[name]
    keep = [0, options["steps"] // 2, options["steps"]]
    code = """const net = engine.network(given.file);
    return given.labels.map((label) => {
      const frames = [...engine.drawing(net, {...given.options, label})];
      return given.keep.map((k) => [frames[k].t, frames[k].x]);
    });"""
    found = node(code, file=file, labels=labels, options=options, keep=keep)
    expected = python_walk(model, schedule, labels, options, keep)
    worst = 0.0
    for place, k in enumerate(keep):
        t, x = expected[k]
        assert {frames[place][0] for frames in found} == {t}
        ours = torch.tensor([frames[place][1] for frames in found], dtype=torch.float64).reshape(x.shape)
        worst = max(worst, float((ours - x).abs().max()))
    return worst, x


def test_ddim_draws_the_same_digit_for_every_label(shipped):
    worst, x = both_walk(shipped, "digits-by-label", list(range(10)), steps=50, seed=0, sampler="ddim")
    assert worst < 1e-4
    assert float(torch.pdist(x.flatten(1)).min()) > 1, "ten digits, not one"


def test_clothes_are_pytorchs_after_fifty_steps(shipped):
    worst, x = both_walk(shipped, "fashion", [8], steps=50, seed=1, sampler="ddim", spacing="leading")
    assert worst < 1e-4
    assert float(x.std()) > 0.3, "a picture, and not a grey square"


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": "ddim", "steps": 20, "seed": 5, "scale": 3.0},
        {"sampler": "ddpm", "steps": 30, "seed": 6, "scale": -1.0, "variance": "beta"},
        {"sampler": "ddpm", "steps": 16, "seed": 7, "clip": False},
        {"sampler": "ddim", "steps": 25, "seed": 8, "eta": 1.0, "clip": False},
    ],
    ids=["guided", "no label", "free", "eta"],
)
def test_samplers_take_the_same_steps(options, shipped):
    worst, _ = both_walk(shipped, "digits-by-label", [3, 8], **options)
    assert worst < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "labels", "options"),
    [
        ("digits-by-label", [9], {"variance": "beta_tilde"}),
        ("digits", [0], {"variance": "beta"}),
    ],
    ids=["by label", "no labels"],
)
@pytest.mark.usefixtures("plain")  # the same shapes, a thousand times
def test_a_thousand_steps_end_alike(name, labels, options, shipped):
    worst, _ = both_walk(shipped, name, labels, sampler="ddpm", steps=1000, seed=4, **options)
    assert worst < 1e-4


def test_frames_hold_what_the_network_has_in_mind(shipped):
    model, schedule, file = shipped["digits-by-label"]
    code = """const net = engine.network(given.file);
    return [...engine.drawing(net, {steps: 4, seed: 2, label: 6, clip: false})];"""
    frames = node(code, file=file)
    assert [frame["t"] for frame in frames] == [1000, 750, 500, 250, 0]
    assert frames[0]["x"] == normals(2, 64).tolist()
    for frame in frames[:-1]:
        parts = (torch.tensor(frame[name], dtype=torch.float64) for name in ("x", "z", "image"))
        x, z, image = (part.reshape(1, 1, 8, 8) for part in parts)
        with torch.no_grad():
            torch.testing.assert_close(z.float(), model(x.float(), frame["t"], torch.tensor([6])), atol=1e-5, rtol=0)
        put_back = schedule.alpha_bar[frame["t"]].sqrt() * image + schedule.one_minus_alpha_bar[frame["t"]].sqrt() * z
        torch.testing.assert_close(put_back, x, atol=1e-9, rtol=0)
    assert frames[-1]["z"] is None
    assert frames[-1]["image"] == frames[-1]["x"]


@pytest.mark.parametrize("name", SMALL)
def test_file_is_small_whole_and_the_same_again(name, tmp_path, capsys):
    model, schedule = load_pretrained(name)
    script = export_page(name, model, schedule)
    assert command_line.main(["export-page", name, "--out", str(tmp_path / f"{name}.js")]) == 0
    assert f"{sum(p.numel() for p in model.parameters()):,} weights" in capsys.readouterr().out
    assert (tmp_path / f"{name}.js").read_bytes() == script.encode("ascii")
    assert len(script) < 600_000
    written, text = split_script(script)
    assert compute_checksum(text) == written
    content = json.loads(text)
    halves = np.frombuffer(b64decode(content["float16"]), "<f2")
    assert hashlib.sha256(halves.tobytes()).hexdigest() == content["sha256"]
    np.testing.assert_array_equal(np.frombuffer(b64decode(content["beta"]), "<f8"), schedule.beta.numpy())
    assert content["config"] == json.loads(json.dumps(vars((model.unet if "label" in name else model).config)))
    at = 0
    for stored, (key, weight) in zip(content["weights"], model.state_dict().items(), strict=True):
        assert stored == [key, list(weight.shape)]
        np.testing.assert_array_equal(halves[at : at + weight.numel()], weight.half().numpy().ravel())
        at += weight.numel()
    assert at == len(halves)


def test_a_large_networks_file_is_small_and_rounded_once(shipped, plain):
    model, schedule = load_pretrained("fashion")
    rounded, _, file = shipped["fashion"]
    script = export_page("fashion", model, schedule)
    assert len(script.encode("ascii")) < 1_500_000
    assert export_page("fashion", rounded, schedule) == script
    content = json.loads(file["text"])
    levels = content["levels"]
    halves = np.frombuffer(b64decode(content["float16"]), "<f2")
    assert hashlib.sha256(halves.tobytes() + levels.encode()).hexdigest() == content["sha256"]
    used = read = 0
    for (name, weight), (_, whole) in zip(rounded.state_dict().items(), model.state_dict().items(), strict=True):
        if weight.ndim > 1:
            rows, columns = weight.flatten(1).shape
            step = torch.tensor(halves[used : used + rows].astype(np.float32))[:, None]
            multiples = [exporter.LEVELS.index(sign) - 44 for sign in levels[read : read + rows * columns]]
            found = step * torch.tensor(multiples, dtype=torch.float32).reshape(rows, columns)
            used, read = used + rows, read + rows * columns
            # half of a step, and float16's rounding of the step itself at the ends
            error = (whole.flatten(1) - found).abs()
            assert bool((error <= step * (0.5 + 44 * 2**-11) + 1e-7).all()), name
        else:
            found = torch.tensor(halves[used : used + weight.numel()].astype(np.float32))
            used += weight.numel()
        assert torch.equal(found, weight.flatten(1) if weight.ndim > 1 else weight.flatten()), name
    assert (used, read) == (len(halves), len(levels))
    with pytest.raises(ValueError, match="weights: expected one of float16, levels"):
        export_page("fashion", model, schedule, "int4")


def test_the_page_knows_the_functions_that_the_exporter_writes():
    assert set(node("return Object.keys(engine.operations);")) == set(exporter.OPERATIONS)


def test_samplers_have_the_packages_names():
    assert node("return Object.keys(engine.samplers);") == list(SAMPLERS)
    assert set(SAMPLERS) <= set(STEPS)


def with_forward(cls, forward, monkeypatch):
    """A U-Net whose class `cls` computes something else."""
    monkeypatch.setattr(cls, "forward", forward)
    torch.manual_seed(0)
    return UNet(UNetConfig(8, channels=(8, 16), blocks=1))


@pytest.mark.parametrize(
    ("cls", "forward", "words"),
    [
        (unet_module.Upsample, lambda self, h: self.conv(F.gelu(F.interpolate(h, scale_factor=2.0))), "gelu"),
        (unet_module.Upsample, lambda self, h: self.conv(F.interpolate(h, scale_factor=2.0, mode="bilinear")), "mode"),
        (unet_module.Downsample, lambda self, h: F.avg_pool2d(h, 2), "avg_pool2d"),
        (unet_module.Downsample, lambda self, h: self.conv(F.pad(h, (0, 1, 0, 1), mode="reflect")), "mode"),
        (unet_module.Downsample, lambda self, h: self.conv(F.pad(h, (0, 1, 0, 1)))[:, :, :4, :4], "__getitem__"),
        (
            unet_module.Downsample,
            lambda self, h: torch.cat(self.conv(F.pad(h, (0, 1, 0, 1))).chunk(2, 1), 1),
            "chunk",
        ),
        (unet_module.TimeEmbedding, lambda self, e: self.linear_2(F.silu(self.linear_1(e))).mul_(2), "mul_"),
        (MultiHeadAttention, lambda self, h, context=None: h + h.softmax(1), "softmax"),
        (nn.GroupNorm, lambda self, h: F.group_norm(h, self.num_groups, None, None, self.eps), "group_norm"),
    ],
)
def test_a_network_that_the_page_cannot_play_is_refused_by_name(cls, forward, words, monkeypatch, plain):
    model = with_forward(cls, forward, monkeypatch)
    with pytest.raises(ValueError, match=rf"^model: .*, got .*({words})") as caught:
        export_page("new", model, linear_schedule(10))
    assert "\n" not in str(caught.value)


def test_a_change_that_the_page_can_play_is_played(monkeypatch):
    def scaled(self, embedding):
        return self.linear_2(F.silu(self.linear_1(embedding)) * 0.5 + 1)

    monkeypatch.setattr(unet_module.TimeEmbedding, "forward", scaled)
    model = round_as_page(wild(UNet(UNetConfig(8, channels=(8, 16), blocks=1))))
    expected, found = asked(model, file_of(export_page("new", model, linear_schedule(20))), 4)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


def test_what_cannot_be_exported_is_one_line(plain, tmp_path, capsys):
    schedule = linear_schedule(10)
    with pytest.raises(ValueError, match="model: expected a UNet or a ConditionalUNet, got Linear"):
        export_page("x", nn.Linear(1, 1), schedule)
    with pytest.raises(ValueError, match="expected a ConditionalUNet, because the context has to come from labels"):
        export_page("x", UNet(UNetConfig(8, channels=(8,), context_dim=4)), schedule)
    large = UNet(UNetConfig(8, channels=(8,)))
    large.conv_in.bias.data[0] = 1e5
    with pytest.raises(ValueError, match="conv_in.bias: expected weights of at most 65504"):
        export_page("x", large, schedule)
    for out, words in (("x.txt", "a name that ends in .js"), ("no/x.js", "a file in an existing folder")):
        assert command_line.main(["export-page", "digits", "--out", str(tmp_path / out)]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("A", "B", 1), "The network's file is damaged."),
        (lambda text: text[:-1000], "The network's file is damaged."),
        (lambda text: text.replace('"form":1', '"form":3'), "has another format"),
        (
            lambda text: text.replace('["silu"', '["gelu"', 1),
            "gelu: the network uses a function that this page does not support.",
        ),
    ],
    ids=["changed", "cut", "another form", "another function"],
)
def test_damaged_file_is_refused(change, words, shipped):
    text = change(shipped["digits"][2]["text"])
    forged = "damaged" not in words
    file = {"sum": compute_checksum(text) if forged else shipped["digits"][2]["sum"], "text": text}
    said = node("try { engine.network(given.file); } catch (error) { return error.message; }", file=file)
    assert words in said
