"""Runs that are sent signals inside a step, for `test_signals`: `signalled.py FOLDER` prints what came of each.

The imports are done once. Each run is a fork in a process group of its own, and its second step waits for a file.
"""

import json
import os
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from ddpm_lite import TrainConfig, fit, linear_schedule
from ddpm_lite.runs.fit import ONE_REQUEST
from ddpm_lite.trainer import make_first_state

SOON, LATE = 0.3 * ONE_REQUEST, 1.3 * ONE_REQUEST
INT, TERM = signal.SIGINT, signal.SIGTERM
# what is sent: a signal to the process, a signal to its group (negative), or a pause in seconds
SENT = {
    "nothing": [],
    "one": [INT],
    "one to the group": [-INT],
    "timeout": [TERM, -TERM],
    "timeout -s INT": [INT, -INT],
    "soon": [INT, SOON, INT],
    "three soon": [TERM, SOON, TERM, SOON, TERM],
    "another soon": [INT, SOON, TERM],
    "late": [INT, LATE, INT],
    "late to the group": [TERM, LATE, -TERM],
    "another late": [INT, LATE, TERM],
}


class Waiting(torch.nn.Module):
    def __init__(self, folder):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.folder, self.calls = torch.nn.Linear(2, 2), folder, 0

    def forward(self, x_t, t, context=None):
        self.calls += 1
        if self.calls == 2:
            (self.folder / "begun").touch()
            while not (self.folder / "go on").exists():
                time.sleep(0.01)
        return self.linear(x_t)


def train(folder):
    images = torch.rand(12, 1, 2, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    fit(Waiting(folder), linear_schedule(20), images, TrainConfig(steps=4, batch_size=4, lr=1e-2), folder / "run")


def start(folder):
    """A fork that trains; its number."""
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        said, code = "", 0
        try:
            train(folder)
        except KeyboardInterrupt as error:
            said, code = str(error), 130
        except SystemExit as error:
            code = error.code
        except BaseException:
            traceback.print_exc()
            code = 1
        (folder / "said").write_text(said)
        os._exit(code)
    return pid


def send(place, pid, sent):
    """Send a run its signals inside its second step; return what came of it."""
    while not (place / "begun").exists():
        time.sleep(0.01)
    for what in sent:
        if isinstance(what, float):
            time.sleep(what)
        else:
            os.kill(pid if what > 0 else -pid, abs(what))
    (place / "go on").touch()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = (place / "said").read_text() if (place / "said").exists() else ""
    return {"code": code, "said": said, "steps": sorted(path.stem for path in (place / "run").glob("step-*"))}


def main(folder):
    """All runs, side by side."""
    make_first_state(torch.nn.Linear(2, 2))  # what the optimiser imports, once for all
    signal.signal(INT, signal.default_int_handler)
    places = [folder / name for name in SENT]
    for place in places:
        place.mkdir()
    pids = [start(place) for place in places]
    with ThreadPoolExecutor(len(SENT)) as pool:
        print(json.dumps(dict(zip(SENT, pool.map(send, places, pids, SENT.values()), strict=True))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
