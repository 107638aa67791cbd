"""A training run that may be killed at any moment: `fit` trains into a folder, and goes on from what it finds there.

    folder/step-000500.safetensors    a checkpoint; `runs.folder` says what is in it and why it can be trusted
    folder/metrics.jsonl              one line of JSON every few steps: step, loss, lr, images per second

The trainer needs no random state (see `trainer`), so a run that goes on is, bit for bit, the run that was never
stopped.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from ddpm_lite._check import check_whole, fail
from ddpm_lite.files.weights import write_whole
from ddpm_lite.runs.folder import (
    check_space,
    describe_run,
    explain_disk,
    lock_folder,
    name_step,
    parse_step,
    read_state,
    save_state,
    sweep_folder,
)
from ddpm_lite.schedule import Schedule
from ddpm_lite.trainer import Diverged, TrainConfig, TrainState, check_data, train


def fit(
    model: nn.Module,
    schedule: Schedule,
    images: Float[Tensor, "N C H W"] | UInt8[Tensor, "N C H W"] | UInt8[np.ndarray, "N C H W"],
    config: TrainConfig,
    folder: str | Path,
    *,
    labels: Int64[Tensor, "N"] | None = None,
    none: int | None = None,
    accelerator=None,
    every: int = 500,
    log: int = 10,
    progress: bool | None = None,
    tensorboard: bool = False,
    on_step: Callable[[TrainState], None] | None = None,
) -> TrainState:
    """Train into a folder; if it holds a checkpoint, go on from there (alg-training).

    SIGINT (Ctrl-C, the notebook's stop button) and SIGTERM let the step end, write a checkpoint, and stop the run; a
    second one stops it at once. With several processes the first writes the folder, and each reads it.

    Args:
        model, schedule, images, config, labels, none, accelerator: as in `train`.
        folder: of this run alone; made if it is not there.
        every: steps between two checkpoints, >= 1; the last step has one too.
        log: steps between two lines of metrics.jsonl, >= 1.
        progress: a bar; None shows one in a terminal and in a notebook. False where the output is stored.
        tensorboard: write the metrics for TensorBoard too.
        on_step: called after each step with its state.

    Returns:
        The last state.

    Raises:
        ValueError: what `train` refuses; a folder of another run, the first difference named; a folder that another
        process writes now, or whose checkpoints are all damaged. Diverged: a loss that is not finite; the line names
        the last checkpoint. OSError: the disk is full, or will be; what was written before is whole.
        KeyboardInterrupt, SystemExit: stopped by a signal, after a checkpoint.
    """
    check_whole("every", every, 1)
    check_whole("log", log, 1)
    check_data(images)
    folder, main = Path(folder), accelerator is None or accelerator.is_main_process
    about = describe_run(model, schedule, images, config, labels)
    with ExitStack() as stack:
        whole = []
        if main:
            stack.enter_context(lock_folder(folder))
            whole = sweep_folder(folder)
        step = add_over_processes(parse_step(whole[0]) if whole else 0, accelerator)
        if accelerator is not None:
            model.to(accelerator.device)
        state = read_state(folder, step, model, about) if step else None
        if config.steps < step:
            there = f"at least {step}, as {name_step(step)} is there"
            fail(ValueError, "steps", there, f"{config.steps}", "take another folder")
        if main:
            check_space(folder, model)
            with explain_disk(folder, whole):
                report = stack.enter_context(open_reports(folder, step, config, log, progress, tensorboard))
        asked = stack.enter_context(note_signals())
        states = train(model, schedule, images, config, labels=labels, none=none, accelerator=accelerator, start=state)
        while step < config.steps:
            try:
                state = next(states)
            except Diverged as error:
                if main:
                    last = f"the last checkpoint is {whole[0].stem}" if whole else "there is no checkpoint yet"
                    error.args = (f"{error}; {last}",)
                raise
            step = state.step
            if main:
                with explain_disk(folder, whole):
                    report(state)
            if on_step is not None:
                try:
                    on_step(state)
                except KeyboardInterrupt:
                    asked.append(signal.SIGINT)
            stop = add_over_processes(len(asked), accelerator) > 0
            if main and (stop or step % every == 0 or step == config.steps):
                whole = save_state(folder, state, schedule, about, whole)
            if stop:
                end_as_asked(asked[0] if asked else signal.SIGTERM, step)
        if accelerator is not None:
            accelerator.wait_for_everyone()
    return state


def add_over_processes(number: int, accelerator) -> int:
    """The sum over processes, so that all of them do the same."""
    if accelerator is None or accelerator.num_processes == 1:
        return number
    return int(accelerator.reduce(torch.tensor(number, device=accelerator.device), "sum"))


@contextmanager
def note_signals() -> Iterator[list[int]]:
    """The signals that asked to stop; they are noted, so that a step is never cut in half. A second one acts."""
    asked, earlier = [], {}

    def note(number, frame):
        asked.append(number)
        signal.signal(number, earlier[number])

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                earlier[number] = signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def end_as_asked(number: int, step: int) -> None:
    """End as the signal would have, now that the checkpoint is there."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt(f"stopped after step {step}; {name_step(step)} is written, and fit goes on from there")
    raise SystemExit(128 + number)


@contextmanager
def open_reports(
    folder: Path, step: int, config: TrainConfig, log: int, progress: bool | None, tensorboard: bool
) -> Iterator[Callable[[TrainState], None]]:
    """A function that reports a state: the file of metrics, the bar, and TensorBoard, each if wanted."""
    path = folder / "metrics.jsonl"
    truncate_metrics(path, step)
    with ExitStack() as stack:
        bar = open_bar(step, config.steps, folder.name) if is_watched(progress) else None
        board = open_board(folder) if tensorboard else None
        for opened in (bar, board):
            if opened is not None:
                stack.callback(opened.close)
        since = [step, time.perf_counter()]

        def report(state: TrainState) -> None:
            if bar is not None:
                bar.update()
            if state.step % log and state.step != config.steps:
                return
            now = time.perf_counter()
            rate = (state.step - since[0]) * config.batch_size / (now - since[1])
            since[:] = state.step, now
            line = {"step": state.step, "loss": state.loss, "lr": state.optimizer.param_groups[0]["lr"]}
            line["images_per_second"] = round(rate, 1)
            with open(path, "a", encoding="utf8") as file:
                file.write(json.dumps(line) + "\n")
            if bar is not None:
                bar.set_postfix(loss=f"{state.loss:.4f}")
            for key, value in line.items() if board is not None else ():
                if key != "step":
                    board.add_scalar(key, value, state.step)

        yield report


def truncate_metrics(path: Path, step: int) -> None:
    """Take off the lines after a step, which will be written again, and what a kill left half written."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    write_whole(path, "".join(kept).encode())


def is_watched(progress: bool | None) -> bool:
    """Whether somebody watches: a terminal, or a notebook."""
    if progress is not None:
        return progress
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")


def open_bar(step: int, steps: int, name: str):
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError('the bar needs tqdm: pip install "ddpm-lite[run]", or progress=False') from error
    return tqdm(total=steps, initial=step, desc=name)


def open_board(folder: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("tensorboard=True needs TensorBoard: pip install tensorboard") from error
    return SummaryWriter(folder / "tensorboard")
