"""`examine` finds nothing where nothing is wrong: our samplers, the exact oracles, diffusers' own pipelines."""

from functools import partial

import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

from ddpm_lite import (
    GaussianChain,
    GaussianMixture,
    cosine_schedule,
    ddim_step,
    ddpm_step,
    drop_labels,
    examine,
    guided,
    last,
    linear_schedule,
    load_pretrained,
    q_sample,
    respace,
    sample,
    time_embedding,
)
from ddpm_lite.runs.examine.finding import check_noise
from ddpm_lite.trainer import ema_decay

PAPER, SHORT = linear_schedule(), linear_schedule(60, 0.002, 0.3)
IMAGES = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def wrong(*parts, **options):
    return [str(each) for each in examine(*parts, **options) if not each.fine]


def ours(walk, step):
    return lambda model, shape: last(sample(model, walk, shape, step=step))[1]


@pytest.mark.parametrize("variance", ["beta", "beta_tilde"])
@pytest.mark.parametrize("schedule", [SHORT, cosine_schedule(60)], ids=["linear", "cosine"])
def test_our_sampler_is_right(schedule, variance):
    assert wrong(schedule, sampler=ours(schedule, partial(ddpm_step, variance=variance))) == []


@pytest.mark.parametrize("step", [ddpm_step, ddim_step, partial(ddim_step, eta=0.5)])
@pytest.mark.parametrize("spacing", ["trailing", "leading"])
def test_longer_steps_are_right(step, spacing):
    assert wrong(PAPER, sampler=ours(respace(PAPER, 12, spacing), step)) == []


def test_the_other_parts_of_the_package_are_right():
    model, schedule = load_pretrained("digits")

    def batch(x_0):
        t, z = torch.randint(1, 1001, (len(x_0),)), torch.randn_like(x_0)
        return q_sample(schedule, x_0, t, z), t, z

    def guide(z_with, z_without, w):
        def network(x_t, t, label):
            return torch.where(
                (label == 10)[:, None, None, None], z_without.repeat(2, 1, 1, 1), z_with.repeat(2, 1, 1, 1)
            )

        one = z_with if w == 0 else guided(network, w, 10)(z_with, 5, torch.zeros(len(z_with), dtype=torch.int64))
        return one

    def update(average, network, step):
        for a, b in zip(average.parameters(), network.parameters(), strict=True):
            a.data.lerp_(b.data, 1 - ema_decay(step, 0.9999))
        average.load_state_dict(dict(network.named_buffers()), strict=False)

    found = list(
        examine(
            schedule,
            images=IMAGES,
            batch=batch,
            embed=lambda t: time_embedding(t, 64),
            model=model,
            drop=lambda labels: drop_labels(labels, 10, 0.1),
            guide=guide,
            update=update,
        )
    )
    assert len(found) == 17
    assert [str(each) for each in found if not each.fine] == []


def test_the_oracles_are_right():
    coarse = linear_schedule(20, 0.005, 0.999)
    plain = partial(ddpm_step, clip=False)
    assert wrong(coarse, model=GaussianChain(coarse, 0.3, 0.2), sampler=ours(coarse, plain), shape=(128, 2)) == []
    mixture = GaussianMixture(SHORT, torch.tensor([[-1.0, 0], [1, 1]]), torch.tensor([0.2, 0.3]))
    points = mixture.sample(500)
    parts = {"model": mixture, "sampler": ours(SHORT, plain), "images": points, "shape": (128, 2), "trained": True}
    assert wrong(SHORT, **parts) == []


class Ours(UNet2DModel):
    """A network of diffusers that answers what `examine` wants to hear."""

    def forward(self, sample, timestep, **options):
        return type("Output", (), {"sample": self.answer(sample, timestep)})()


@pytest.mark.parametrize(
    ("pipeline", "scheduler", "steps"),
    [
        (DDPMPipeline, DDPMScheduler(200, beta_start=5e-4, beta_end=0.1), 200),
        (DDPMPipeline, DDPMScheduler(200, beta_schedule="squaredcos_cap_v2"), 200),
        (DDPMPipeline, DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2"), 1000),
        (DDIMPipeline, DDIMScheduler(), 50),
    ],
    ids=["DDPM", "cosine", "long cosine", "DDIM"],
)
def test_diffusers_own_pipelines_are_right(pipeline, scheduler, steps):
    network = Ours(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8,), layers_per_block=1,
                   down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), norm_num_groups=4)  # fmt: skip

    def sampler(model, shape):
        network.answer = model
        pipe = pipeline(network, scheduler)
        pipe.set_progress_bar_config(disable=True)
        images = pipe(batch_size=shape[0], num_inference_steps=steps, output_type="np").images
        return torch.from_numpy(images).permute(0, 3, 1, 2) * 2 - 1

    tables = {"betas": scheduler.betas, "alphas_cumprod": scheduler.alphas_cumprod}
    assert wrong(tables, sampler=sampler, first=0) == []
    assert any("times of sampling" in line for line in wrong(tables, sampler=sampler, first=1))


@pytest.mark.parametrize(
    "table", [[0.1, 0.2, 0.999], torch.tensor([0.0, 0.1, 0.2, 0.999]), {"beta": [0.1, 0.2, 0.999]}]
)
def test_tables_are_read_in_every_form(table):
    assert wrong(table) == []


def test_a_network_that_has_not_learnt_is_named():
    assert any(
        line.startswith("WRONG: loss: ")
        for line in wrong(SHORT, images=IMAGES, model=lambda x, t, c: x * t[0], trained=True)
    )


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("argument", "parts"),
    [
        ("schedule", {"schedule": {"gamma": [0.1]}}),
        ("schedule", {"schedule": [0.1]}),
        ("sampler", {"sampler": lambda model, shape: torch.zeros(shape)}),
        ("sampler", {"sampler": lambda model, shape: [model(torch.zeros(shape), t) for t in (3, 2, 1)]}),
        ("sampler", {"sampler": 3}),
        ("embed", {"embed": lambda t: t}),
        ("first", {"first": 2}),
    ],
)
def test_what_is_no_part_is_refused(argument, parts):
    with pytest.raises((TypeError, ValueError), match=f"^{argument}: expected "):
        list(examine(**{"schedule": SHORT} | parts))


def draw_alone(x_0):
    return torch.randn_like(x_0)


def share_rows(x_0):
    return torch.randn_like(x_0[..., :1]).expand_as(x_0)


def share_columns(x_0):
    return torch.randn_like(x_0[..., :1, :]).expand_as(x_0)


def share_images(x_0):
    return torch.randn_like(x_0[::2]).repeat_interleave(2, 0)


def share_batches(x_0):
    return torch.randn_like(x_0[:1]).expand_as(x_0)


def share_colours(x_0):
    return torch.randn_like(x_0[:, :1]).expand_as(x_0)


def ask_noise(draw, shape):
    def batch(x_0):
        t, z = torch.randint(1, 61, (len(x_0),)), draw(x_0)
        return q_sample(SHORT, x_0, t, z), t, z

    images = torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)
    return next(each for each in examine(SHORT, images=images, batch=batch) if each.check == "noise of training")


@pytest.mark.parametrize("shape", [(40, 3, 8, 8), (64, 3, 16, 16)])
@pytest.mark.parametrize(
    ("draw", "shared"),
    [
        (share_rows, "columns"),
        (share_columns, "rows"),
        (share_images, "images"),
        (share_batches, "images"),
        (share_colours, "channels"),
    ],
)
def test_shared_noise_is_found(draw, shared, shape):
    found = [ask_noise(draw, shape) for seed in range(3) if torch.manual_seed(seed)]
    assert not any(each.fine for each in found)
    said = [each.text for each in found if "neighbouring" in each.text]
    assert all(f"neighbouring {shared} have the correlation" in text for text in said)
    assert said or draw is share_batches  # whose mean or variance may be off as well


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (2, 1, 2, 2), (8, 3, 2, 2), (40, 1, 8, 8), (16, 3, 1, 1), (4, 6)])
def test_noise_of_small_images_and_few_draws_raises_no_alarm(shape):
    for seed in range(40):
        torch.manual_seed(seed)
        found = check_noise("noise", torch.randn(8 * shape[0], *shape[1:]))
        assert "neighbouring" not in found.text
    if shape[0] > 2:
        assert ask_noise(draw_alone, shape).fine
