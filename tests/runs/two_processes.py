"""Runs of one and of two processes, for `test_processes`: `python tests/two_processes.py FOLDER` writes what they did.

The imports are done once. Each run is a fork, or a pair of forks that find each other by gloo, as those of
`accelerate launch` do.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import accelerate
import torch

from ddpm_lite import ConditionalUNet, LabelEncoder, TrainConfig, UNet, UNetConfig, fit, linear_schedule
from ddpm_lite.trainer import Diverged, make_first_state

STEPS = 6
# 10 images in 2 processes with 2 parts each: 2, 3, 2 and 3 of them
CONFIG = TrainConfig(steps=STEPS, batch_size=10, lr=2e-3, label_dropout=0.3, flip=True, accumulation=2)


def make_model(seed):
    torch.manual_seed(seed)
    unet = UNet(UNetConfig(8, 1, (8,), blocks=1, attention_levels=(), context_dim=4))
    return ConditionalUNet(unet, LabelEncoder(10, 4))


class Breaking(torch.nn.Module):
    """Its third loss is not a number, in one process only."""

    def __init__(self, inner, breaks):
        super().__init__()
        self.inner, self.breaks, self.calls = inner, breaks, 0

    def forward(self, x_t, t, context=None):
        self.calls += 1
        return self.inner(x_t, t, context) * (float("nan") if self.breaks and self.calls == 5 else 1)


def life(folder, name, rank, n, port):
    """One process of one run; writes NAME-RANK.json."""
    torch.set_num_threads(1)
    accelerator = None
    if n > 1:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ |= {key: str(value) for key, value in place.items()}
        accelerator = accelerate.Accelerator(cpu=True)
    # each process starts with other weights: those of the first count
    model, losses = make_model(rank), []
    model = Breaking(model, rank == 1) if name == "breaking" else model

    def on_step(state):
        losses.append(state.loss)
        if name == "killed" and state.step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "asked" and state.step == 3 and rank == 1:  # one of the two is told, both stop
            os.kill(os.getpid(), signal.SIGTERM)

    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    labels = torch.arange(16) % 10
    said, code, state = "", 0, None
    try:
        place = folder / {"resumed": "killed", "resumed again": "asked"}.get(name, name)
        state = fit(
            model,
            linear_schedule(),
            images,
            CONFIG,
            place,
            labels=labels,
            none=10,
            accelerator=accelerator,
            every=2,
            on_step=on_step,
        )
    except Diverged as error:
        said = str(error)
    except SystemExit as error:
        code = error.code
    weights = [] if state is None else [p.tolist() for m in (state.model, state.ema_model) for p in m.parameters()]
    result = {"losses": losses, "weights": weights, "said": said, "code": code}
    (folder / f"{name}-{rank}.json").write_text(json.dumps(result))


def start(folder, name, rank, n, port):
    """A fork that lives one life; its number."""
    pid = os.fork()
    if pid == 0:
        try:
            life(folder, name, rank, n, port)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    return pid


def main(folder):
    """All runs, one after another."""
    make_first_state(make_model(0))  # what the optimiser imports, once for all
    for name, n in (
        ("one", 1),
        ("two", 2),
        ("killed", 2),
        ("resumed", 2),
        ("asked", 2),
        ("resumed again", 2),
        ("breaking", 2),
    ):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for pid in [start(folder, name, rank, n, port) for rank in range(n)]:
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
