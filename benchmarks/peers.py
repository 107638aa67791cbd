"""The same U-Net in four libraries, as far as each can build it, with each library's own sampling loop.

Each is a module (x_t, t) -> z_hat; its `sampling(shape, steps, device)` is a function that samples in all steps.
"""

import sys
from importlib.metadata import version
from types import SimpleNamespace
from unittest.mock import MagicMock

import torch
from torch import nn

from ddpm_lite import UNet, UNetConfig, last, linear_schedule, respace, sample

OURS = "ddpm_lite"


def without_torchvision():
    """Replace torchvision by an empty module; some libraries import it for data sets, which are not measured here."""
    try:
        import torchvision  # noqa: F401 - used if it is installed
    except ImportError:
        for name in ("torchvision", "torchvision.transforms", "torchvision.utils"):
            sys.modules[name] = MagicMock()


class Ours(nn.Module):
    def __init__(self, config: UNetConfig):
        super().__init__()
        self.net = UNet(config)

    def forward(self, x_t, t):
        return self.net(x_t, t)

    def sampling(self, shape, steps, device):
        schedule = respace(linear_schedule(), steps)

        def walk():
            return last(sample(self.net, schedule, shape, device=device))[1]

        return walk


class Diffusers(nn.Module):
    """diffusers' UNet2DModel with our parameter names and operations."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        from diffusers import UNet2DModel

        levels = range(len(config.channels))
        attend = levels if config.attention_levels == "every" else config.attention_levels
        self.net = UNet2DModel(
            sample_size=config.sample_size,
            in_channels=config.in_channels,
            out_channels=config.in_channels,
            block_out_channels=config.channels,
            layers_per_block=config.blocks,
            down_block_types=tuple("AttnDownBlock2D" if i in attend else "DownBlock2D" for i in levels),
            up_block_types=tuple("AttnUpBlock2D" if i in attend else "UpBlock2D" for i in reversed(levels)),
            attention_head_dim=None,
            norm_num_groups=config.groups,
            norm_eps=config.norm_eps,
            dropout=config.dropout,
            downsample_padding=config.downsample_padding,
            flip_sin_to_cos=False,
            freq_shift=config.freq_shift,
        )

    def forward(self, x_t, t):
        return self.net(x_t, t - 1).sample

    def sampling(self, shape, steps, device):
        """The loop of its DDPMPipeline, but with the times moved to the device beforehand, unlike the pipeline."""
        from diffusers import DDPMScheduler

        scheduler = DDPMScheduler(1000, timestep_spacing="trailing")
        scheduler.set_timesteps(steps)
        times = list(zip(scheduler.timesteps, scheduler.timesteps.to(device), strict=True))

        def walk():
            x = torch.randn(shape, device=device)
            for t, there in times:
                x = scheduler.step(self.net(x, there).sample, t, x).prev_sample
            return x

        return walk


class SmallDiffusion(nn.Module):
    """smalldiffusion's U-Net, which takes sigma and has 32 groups; width and levels are ours."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        without_torchvision()
        from smalldiffusion import Unet

        mults = tuple(width // config.channels[0] for width in config.channels)
        size, levels = config.sample_size, range(len(config.channels))
        attend = levels if config.attention_levels == "every" else config.attention_levels
        self.net = Unet(
            size,
            config.in_channels,
            config.in_channels,
            ch=config.channels[0],
            ch_mult=mults,
            num_res_blocks=config.blocks,
            attn_resolutions=tuple(size // 2**level for level in attend),
            dropout=config.dropout,
        )

    def forward(self, x_t, t):
        return self.net(x_t, t.to(x_t.dtype) / 1000)

    def sampling(self, shape, steps, device):
        from smalldiffusion import ScheduleDDPM, samples

        # cloned, because it keeps the output over a step, in which a CUDA graph would overwrite it
        model = SimpleNamespace(
            eval=self.net.eval,
            rand_input=self.net.rand_input,
            predict_eps_cfg=lambda *inputs: self.net.predict_eps_cfg(*inputs).clone(),
        )
        sigmas, place = ScheduleDDPM().sample_sigmas(steps), SimpleNamespace(device=device)

        def walk():
            *_, x_0 = samples(model, sigmas, gam=1, mu=0.5, batchsize=shape[0], accelerator=place)
            return x_0

        return walk


class Lucidrains(nn.Module):
    """denoising-diffusion-pytorch: two blocks and attention at each level; its width is chosen by parameters."""

    def __init__(self, config: UNetConfig, dim: int):
        super().__init__()
        without_torchvision()
        from denoising_diffusion_pytorch import Unet

        mults = tuple(width // config.channels[0] for width in config.channels)
        levels = range(len(config.channels))
        attend = levels if config.attention_levels == "every" else config.attention_levels
        self.net = Unet(
            dim,
            dim_mults=mults,
            channels=config.in_channels,
            full_attn=tuple(level in attend for level in levels),
            flash_attn=True,
            dropout=config.dropout,
        )
        for module in self.net.modules():
            if getattr(module, "cuda_config", None) is not None:  # only what half precision has: float32 would fail
                module.cuda_config = module.cpu_config

    def forward(self, x_t, t):
        return self.net(x_t, t)

    def sampling(self, shape, steps, device):
        """Sample with a schedule of this many times, because its DDPM loop takes all of them."""
        from denoising_diffusion_pytorch import GaussianDiffusion, denoising_diffusion_pytorch

        denoising_diffusion_pytorch.tqdm = lambda times, **options: (
            times
        )  # without its progress bar, which is not measured
        options = {"image_size": shape[-1], "timesteps": steps, "objective": "pred_noise"}
        diffusion = GaussianDiffusion(self.net, **options).to(device).eval()
        return lambda: diffusion.sample(batch_size=shape[0])


def parameters(model: nn.Module) -> int:
    """Count the parameters."""
    return sum(p.numel() for p in model.parameters())


def closest_lucidrains(config: UNetConfig) -> Lucidrains:
    """Find the width, a multiple of 8, with the number of parameters closest to ours."""
    goal, best = parameters(Ours(config)), None
    for dim in range(16, 257, 8):
        with torch.device("meta"):
            off = abs(parameters(Lucidrains(config, dim)) - goal)
        if best is None or off < best[0]:
            best = (off, dim)
    return Lucidrains(config, best[1])


MAKERS = {
    OURS: Ours,
    "diffusers": Diffusers,
    "smalldiffusion": SmallDiffusion,
    "denoising-diffusion-pytorch": closest_lucidrains,
}


def versions() -> dict[str, str]:
    """List the versions of the libraries."""
    names = ("torch", "diffusers", "smalldiffusion", "denoising-diffusion-pytorch")
    return {name: version(name).split("+")[0] for name in names}
