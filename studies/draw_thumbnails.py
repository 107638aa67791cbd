"""Draw a small picture for each chapter's card on the first page, from the functions and records that the chapter uses.

    python studies/draw_thumbnails.py     writes book/images/thumbnails/NN_name.svg; seconds

The pictures have no words. Their colours are classes (data, noise, model, exact, grid), which the page's style sheet
sets, so that they follow the theme. Images are small PNGs inside the SVG.
"""

import json
from base64 import b64encode
from functools import partial

import numpy as np
import torch
import train_digits
from safetensors.numpy import load_file

from ddpm_lite import (
    GaussianMixture,
    bound_weight,
    ddim_step,
    ddpm_step,
    linear_schedule,
    load_digits,
    posterior,
    q_sample,
    q_step,
    respace,
    sample,
    score_from_z,
)
from ddpm_lite.files.pixels import to_bytes
from ddpm_lite.files.png import png
from ddpm_lite.viz.noise import normals

FOLDER = train_digits.ROOT / "book" / "images" / "thumbnails"
WIDGETS = train_digits.RESULTS / "widgets"
SIDE, EDGE = 96, 10  # of a picture, and the room around a plot, in pixels
PLOT = SIDE - 2 * EDGE


def place(values, low, high):
    """Numbers between low and high as pixels of the plot."""
    return EDGE + PLOT * (np.asarray(values, float) - low) / (high - low)


def line(x, y, kind, more=""):
    """A curve through points in pixels."""
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline class="{kind}" points="{points}"{more}/>'


def curves(x, ys, y, log=False):
    """Curves over x, {class: values}, with the range of y; x and y are logarithmic if asked."""
    x = np.log10(x) if log else np.asarray(x, float)
    drawn = []
    for kind, values in ys.items():
        values = np.log10(values) if log else np.asarray(values, float)
        drawn.append(line(place(x, x[0], x[-1]), SIDE - place(values, *y), kind))
    return "".join(drawn)


def mosaic(pictures, gap=1):
    """Pictures (rows, columns, H, W), uint8, as one image that fills the square."""
    rows, columns, H, W = pictures.shape
    sheet = np.zeros((rows * (H + gap) - gap, columns * (W + gap) - gap), np.uint8)
    for i, j in np.ndindex(rows, columns):
        sheet[i * (H + gap) : i * (H + gap) + H, j * (W + gap) : j * (W + gap) + W] = pictures[i, j]
    data = b64encode(png(sheet)).decode()
    style = "image-rendering:pixelated"
    return f'<image width="{SIDE}" height="{SIDE}" style="{style}" href="data:image/png;base64,{data}"/>'


def bell(x, mean, std):
    return np.exp(-(((x - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))


def images_and_gaussians():
    """Three densities of a Gaussian that was scaled and moved."""
    x = np.linspace(-6, 6, 97)
    return curves(x, {"data": bell(x, 0, 1), "noise": bell(x, 1, 0.5), "model": bell(x, -1, 2)}, (0, 0.8))


def forward_process():
    """A digit at nine times, from clean to noise."""
    images, _ = load_digits("train")
    digit = images[3:4].expand(9, 1, 8, 8)
    z = torch.from_numpy(normals(0, 9 * 64).reshape(9, 1, 8, 8)).float()
    x_t = q_sample(linear_schedule(), digit, torch.tensor([1, 60, 120, 180, 250, 330, 450, 650, 1000]), z)
    return mosaic(to_bytes(x_t).numpy().reshape(3, 3, 8, 8))


def the_posterior():
    """Prior and likelihood of a pixel one step earlier, and their product."""
    schedule, t = linear_schedule(T=10, beta_1=0.02, beta_T=0.5), 6
    x_t, x_0 = torch.tensor([[0.0]], dtype=torch.float64), torch.tensor([[1.5]], dtype=torch.float64)
    mean, variance = (float(value) for value in posterior(schedule, x_t, t, x_0))
    x = np.linspace(-2, 3, 97)
    root = float(schedule.alpha[t].sqrt())
    prior = bell(x, 1.5 * float(schedule.alpha_bar[t - 1].sqrt()), float((1 - schedule.alpha_bar[t - 1]).sqrt()))
    likelihood = bell(root * x, 0.0, float(schedule.beta[t].sqrt())) * root
    exact = bell(x, mean, variance**0.5)
    return curves(x, {"data": prior, "noise": likelihood, "exact": exact}, (0, exact.max()))


def noise_parameterized_mean():
    """The score of three blobs in the plane."""
    schedule, t = linear_schedule(), 120
    means = torch.tensor([[-0.9, -0.6], [0.9, -0.5], [0.0, 0.9]])
    mixture = GaussianMixture(schedule, means, torch.full((3,), 0.2), torch.full((3,), 1 / 3))
    ticks = torch.linspace(-1.5, 1.5, 8)
    x = torch.cartesian_prod(ticks, ticks)
    score = score_from_z(schedule, mixture(x, torch.full((len(x),), t)), t)
    score = score / score.norm(dim=1, keepdim=True) * score.norm(dim=1, keepdim=True).sqrt().clamp(max=2.2) / 9
    drawn = [
        line(place([a[0], b[0]], -1.7, 1.7), SIDE - place([a[1], b[1]], -1.7, 1.7), "model", ' marker-end="url(#tip)"')
        for a, b in zip(x.numpy(), (x + score).numpy(), strict=True)
    ]
    head = '<defs><marker id="tip" viewBox="0 0 6 6" refX="3" refY="3" markerWidth="4" markerHeight="4" orient="auto">'
    return (
        head + '<path class="model full" d="M0 0L6 3L0 6z"/></marker></defs><g class="thin">' + "".join(drawn) + "</g>"
    )


def training_objective():
    """The weights that the bound gives to each time, and those of the simple loss."""
    schedule = linear_schedule()
    t = np.arange(2, 1001)
    kept = np.unique(np.geomspace(1, len(t), 60).astype(int) - 1)
    weights = bound_weight(schedule).numpy()[t][kept]
    return curves(t[kept], {"exact": weights, "noise": np.full(len(kept), 0.1)}, (-2.3, -0.4), log=True)


def unet():
    """The stages of a U-Net: smaller maps are lower, and links join stages of one size."""
    stages = [(0, 2), (1, 2), (2, 3), (3, 4), (2, 3), (1, 2), (0, 2)]
    step = PLOT / (len(stages) - 1)
    drawn = []
    for i in range(3):
        top = EDGE + 4 + 22 * i
        left, right = EDGE + step * i, SIDE - EDGE - step * i
        drawn.append(line([left, right], [top, top], "noise"))
    for i, (level, width) in enumerate(stages):
        x, height = EDGE + step * i, 20 - 4 * level
        y = EDGE + 4 + 22 * level - height / 2
        drawn.append(
            f'<rect class="model full" x="{x - width:.1f}" y="{y:.1f}" width="{2 * width}" height="{height}"/>'
        )
    return "".join(drawn)


def attention():
    """The weights of one pixel of a digit, and the digit."""
    record = load_file(WIDGETS / "self-attention.safetensors")
    layer = next(name for name in record if name.startswith("6 "))
    weights = record[layer][1, 0].astype(float)
    rows = [weights[8 * y + x] for y, x in ((2, 3), (4, 4), (6, 2))]
    maps = [np.round(255 * row / row.max()).astype(np.uint8).reshape(8, 8) for row in rows]
    return mosaic(np.stack([record["images"][1, 0], *maps]).reshape(2, 2, 8, 8))


def training():
    """The loss of the digits network over its training, and its running mean."""
    losses = np.array(json.loads((train_digits.RESULTS / "digits.json").read_text(encoding="utf8"))["losses"])
    step = np.arange(10, len(losses), 8)
    mean = np.convolve(losses, np.ones(40) / 40, "valid")
    smooth = mean[np.clip(step - 20, 0, len(mean) - 1)]
    each = curves(step, {"grid": np.log10(losses[step])}, (-1.2, 0))
    return f'<g class="thin">{each}</g>' + curves(step, {"model": np.log10(smooth)}, (-1.2, 0))


def sampling():
    """Three digits on their way, from noise above to the end below."""
    record = load_file(WIDGETS / "reverse-path.safetensors")
    frames = [int(np.abs(record["times"] - t).argmin()) for t in (1000, 300, 120, 0)]
    return mosaic(record["x_t"][frames][:, [0, 2, 3, 5], 0])


def conditioning_and_guidance():
    """Digits that were asked for, one to nine."""
    images = load_file(WIDGETS / "guidance-dial.safetensors")["images"]
    return mosaic(images[1:10, 2, 0, 0].reshape(3, 3, 8, 8))


def fewer_steps():
    """One pixel along a chain of fresh noises, and along the path of one noise."""
    schedule, x_0 = linear_schedule(), torch.tensor([[0.8]], dtype=torch.float64)
    walk, z = [x_0], torch.from_numpy(normals(3, 1000))
    for t in range(1, 1001):
        walk.append(q_step(schedule, walk[-1], t, z[t - 1].reshape(1, 1)))
    t = np.maximum(1, np.arange(0, 1001, 10))
    x_0 = x_0.expand(len(t), 1)
    smooth = q_sample(schedule, x_0, torch.from_numpy(t), torch.full_like(x_0, -1.1))[:, 0].numpy()
    chain = curves(t, {"noise": torch.cat(walk)[t, 0].numpy()}, (-2.4, 2.4))
    return f'<g class="thin">{chain}</g>' + curves(t, {"model": smooth}, (-2.4, 2.4))


def evaluation():
    """Two clouds of samples and the ellipses of their Gaussians."""
    drawn = []
    for seed, (kind, centre, shape) in enumerate(
        [("data", (44, 50), [[13, 0], [6, 8]]), ("noise", (56, 44), [[10, 0], [-5, 10]])]
    ):
        shape = np.array(shape, float)
        points = np.array(centre) + normals(seed, 48).reshape(24, 2) @ shape.T
        drawn += [f'<circle class="{kind} full" cx="{x:.1f}" cy="{y:.1f}" r="1.4"/>' for x, y in points]
        angle = np.linspace(0, 2 * np.pi, 49)
        ring = np.array(centre) + 1.7 * np.stack([np.cos(angle), np.sin(angle)], 1) @ shape.T
        drawn.append(line(*ring.T, kind))
    return "".join(drawn)


def scaling_up():
    """Time against the operations of a processor, for three trainings."""
    operations = np.array([1e10, 1e15])
    work = {"data": 3e14, "noise": 2e16, "model": 1e20}
    return curves(operations, {kind: flop / operations for kind, flop in work.items()}, (-1.2, 10.3), log=True)


def other_peoples_code():
    """The digits that other libraries' numbers share with ours, before and after a translation, in steps."""
    rows = json.loads((train_digits.RESULTS / "rosetta.json").read_text(encoding="utf8"))["rows"].values()
    rows = [row for row in rows if row["reason"] != "no counterpart"]
    pairs = [(row["difference"] if row["after"] is None else row["after"], row["difference"]) for row in rows]
    agreed = np.clip(np.trunc(-np.log10(np.sort(np.array(pairs) + 1e-16, axis=0)[::-1])), 0, 16)
    count = np.arange(len(agreed))
    return curves(count, {"model": agreed[:, 0], "noise": agreed[:, 1]}, (0, 16))


def bug_detective():
    """A digit of nine programs: the right one, and eight with a mistake."""
    shown = load_file(train_digits.RESULTS / "mistakes.safetensors")
    keys = ("half-tables", "index-slip", "no-time", "noise-at-the-end", "right, seed 0", "zero-to-one", "labels-kept")
    keys += ("variance-as-deviation", "alpha-for-alpha-bar")
    return mosaic(np.stack([shown[key][3, 0] for key in keys]).reshape(3, 3, 8, 8))


def from_ddpm_to_flows():
    """Particles of the mixture of chapter 11 along the straight path's time, and the straight lines to their ends."""
    schedule = linear_schedule()
    blobs = GaussianMixture(
        schedule, torch.tensor([[-0.6], [0.5]]), torch.tensor([0.15, 0.1]), torch.tensor([0.3, 0.7])
    )
    starts = torch.tensor([[-1.6], [-0.85], [-0.4], [0.1], [0.9], [1.6]], dtype=torch.float64)
    step = partial(ddim_step, clip=False)
    walk = dict(sample(blobs, respace(schedule, 100), starts.shape, step=step, x_T=starts, dtype=torch.float64))
    times = sorted(walk)[::4]
    scale = (schedule.alpha_bar.sqrt() + schedule.one_minus_alpha_bar.sqrt())[times, None]
    mixes = (torch.stack([walk[t][:, 0] for t in times]) / scale).numpy()
    tau = schedule.flow_time[times].numpy()
    ends = "".join(curves([0, 1], {"grid": mixes[[0, -1], i]}, (-1.9, 1.9)) for i in range(len(starts)))
    return ends + "".join(curves(tau, {"model": mixes[:, i]}, (-1.9, 1.9)) for i in range(len(starts)))


def fresh_noise():
    """A particle of the mixture on its way back: without fresh noise, and with it."""
    schedule = linear_schedule()
    blobs = GaussianMixture(
        schedule, torch.tensor([[-0.6], [0.5]]), torch.tensor([0.15, 0.1]), torch.tensor([0.3, 0.7])
    )
    start = torch.tensor([[-0.4]], dtype=torch.float64)
    steps = {"noise": partial(ddpm_step, variance="beta", clip=False), "model": partial(ddim_step, clip=False)}
    times, drawn = range(0, 1001, 20), ""
    for kind, step in steps.items():
        walk = dict(sample(blobs, schedule, start.shape, step=step, x_T=start, seed=3, dtype=torch.float64))
        drawn += curves(times, {kind: [float(walk[t]) for t in times]}, (-2.4, 2.4))
    return drawn


def likelihood():
    """Neighbours of the mixture along the ODE: where they lead apart, the density falls."""
    schedule = linear_schedule()
    blobs = GaussianMixture(
        schedule, torch.tensor([[-0.6], [0.5]]), torch.tensor([0.15, 0.1]), torch.tensor([0.3, 0.7])
    )
    starts = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(16, dtype=torch.float64) + 0.5) / 16)[:, None]
    step = partial(ddim_step, clip=False)
    walk = dict(sample(blobs, schedule, starts.shape, step=step, x_T=starts, dtype=torch.float64))
    times = range(0, 601, 20)
    paths = torch.stack([walk[t][:, 0] for t in times], 1).numpy()
    return "".join(curves(times, {"noise" if i < 5 else "model": path}, (-2, 2)) for i, path in enumerate(paths))


def output_and_loss():
    """How much the bound, DDPM, EDM and flow matching count each noise level, from low to high."""
    schedule = linear_schedule()
    nu = schedule.noise_level[1:].numpy()
    drawn = np.gradient(np.arange(1, 1001) / 1000, np.log(nu))
    bell = (1 + (nu / 0.5) ** 2) * np.exp(-((np.log(nu) + 1.2) ** 2) / (2 * 1.2**2))
    at = np.abs(np.log(nu)[:, None] - np.linspace(np.log(0.03), np.log(30), 40)).argmin(0)
    one = np.abs(np.log(nu)).argmin()
    products = {"grid": np.ones_like(nu), "data": drawn, "noise": bell, "model": nu}
    rows = {kind: (row / row[one])[at] for kind, row in products.items()}
    return curves(nu[at], rows, (np.log10(0.03), np.log10(30)), log=True)


def straight_paths():
    """Lines of random pairs, and of the same noises and images paired by rank."""
    dice = torch.Generator().manual_seed(4)
    noise = torch.randn(9, generator=dice)
    blob = (torch.rand(9, generator=dice) > 0.3).long()
    data = torch.tensor([-0.6, 0.5])[blob] + torch.tensor([0.15, 0.1])[blob] * torch.randn(9, generator=dice)
    lines = {"grid": (data, noise), "model": (data.sort()[0], noise.sort()[0])}
    pairs = [(kind, pair) for kind, both in lines.items() for pair in zip(*both, strict=True)]
    return "".join(curves([0, 1], {kind: [float(x) for x in pair]}, (-2.2, 2.2)) for kind, pair in pairs)


PICTURES = {
    "01_images_and_gaussians": images_and_gaussians,
    "02_forward_process": forward_process,
    "03_posterior": the_posterior,
    "04_noise_parameterized_mean": noise_parameterized_mean,
    "05_training_objective": training_objective,
    "06_unet": unet,
    "07_attention": attention,
    "08_training": training,
    "09_sampling": sampling,
    "10_conditioning_and_guidance": conditioning_and_guidance,
    "11_fewer_steps": fewer_steps,
    "12_evaluation": evaluation,
    "13_scaling_up": scaling_up,
    "14_other_peoples_code": other_peoples_code,
    "15_bug_detective": bug_detective,
    "16_from_ddpm_to_flows": from_ddpm_to_flows,
    "17_fresh_noise": fresh_noise,
    "18_likelihood": likelihood,
    "19_output_and_loss": output_and_loss,
    "20_straight_paths": straight_paths,
}


def draw(name):
    """The SVG of a chapter."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" fill="none" stroke="currentColor">'
    return f"{head}{PICTURES[name]()}</svg>\n"


def main():
    """Write every picture."""
    FOLDER.mkdir(exist_ok=True)
    for name in PICTURES:
        path = FOLDER / f"{name}.svg"
        path.write_text(draw(name), encoding="utf8", newline="\n")
        print(f"wrote {path.relative_to(train_digits.ROOT)}, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
