"""A training run that may be killed at any moment: `fit` trains into a folder, and goes on from what it finds there.

    folder/step-000500.safetensors    a checkpoint; `runs.folder` says what is in it and why it can be trusted
    folder/metrics.jsonl              one line of JSON every few steps: step, loss, lr, images per second

The trainer needs no random state (see `trainer`), so a run that goes on is, bit for bit, the run that was never
stopped.
"""

import json
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from ddpm_lite._check import Whole, check_whole, fail, to_path, unwrap
from ddpm_lite.data import Images, TrainingImages, check_labels
from ddpm_lite.files.weights import write_whole
from ddpm_lite.runs.folder import (
    check_space,
    describe_run,
    explain_disk,
    find_start,
    keep_known,
    lock_folder,
    name_step,
    parse_step,
    read_known,
    read_state,
    read_weights,
    save_state,
    sweep_folder,
)
from ddpm_lite.schedule import Schedule
from ddpm_lite.trainer import Diverged, TrainConfig, TrainState, check_run, train


def fit(
    model: nn.Module,
    schedule: Schedule,
    images: Images | TrainingImages,
    config: TrainConfig,
    folder: str | Path,
    *,
    labels: Int64[Tensor, "N"] | np.ndarray | Sequence | None = None,
    none: Whole | None = None,
    accelerator=None,
    weight: Callable[[Schedule], Tensor] | None = None,
    lr: Callable[[int], float] | None = None,
    start_from: str | Path | None = None,
    every: Whole = 500,
    log: Whole = 10,
    progress: bool | None = None,
    tensorboard: bool = False,
    on_step: Callable[[TrainState], None] | None = None,
) -> TrainState:
    """Train into a folder; if it holds a checkpoint, go on from there (alg-training).

    SIGINT (Ctrl-C, the notebook's stop button) and SIGTERM let the step end, write a checkpoint, and stop the run; a
    second one stops it at once. With several processes the first writes the folder, and each reads it. A run goes on
    to the same weights, bit for bit, so it must have the same images: every byte of them is compared, by a SHA-256.
    That of a memory map is kept in the folder and computed again when the file has another size or time; of a Dataset
    64 images are compared.

    Args:
        model, schedule, images, config, labels, none, accelerator, weight, lr: as in `train`.
        folder: of this run alone; made if it is not there.
        start_from: the folder of another run, or one of its checkpoints: this run begins with the weights and the
            average from there, and everything else is new. The checkpoints say so, and a run that goes on ignores it.
        every: steps between two checkpoints, >= 1; the last step has one too.
        log: steps between two lines of metrics.jsonl, >= 1.
        progress: a bar; None shows one in a terminal and in a notebook. False where the output is stored.
        tensorboard: write the metrics for TensorBoard too.
        on_step: called after each step with its state.

    Returns:
        The last state.

    Raises:
        ValueError, TypeError: what `train` refuses; a folder of another run, the first difference named; a folder that
        another process writes now, or whose checkpoints are all damaged. Diverged: a loss that is not finite; the line
        says from where to start again. OSError: the disk is full, or will be; what was written before is whole.
        KeyboardInterrupt, SystemExit: stopped by a signal, after a checkpoint.
    """
    check_run(model, schedule, config, None)
    every, log = check_whole("every", every, 1), check_whole("log", log, 1)
    images = images if isinstance(images, TrainingImages) else TrainingImages(images)
    labels = None if labels is None else check_labels(labels, images.N, none, config.label_dropout)
    folder, main, network = to_path("folder", folder), accelerator is None or accelerator.is_main_process, unwrap(model)
    options = {"labels": labels, "none": none, "accelerator": accelerator, "weight": weight, "lr": lr}
    origin, start = find_start(start_from, folder) if start_from is not None else (None, {})
    with ExitStack() as stack:
        if main:
            stack.enter_context(lock_folder(folder))
        whole = sweep_folder(folder) if main else []
        step = add_over_processes(parse_step(whole[0]) if whole else 0, accelerator)
        if accelerator is not None:
            network.to(accelerator.device)
        known = read_known(folder, images)
        about = describe_run(network, schedule, images, config, labels, weight, lr, known) | {"start": start}
        state = read_state(folder, step, network, about) if step else None
        if not step and origin is not None:
            state = read_weights(origin, network)[0]
        check_steps(config, step)
        if main:
            check_space(folder, network)
            with explain_disk(folder, whole):
                keep_known(folder, images, about)
                report = stack.enter_context(open_reports(folder, step, config, log, progress, tensorboard))
        asked = stack.enter_context(note_signals())
        states = train(model, schedule, images, config, start=state, **options)
        while step < config.steps:
            with name_last_checkpoint(folder, whole) if main else nullcontext():
                state = next(states)
            step = state.step
            if main:
                with explain_disk(folder, whole):
                    report(state)
            call_back(on_step, state, asked)
            stop = add_over_processes(len(asked), accelerator) > 0
            if main and (stop or step % every == 0 or step == config.steps):
                whole = save_state(folder, state, schedule, about, whole)
            if stop:
                end_as_asked(asked[0] if asked else signal.SIGTERM, step)
        if accelerator is not None:
            accelerator.wait_for_everyone()
    assert state is not None  # config.steps >= 1, so one was read or made
    return state


def check_steps(config: TrainConfig, step: int) -> None:
    """The run is to go at least as far as it has come."""
    if config.steps < step:
        there = f"at least {step}, as {name_step(step)} is there"
        fail(ValueError, "steps", there, f"{config.steps}", "take another folder")


def call_back(on_step: Callable[[TrainState], None] | None, state: TrainState, asked: list[int]) -> None:
    """Hand a state to the user's function; Ctrl-C there stops the run after a checkpoint, as elsewhere."""
    try:
        if on_step is not None:
            on_step(state)
    except KeyboardInterrupt:
        asked.append(signal.SIGINT)


@contextmanager
def name_last_checkpoint(folder: Path, whole: list[Path]) -> Iterator[None]:
    """Let the line of a loss that is not finite say where to start again, with other settings, in another folder."""
    try:
        yield
    except Diverged as error:
        advice = "there is no checkpoint yet, so the same folder can be used"
        if whole:
            path = str(folder)
            advice = f"the last checkpoint is {whole[0].stem}: go on from it in another folder with start_from={path!r}"
            advice += f" (--start-from {shlex.quote(path)})"
        error.args = (f"{error}; {advice}",)
        raise


def add_over_processes(number: int, accelerator) -> int:
    """The sum over processes, so that all of them do the same."""
    if accelerator is None or accelerator.num_processes == 1:
        return number
    return int(accelerator.reduce(torch.tensor(number, device=accelerator.device), "sum"))


@contextmanager
def note_signals() -> Iterator[list[int]]:
    """The signals that asked to stop; they are noted, so that a step is never cut in half. A second one acts."""
    asked: list[int] = []
    earlier: dict[int, Callable | int | None] = {}

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
        for caught, handler in earlier.items():
            signal.signal(caught, handler)


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
            if board is not None:
                for key, value in line.items():
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
