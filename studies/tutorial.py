"""A whole diffusion program in the manner of a tutorial, with a line for each decision; `mistakes.py` replaces one.

Nothing here is taken from the package, so that its checks look at a stranger's code. Times run from 1 to T.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

T, P, WIDTH, LABELS = 200, 0.1, 32, 10
NONE = LABELS


def make_betas(steps):
    return torch.linspace(1e-4, 0.02, steps) * 1000 / steps


def make_cosine_betas(steps):
    f = torch.cos((torch.arange(steps + 1).double() / steps + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - f[1:] / f[:-1]).clamp(max=0.999).float()


def make_tables(steps):
    beta = torch.cat([torch.zeros(1), make_betas(steps)])
    alpha_bar = (1 - beta).double().cumprod(0).float()
    return beta, alpha_bar


BETA, ALPHA_BAR = make_tables(T)


def scale_images(x):
    return x / 127.5 - 1


def make_batch(x_0):
    t = torch.randint(1, T + 1, (len(x_0),))
    z = torch.randn_like(x_0)
    alpha_bar = ALPHA_BAR[t].reshape(-1, *[1] * (x_0.ndim - 1))
    return alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * z, t, z


def drop_labels(labels):
    return torch.where(torch.rand(len(labels)) < P, NONE, labels)


def embed(t):
    angle = t[:, None] * 10_000 ** -torch.linspace(0, 1, WIDTH // 2)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(8, WIDTH)
        self.conv_1 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.told = nn.Linear(WIDTH, WIDTH)
        self.conv_2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, h, told):
        new = self.norm(h)
        new = self.conv_1(F.silu(new)) + self.told(told)[:, :, None, None]
        return h + self.conv_2(F.silu(new))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH))
        self.label = nn.Embedding(LABELS + 1, WIDTH)
        self.first = nn.Conv2d(1, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(Block() for _ in range(4))
        self.last = nn.Conv2d(WIDTH, 1, 3, padding=1)
        self.register_buffer("alpha_bar", ALPHA_BAR.clone())

    def forward(self, x_t, t, label=None):
        label = torch.full((len(x_t),), NONE) if label is None else label
        told = self.label(label)
        told = told + self.time(embed(t))
        h = self.first(x_t)
        for block in self.blocks:
            h = block(h, F.silu(told))
        return self.last(F.silu(h))


def train_step(model, average, optimiser, x_0, labels, step):
    x_t, t, z = make_batch(x_0)
    z_hat = model(x_t, t, drop_labels(labels))
    loss = (z_hat - z).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    update_average(average, model, step)
    return loss.item()


@torch.no_grad()
def update_average(average, model, step):
    decay = min(0.9999, (1 + step) / (10 + step))
    for a, b in zip(average.parameters(), model.parameters(), strict=True):
        a.lerp_(b, 1 - decay)
    for a, b in zip(average.buffers(), model.buffers(), strict=True):
        a.copy_(b)


def guide(z_with, z_without, w):
    return z_with + w * (z_with - z_without)


@torch.no_grad()
def sample(model, shape, label=None, w=0.0):
    beta, alpha_bar = make_tables(T)
    x = torch.randn(shape)
    for t in range(len(beta) - 1, 0, -1):
        told = torch.full((shape[0],), t)
        z_hat = model(x, told, label)
        if w:
            z_hat = guide(z_hat, model(x, told, torch.full((shape[0],), NONE)), w)
        now, before = alpha_bar[t], alpha_bar[t - 1]
        x_0 = (x - (1 - now).sqrt() * z_hat) / now.sqrt()
        x_0 = x_0.clamp(-1, 1)
        mean = ((1 - beta[t]).sqrt() * (1 - before) * x + before.sqrt() * beta[t] * x_0) / (1 - now)
        sigma = (beta[t] * (1 - before) / (1 - now)).sqrt()
        x = mean + sigma * torch.randn(shape) if t > 1 else mean
    return x
