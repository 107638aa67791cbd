"""What the tests of chapter 15 change in its program, and what both tools say of the result."""

import mistakes
import study_mistakes
import torch
from study_mutations import checklist

from ddpm_lite import UNet, UNetConfig, examine

IMAGES = torch.randint(0, 256, (80, 1, 8, 8), generator=torch.Generator().manual_seed(0)).float()


# What the line has to say beside the name of its check.
CAUSES = {
    "unscaled-betas": "scaled by 1000 / T",
    "cosine-uncapped": "cap the betas at 0.999",
    "half-tables": "compute tables in float64",
    "zero-to-one": "2 x - 1",
    "uniform-noise": "use randn",
    "from-zero": "0..199; expected 1..200",
    "labels-kept": "kept with probability p",
    "no-warm-up": "needs a warm-up",
    "buffers-averaged": "copy buffers",
    "no-time": "not told the time",
    "time-as-share": "not t / T",
    "mixed-axes": "along the last axis",
    "norm-uncalled": "blocks.0.norm.weight",
    "one-time-early": "199..0; training had 200..1",
    "another-T": "start at T = 200",
    "alpha-for-alpha-bar": "alpha_t is used where alpha_bar_t belongs",
    "index-slip": "alpha_bar_t is used where alpha_bar_{t-1} belongs",
    "variance-as-deviation": "variance was taken for the standard deviation",
    "noise-at-the-end": "adds noise",
    "no-clip": "clip x_0_hat",
    "guidance-plus-one": "plus 1",
}


def wrong_of(program):
    torch.manual_seed(0)
    return [each for each in examine(**mistakes.list_parts(program, IMAGES)) if each.note or not each.fine]


def ask(program, **options):
    """What the checklist says of a program: None, or the message of the first assertion that fails."""
    try:
        said = checklist.check_all(vars(program), **options)
    except AssertionError as found:
        return str(found)
    assert said == "no mistake found"


MEAN = "mean = ((1 - beta[t]).sqrt() * (1 - before) * x + before.sqrt() * beta[t] * x_0) / (1 - now)"
LEAP = "mean = before.sqrt() * x_0 + (1 - before).sqrt() * (x - now.sqrt() * x_0) / (1 - now).sqrt()"
SIGMA = "sigma = (beta[t] * (1 - before) / (1 - now)).sqrt()"
VARIANTS = {
    "linear": [],
    "cosine": [mistakes.COSINE],
    "variance beta_t": [(SIGMA, "sigma = beta[t].sqrt()")],
    "DDIM": [(MEAN, LEAP), (SIGMA, "sigma = 0")],
}
IN_B = ("+ before.sqrt() * beta[t]", "+ now.sqrt() * beta[t]")  # off by beta_t / 2, which is least if T is large
IN_A = ("((1 - beta[t]).sqrt()", "((1 - beta[t - 1]).sqrt()")
LARGEST = "return torch.linspace(1e-4, 0.02, steps) * 1000 / steps"
SIZES = {
    T: [
        ("LABELS = 200,", f"LABELS = {T},"),
        (LARGEST, "return (torch.linspace(1e-4, 0.02, steps) * 1000 / steps).clamp(max=0.999)"),
    ]
    for T in (20, 50, 200, 1000)
}
START = "    x = torch.randn(shape)"
RETURN, END = "    return x\n", "* torch.randn(shape) if t > 1 else mean"


# What chapter 15 says that `examine` passes: mistakes, and it has nothing to say.
UNSEEN = {
    "one time for a batch": ("torch.randint(1, T + 1, (len(x_0),))", "torch.randint(1, T + 1, (1,)).expand(len(x_0))"),
    "uneven times": ("torch.randint(1, T + 1, (len(x_0),))", "(T * torch.rand(len(x_0)) ** 2).long() + 1"),
    "dropped labels are 1": ("< P, NONE, labels", "< P, 1, labels"),
    "black for white": ("x / 127.5 - 1", "1 - x / 127.5"),
    "label ignored": ("told = self.label(label)", "told = self.label(torch.full_like(label, NONE))"),
    "no skip connection": ("return h + self.conv_2", "return self.conv_2"),
    "clip to 0.9": ("x_0.clamp(-1, 1)", "x_0.clamp(-0.9, 0.9)"),
    "clip to 1.4": ("x_0.clamp(-1, 1)", "x_0.clamp(-1.4, 1.4)"),
    "arguments of guide": (
        "guide(z_hat, model(x, told, torch.full((shape[0],), NONE)), w)",
        "guide(0 * z_hat, z_hat, w)",
    ),
    "wrong periods": ("10_000 ** -torch.linspace", "10_000 ** +torch.linspace"),
    "no labels": ("z_hat = model(x, told, label)", "z_hat = model(x, told)"),
    "label 0 for none": ("torch.full((shape[0],), NONE)), w)", "torch.full((shape[0],), 0)), w)"),
    "told t - 1": ("guide(z_hat, model(x, told, torch", "guide(z_hat, model(x, told - 1, torch"),
    "the sine twice": ("[angle.sin(), angle.cos()]", "[angle.sin(), angle.sin()]"),
    "tanh": ("return self.last(F.silu(h))", "return self.last(F.silu(h)).tanh()"),
    "relu": ("return self.last(F.silu(h))", "return self.last(F.silu(h)).relu()"),
    "one seed": ("    x = torch.randn(shape)", "    torch.manual_seed(0); x = torch.randn(shape)"),
}
NOW = "now, before = alpha_bar[t], alpha_bar[t - 1]"
SAID = {  # the message of the checklist
    "unscaled-betas": "x_T is no pure noise",
    "cosine-uncapped": "a beta near 1, so x_0_hat explodes",
    "half-tables": "the table is wrong, or rounded",
    "zero-to-one": "range of the images",
    "uniform-noise": "mean, variance or kurtosis of the noise",
    "from-zero": "times drawn",
    "labels-kept": "90% of the labels are dropped, not 10%",
    "no-warm-up": "the average keeps 90% of its start",
    "buffers-averaged": "the average does not copy the buffers",
    "no-time": "the network ignores the time",
    "time-as-share": "two times look alike",
    "mixed-axes": "the images of a batch are mixed",
    "norm-uncalled": "a layer is made but never called",
    "one-time-early": "times 199..0",
    "another-T": "50 calls of the network, not 200",
    "alpha-for-alpha-bar": "coefficient of x_0_hat, t = 200",
    "index-slip": "coefficient of x_0_hat, t = 200",
    "variance-as-deviation": "coefficient of the noise, t = 200",
    "noise-at-the-end": "coefficient of the noise, t = 1",
    "no-clip": "the last states are not the clipped estimate",
    "guidance-plus-one": "guidance is not z_with + w * (z_with - z_without)",
}
NO_CLIP = ("x_0 = x_0.clamp(-1, 1)", "pass")
BOOK = study_mistakes.RESULTS.parent
IN_EVAL = (START, "    model.eval()\n    x = torch.randn(shape)")


def new_unet(dropout):
    """The book's U-Net with its new weights, many of which are 0, as the checklist calls a network."""

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = UNet(UNetConfig(8, dropout=dropout))

        def forward(self, x_t, t, label=None):
            return self.unet(x_t, t)

    return Network


BLOCK, LAST = "self.conv_2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)", "self.last = nn.Conv2d(WIDTH, 1, 3, padding=1)"
DROPOUT = ("self.conv_2(F.silu(new))", "self.conv_2(F.dropout(F.silu(new), 0.1, self.training))")
TOLD_LABELS, LOSS = "z_hat = model(x_t, t, drop_labels(labels))", "loss = (z_hat - z).square().mean()"
ZERO, BACK, STEP = (f"    {call}\n" for call in ("optimiser.zero_grad()", "loss.backward()", "optimiser.step()"))
MOVE = "    update_average(average, model, step)\n    return"
STEPS = {
    "target -z": (LOSS, "loss = (z_hat + z).square().mean()"),
    "target x_0": (LOSS, "loss = (z_hat - x_0).square().mean()"),
    "target x_t": (LOSS, "loss = (z_hat - x_t).square().mean()"),
    "fresh noise": (LOSS, "loss = (z_hat - torch.randn_like(z)).square().mean()"),
    "a sum over pixels": (LOSS, "loss = (z_hat - z).square().sum() / len(z)"),
    "part of the batch": (LOSS, "loss = (z_hat - z)[:16].square().mean()"),
    "mean before the square": (LOSS, "loss = (z_hat - z).mean(dim=0).square().mean()"),
    "target of another shape": (LOSS, "loss = (z_hat - z[:1]).square().mean()"),
    "L1": (LOSS, "loss = (z_hat - z).abs().mean()"),
    "images of another batch": ("make_batch(x_0)\n    z_hat", "make_batch(x_0.roll(1, 0))\n    z_hat"),
    "told t - 1": ("model(x_t, t, drop", "model(x_t, t - 1, drop"),
    "zero_grad forgotten": (ZERO, ""),
    "zero_grad too late": (BACK, BACK + ZERO),
    "step before backward": (BACK + STEP, STEP + BACK),
    "no step": (STEP, ""),
    "the average as the model": (MOVE, MOVE.replace("average, model", "model, average")),
    "no average": (MOVE, "    return"),
    "labels of another batch": (TOLD_LABELS, "z_hat = model(x_t, t, drop_labels(labels.roll(1)))"),
    "labels never dropped": (TOLD_LABELS, "z_hat = model(x_t, t, labels)"),
    "labels dropped twice": (TOLD_LABELS, "z_hat = model(x_t, t, drop_labels(drop_labels(labels)))"),
}
ANOTHER, LOST = "the training asks about another x_t or t", "the loss is not the mean square of z_hat - z"
STILL, UP = "a step changes no weight", "a step raises the loss"
CALL = "z_hat = model(x, told, label)"
V = "loss = (z_hat - ((now := ALPHA_BAR[t].reshape(-1, 1, 1, 1)).sqrt() * z - (1 - now).sqrt() * x_0)).square().mean()"
OF_V = [
    ("x_0 = (x - (1 - now).sqrt() * z_hat) / now.sqrt()", "x_0 = now.sqrt() * x - (1 - now).sqrt() * z_hat"),
    (LOSS, V),
]
OF_X_0 = [("x_0 = (x - (1 - now).sqrt() * z_hat) / now.sqrt()", "x_0 = z_hat"), STEPS["target x_0"]]
