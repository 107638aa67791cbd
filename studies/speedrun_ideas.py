"""The ideas that the speedrun tries: what each changes in the recipe of a small model of clothes."""

from dataclasses import dataclass, field, replace

from ddpm_lite import TrainConfig, UNetConfig


@dataclass(frozen=True)
class Recipe:
    """All that an idea may change; the defaults are the recipe of the model that the package shipped first.

    Args:
        schedule: "linear" or "cosine".
        target: what the network predicts: "z", "v", "x_0" or, with EDM's preconditioning, "edm".
        weight: of the loss at t: "equal" for the error of z, "own" for that of the target, "min-snr" or "bound".
        times: "uniform"; "stratified", one t from each of B equal parts of 1..T; "log-normal", as in EDM.
        noises: how many noises are drawn for each image; the nearest to the image is used (immiscible diffusion).
        optimizer: "adam", "adamw" or "muon".
        lr, lr_decay, warmup, betas, batch_size, label_dropout, flip: of the optimiser and the data.
        ema: decays of the averages; the best of them is kept, and all are recorded.
        channels, blocks, attention_levels, head_dim: of the U-Net.
        scale, sampler: guidance weight and step of the sampling.
        bf16: the network computes in bfloat16, in training only.
        channels_last: the layout of the images in memory.
    """

    schedule: str = "linear"
    target: str = "z"
    weight: str = "equal"
    times: str = "uniform"
    noises: int = 1
    optimizer: str = "adam"
    lr: float = 2e-3
    lr_decay: str = "no"
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.999)
    batch_size: int = 32
    label_dropout: float = 0.1
    flip: bool = False
    ema: tuple[float, ...] = (0.999,)
    channels: tuple[int, ...] = (32, 64, 64)
    blocks: int = 1
    attention_levels: tuple[int, ...] = (1, 2)
    head_dim: int | None = None
    scale: float = 0.0
    sampler: str = "ddpm"
    bf16: bool = False
    channels_last: bool = False

    def unet(self) -> UNetConfig:
        """Return the architecture."""
        levels, head_dim = self.attention_levels, self.head_dim
        return UNetConfig(28, 1, self.channels, self.blocks, levels, head_dim=head_dim, context_dim=32)

    def config(self, steps: int, seed: int) -> TrainConfig:
        """Return the settings as the package's trainer has them."""
        names = ("batch_size", "lr", "lr_decay", "warmup", "label_dropout", "flip")
        return TrainConfig(steps, seed=seed, **{name: getattr(self, name) for name in names})

    def parts(self) -> dict[str, str]:
        """Name all that the time of each part of a step depends on."""
        shape = f"{'-'.join(map(str, self.channels))} x{self.blocks}, attention {list(self.attention_levels)}"
        heads = f", heads of {self.head_dim}" if self.head_dim else ""
        kind = f"{'bf16' if self.bf16 else 'fp32'}{', channels last' if self.channels_last else ''}"
        return {
            "draw": f"batch {self.batch_size}, {self.noises} noises",
            "network": f"{shape}{heads}, batch {self.batch_size}, {kind}",
            "update": f"{shape}, {'muon' if self.optimizer == 'muon' else 'adam'}",
            "average": shape,
        }


@dataclass(frozen=True)
class Idea:
    """An idea in a few words, and the fields of the recipe that it changes."""

    about: str
    changes: dict = field(default_factory=dict)


IDEAS = {
    "base": Idea("the recipe of the first shipped model"),
    "decay": Idea("the learning rate falls to 0 along a cosine", {"lr_decay": "cosine"}),
    "ema": Idea("averages of other lengths, the best chosen afterwards", {"ema": (0.0, 0.99, 0.995, 0.998, 0.999)}),
    "min-snr": Idea("min-SNR weights, gamma = 5", {"weight": "min-snr"}),
    "bound": Idea("the weights of the variational bound", {"weight": "bound"}),
    "v": Idea("the network predicts v, and its own error is the loss", {"target": "v", "weight": "own"}),
    "x_0": Idea("the network predicts x_0, with the loss of v", {"target": "x_0", "weight": "velocity"}),
    "edm": Idea("EDM's preconditioning and weights, uniform t", {"target": "edm", "weight": "own"}),
    "log-normal": Idea("t with a log-normal sigma, as in EDM", {"times": "log-normal"}),
    "edm-full": Idea(
        "EDM's preconditioning, weights and log-normal sigma",
        {"target": "edm", "weight": "own", "times": "log-normal"},
    ),
    "stratified": Idea("one t from each of 32 equal parts of 1..T", {"times": "stratified"}),
    "immiscible": Idea("the nearest of 8 noises for each image", {"noises": 8}),
    "cosine": Idea("the cosine schedule of beta", {"schedule": "cosine"}),
    "lr-1e-3": Idea("half the learning rate", {"lr": 1e-3}),
    "lr-4e-3": Idea("twice the learning rate", {"lr": 4e-3}),
    "beta2": Idea("Adam with betas 0.9 and 0.99", {"betas": (0.9, 0.99)}),
    "adamw": Idea("AdamW, weight decay 0.01", {"optimizer": "adamw"}),
    "muon": Idea("Muon for the matrices, Adam for the rest", {"optimizer": "muon"}),
    "batch-16": Idea("batches of 16, twice the steps", {"batch_size": 16}),
    "batch-64": Idea("batches of 64, half the steps", {"batch_size": 64}),
    "coarse-attention": Idea("attention at 7x7 only", {"attention_levels": (2,)}),
    "middle-attention": Idea("attention only between the two paths", {"attention_levels": ()}),
    "narrow-top": Idea("widths 16, 64, 128: little at 28x28, much at 7x7", {"channels": (16, 64, 128)}),
    "wide-bottom": Idea("widths 32, 64, 128", {"channels": (32, 64, 128)}),
    "wide": Idea("widths 48, 96, 96", {"channels": (48, 96, 96)}),
    "narrow": Idea("widths 16, 32, 64", {"channels": (16, 32, 64)}),
    "two-blocks": Idea("two blocks at each level", {"blocks": 2}),
    "heads": Idea("attention in heads of width 16", {"head_dim": 16}),
    "keep-labels": Idea("no label is dropped", {"label_dropout": 0.0}),
    "flip": Idea("half of the images are mirrored", {"flip": True}),
    "guidance": Idea("guidance of weight 0.25 in sampling", {"scale": 0.25}),
    "ddim": Idea("the same 50 times with DDIM", {"sampler": "ddim"}),
    "beta": Idea("DDPM steps with the variance beta", {"sampler": "ddpm, beta"}),
    "bf16": Idea("the network in bfloat16", {"bf16": True}),
    "channels-last": Idea("channels last in memory", {"channels_last": True}),
}


def make_recipe(name: str) -> Recipe:
    """Make the recipe of one idea, or of several joined by "+"; a later one wins over an earlier."""
    changes: dict = {}
    for part in name.split("+"):
        if part not in IDEAS:
            raise ValueError(f"idea: expected one of {', '.join(IDEAS)}, got {part!r}")
        changes |= IDEAS[part].changes
    return replace(Recipe(), **changes)
