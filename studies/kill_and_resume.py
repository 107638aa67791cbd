"""Kill a training run at random moments, resume it, and compare its end with an uninterrupted run.

    python studies/kill_and_resume.py                30 kills, at least 5 inside a save; a few minutes
    python studies/kill_and_resume.py --record       the same, recorded in book/results/kill-and-resume.json
    python studies/kill_and_resume.py --kills 6 --in-save 2 --steps 30 --fork

A kill is SIGKILL, which a process cannot handle. Kills inside a save happen at a chosen call of fsync, rename or
unlink, before or after it. The others happen at a random time, some of them while a checkpoint is being read. At the
end the SHA-256 of weights, average and moments, and every loss, must equal those of the uninterrupted run.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

PARTS = ("weights", "average", "moments")
RECORD = Path(__file__).resolve().parent.parent / "book" / "results" / "kill-and-resume.json"
CALLS_OF_A_SAVE = 4  # fsync: the file, the folder; rename: the new checkpoint; unlink: the one that is deleted
EVERY = 5


def train(folder, steps, started=None, die_at=0):
    """Train on small digits with dropout and flips, in one process; `die_at` counts calls from the first step."""
    import torch

    from ddpm_lite import TrainConfig, UNet, UNetConfig, fit, linear_schedule, load_digits

    warnings.simplefilter("error")  # such as a warning of a damaged checkpoint
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = UNet(UNetConfig(8, 1, (8, 16), blocks=1, attention_levels=(1,), dropout=0.1))
    config = TrainConfig(steps=steps, batch_size=32, lr=4e-3, warmup=20, flip=True)
    calls = [0]

    def killing(call):
        def counted(*arguments):
            calls[0] += bool(started and started.exists())
            if die_at and calls[0] == die_at // 2:  # an even number: before the call, an odd one: after it
                if die_at % 2:
                    call(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)

        return counted

    os.fsync, os.replace, os.unlink = killing(os.fsync), killing(os.replace), killing(os.unlink)
    fit(
        model,
        linear_schedule(),
        load_digits("train")[0],
        config,
        folder,
        every=EVERY,
        log=1,
        progress=False,
        on_step=lambda state: started and started.touch(),
    )


def start(arguments, fork):
    """Start the training in its own process, new or, to save the imports, forked; return the process id."""
    if not fork:
        command = [sys.executable, __file__, "--life", *map(str, arguments)]
        return subprocess.Popen(command).pid
    pid = os.fork()
    if pid == 0:
        try:
            train(*arguments)
            os._exit(0)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
    return pid


def ended(pid):
    """Wait for the end of a process; return its exit code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def running(pid):
    """Say whether a process still runs, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def result(folder, steps):
    """Return what has to be equal: the three SHA-256, and one loss for each step."""
    from safetensors.torch import load_file

    tensors = load_file(folder / f"step-{steps:06d}.safetensors")
    hashes = []
    for part in PARTS:
        content = [(name, value.numpy().tobytes()) for name, value in sorted(tensors.items()) if name.startswith(part)]
        hashes.append(hashlib.sha256(repr(content).encode()).hexdigest())
    lines = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf8").splitlines())
    return hashes, [(line["step"], line["loss"]) for line in lines]


def kill(folder, steps, kills, in_save, seed, fork):
    """Start and kill processes until there were enough kills; return the number of each kind."""
    dice, count = random.Random(seed), {"at a random moment": 0, "inside a save": 0}
    started, begin = folder.with_name("started"), time.monotonic()
    whole = start((folder.with_name("whole"), steps, started, 0), fork)
    while not started.exists() and running(whole):
        time.sleep(0.01)
    startup, begin = time.monotonic() - begin, time.monotonic()
    if ended(whole) != 0:
        raise SystemExit("the run that nobody killed failed")
    pace = (time.monotonic() - begin) / steps
    for number in range(kills):
        started.unlink(missing_ok=True)
        die_at = dice.randint(2, 2 * CALLS_OF_A_SAVE + 1) if number % (kills // in_save) == 0 else 0
        pid = start((folder, steps, started, die_at), fork)
        if die_at:
            code, kind = ended(pid), "inside a save"
        else:
            if dice.random() < 0.8:  # in the training, after half of its share of the steps left on average
                while not started.exists() and running(pid):
                    time.sleep(0.002)
                left = steps - max((int(path.stem[5:]) for path in folder.glob("step-*")), default=0)
                time.sleep(dice.uniform(0, pace * left / (kills - number)))
            else:
                time.sleep(dice.uniform(0, startup))
            os.kill(pid, signal.SIGKILL)
            code, kind = ended(pid), "at a random moment"
        if code != -signal.SIGKILL:
            raise SystemExit(f"after {number} kills the run ended by itself, with code {code}: give it more steps")
        count[kind] += 1
        print(f"kill {number + 1} of {kills}, {kind}: {sorted(p.name for p in folder.glob('*step-*'))}", flush=True)
    started.unlink(missing_ok=True)
    if ended(start((folder, steps, started, 0), fork)) != 0:
        raise SystemExit("the last life failed")
    return count


def write_record(options, **found):
    """Write the result, with the machine and the command."""
    import train_digits  # imported here, because each process runs this file and does not need it

    record = train_digits.circumstances(" ".join(["kill_and_resume.py", *sys.argv[1:]]))
    record |= {"seed": options.seed, "steps": options.steps} | found
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"wrote {RECORD.relative_to(RECORD.parents[2])}")


def main():
    """Kill, compare, print the counts; return 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--in-save", type=int, default=6)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fork", action="store_true", help="fork each life from here, to save the imports")
    parser.add_argument("--record", action="store_true", help="write down the count and the SHA-256")
    parser.add_argument("--life", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.life:
        folder, steps, started, die_at = options.life
        return train(Path(folder), int(steps), Path(started), int(die_at))
    if options.fork:
        import torch

        from ddpm_lite import load_digits
        from ddpm_lite.trainer import make_first_state

        load_digits()
        make_first_state(torch.nn.Linear(1, 1))  # imports what the optimiser needs, once for all forks
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
        count = kill(killed, options.steps, options.kills, options.in_save, options.seed, options.fork)
        (expected, losses), (found, found_losses) = result(whole, options.steps), result(killed, options.steps)
        left = sorted(path.name for path in killed.iterdir())
    for name, one, other in zip(PARTS, expected, found, strict=True):
        print(
            f"{name}: {one[:16]}... never stopped, {other[:16]}... killed: {'equal' if one == other else 'DIFFERENT'}"
        )
    same = expected == found and losses == found_losses and len(losses) == options.steps
    said, seconds = ", ".join(f"{number} {kind}" for kind, number in count.items()), time.monotonic() - begin
    print(f"{sum(count.values())} kills ({said}) in {options.steps} steps, {seconds:.0f} s; left: {left}")
    if options.record:
        hashes = {name: {"never stopped": a, "killed": b} for name, a, b in zip(PARTS, expected, found, strict=True)}
        equal = {"sha256": hashes, "the losses are equal": losses == found_losses}
        write_record(options, seconds=round(seconds, 1), kills=count, **equal)
    print("the run that was killed is the run that was never stopped" if same else "THE RUNS DIFFER")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
