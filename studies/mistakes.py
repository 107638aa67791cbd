"""Mistakes of diffusion programs: for each the line of `tutorial.py` that is right, and the one that is wrong."""

import types
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("tutorial.py").read_text(encoding="utf8")


@dataclass(frozen=True)
class Mistake:
    """One line replaced by another; `found` is the check of `examine` that names it, `part` where it is."""

    name: str
    part: str
    found: str
    right: str
    wrong: str


COSINE = ("make_betas(steps)])", "make_cosine_betas(steps)])")
CLIP = "x_0 = x_0.clamp(-1, 1)"
MISTAKES = {
    "unscaled-betas": Mistake(
        "betas not scaled to T",
        "schedule",
        "signal at T",
        "torch.linspace(1e-4, 0.02, steps) * 1000 / steps",
        "torch.linspace(1e-4, 0.02, steps)",
    ),
    "cosine-uncapped": Mistake(
        "cosine schedule without its cap",
        "schedule",
        "betas",
        "(1 - f[1:] / f[:-1]).clamp(max=0.999).float()",
        "(1 - f[1:] / f[:-1]).float()",
    ),
    "half-tables": Mistake(
        "tables in float16",
        "schedule",
        "tables",
        "(1 - beta).double().cumprod(0).float()",
        "(1 - beta).half().cumprod(0).float()",
    ),
    "zero-to-one": Mistake(
        "images in [0, 1]",
        "training",
        "range of the images",
        "x / 127.5 - 1",
        "x / 255",
    ),
    "uniform-noise": Mistake(
        "uniform noise",
        "training",
        "noise of training",
        "z = torch.randn_like(x_0)",
        "z = torch.rand_like(x_0)",
    ),
    "from-zero": Mistake(
        "trained with t from 0 to T - 1",
        "training",
        "times of training",
        "torch.randint(1, T + 1, (len(x_0),))",
        "torch.randint(0, T, (len(x_0),))",
    ),
    "labels-kept": Mistake(
        "labels kept with p",
        "training",
        "dropped labels",
        "torch.rand(len(labels)) < P",
        "torch.rand(len(labels)) > P",
    ),
    "no-warm-up": Mistake(
        "average without warm-up",
        "training",
        "average of the weights",
        "min(0.9999, (1 + step) / (10 + step))",
        "0.9999",
    ),
    "buffers-averaged": Mistake(
        "buffers averaged",
        "training",
        "buffers of the average",
        "a.copy_(b)",
        "a.lerp_(b, 1 - decay)",
    ),
    "no-time": Mistake(
        "time not told",
        "network",
        "time in the network",
        "told = told + self.time(embed(t))",
        "told = told + self.time(embed(0 * t))",
    ),
    "time-as-share": Mistake(
        "t / T embedded",
        "network",
        "scale of the embedding",
        "angle = t[:, None] *",
        "angle = t[:, None] / T *",
    ),
    "mixed-axes": Mistake(
        "sines and cosines joined along the batch",
        "network",
        "rows of the embedding",
        "torch.cat([angle.sin(), angle.cos()], dim=1)",
        "torch.cat([angle.sin(), angle.cos()]).reshape(len(t), -1)",
    ),
    "norm-uncalled": Mistake(
        "norm never called",
        "network",
        "weights of the network",
        "new = self.norm(h)",
        "new = h",
    ),
    "one-time-early": Mistake(
        "network told t - 1",
        "sampling",
        "times of sampling",
        "told = torch.full((shape[0],), t)",
        "told = torch.full((shape[0],), t - 1)",
    ),
    "another-T": Mistake(
        "sampled with another T",
        "sampling",
        "start of the walk",
        "beta, alpha_bar = make_tables(T)",
        "beta, alpha_bar = make_tables(T // 4)",
    ),
    "alpha-for-alpha-bar": Mistake(
        "alpha_t for alpha_bar_t",
        "sampling",
        "weights of a step",
        "x_0 = (x - (1 - now).sqrt() * z_hat) / now.sqrt()",
        "x_0 = (x - beta[t].sqrt() * z_hat) / now.sqrt()",
    ),
    "index-slip": Mistake(
        "alpha_bar_t for alpha_bar_{t-1}",
        "sampling",
        "weights of a step",
        "now, before = alpha_bar[t], alpha_bar[t - 1]",
        "now, before = alpha_bar[t], alpha_bar[t]",
    ),
    "variance-as-deviation": Mistake(
        "variance for deviation",
        "sampling",
        "noise of a step",
        "(beta[t] * (1 - before) / (1 - now)).sqrt()",
        "(beta[t] * (1 - before) / (1 - now))",
    ),
    "noise-at-the-end": Mistake(
        "noise in the last step",
        "sampling",
        "last step",
        "x = mean + sigma * torch.randn(shape) if t > 1 else mean",
        "x = mean + (sigma if t > 1 else beta[t].sqrt()) * torch.randn(shape)",
    ),
    "no-clip": Mistake(
        "x_0_hat not clipped",
        "sampling",
        "clip",
        CLIP,
        "pass",
    ),
    "guidance-plus-one": Mistake(
        "w for w + 1",
        "sampling",
        "guidance",
        "z_with + w * (z_with - z_without)",
        "z_without + w * (z_with - z_without)",
    ),
}


def load_program(*replacements: tuple[str, str]) -> types.ModuleType:
    """Run the tutorial's source with lines replaced; each has to occur exactly once."""
    source = SOURCE
    for right, wrong in replacements:
        if source.count(right) != 1:
            raise ValueError(f"right: expected one line with {right!r}, got {source.count(right)}")
        source = source.replace(right, wrong)
    program = types.ModuleType("tutorial")
    exec(compile(source, "tutorial.py", "exec"), program.__dict__)
    return program


def load_wrong(key: str, *more: tuple[str, str]) -> types.ModuleType:
    """The tutorial with one mistake, that of the cosine schedule in a program that has it, and more lines replaced."""
    mistake = MISTAKES[key]
    before = [COSINE] if key == "cosine-uncapped" else []
    return load_program(*before, (mistake.right, mistake.wrong), *more)


def list_parts(program: types.ModuleType, images) -> dict:
    """The parts of the program, as `examine` takes them."""
    return {
        "schedule": {"beta": program.BETA, "alpha_bar": program.ALPHA_BAR},
        "images": program.scale_images(images),
        "batch": program.make_batch,
        "embed": program.embed,
        "model": program.Network(),
        "drop": program.drop_labels,
        "p": program.P,
        "guide": program.guide,
        "update": program.update_average,
        "sampler": program.sample,
    }
