"""A training run that may be killed at any moment: `fit` trains into a folder, and resumes from its checkpoints.

    folder/step-000500.safetensors    a checkpoint; `runs.folder` describes its contents and its check
    folder/metrics.jsonl              one line of JSON every few steps: step, loss, lr, images per second

The trainer needs no random state (see `trainer`), so a resumed run reaches, bit for bit, the weights of a run that was
never stopped.
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

from ddpm_lite._check import (
    Whole,
    check_bool,
    check_call,
    check_processes,
    check_rate,
    check_whole,
    fail,
    to_path,
    unwrap,
)
from ddpm_lite.data import Images, TrainingImages, check_labels
from ddpm_lite.files.weights import write_whole
from ddpm_lite.runs.folder import (
    check_space,
    explain_disk,
    find_start,
    lock_folder,
    name_step,
    parse_step,
    read_state,
    read_weights,
    save_state,
    sweep_folder,
)
from ddpm_lite.runs.identity import describe_run, keep_known
from ddpm_lite.schedule import Schedule
from ddpm_lite.trainer import Diverged, TrainConfig, TrainState, check_run, train

ONE_REQUEST = 1.0  # s; `timeout` and job managers signal a process and then its group, which is one request to stop


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
    """Train into a folder; if it has a checkpoint, resume from there (alg-training).

    On SIGINT (Ctrl-C, the notebook's stop button) and SIGTERM, the run finishes its step, writes a checkpoint and
    stops; another signal, more than a second later, stops it at once. With several processes, the first writes the
    folder, and all of them read it. A resumed run reaches the same weights, bit for bit, so it needs the same images,
    which are compared by the SHA-256 of all bytes. For a memory map this is stored in the folder, and computed again if
    the file has another size or time; for a Dataset, 64 images are compared.

    Args:
        model, schedule, images, config, labels, none, accelerator, weight, lr: as in `train`.
        folder: the folder of this run only; created if it does not exist.
        start_from: the folder of another run, or one of its checkpoints. This run begins with the weights and the
            average from there, and everything else is new. The checkpoints record this; a resumed run ignores it.
        every: steps between two checkpoints, >= 1; there is also one after the last step.
        log: steps between two lines of metrics.jsonl, >= 1.
        progress: show a progress bar; None shows one in a terminal and in a notebook. Use False if the output is
            stored.
        tensorboard: also write the metrics for TensorBoard.
        on_step: called after each step with its state.

    Returns:
        The last state.

    Raises:
        ValueError, TypeError: what `train` refuses; the folder of another run, with the first difference named; a
        folder that another process is writing, or whose checkpoints are all damaged. Diverged: a loss that is not
        finite; the message says from which checkpoint to start again. OSError: the disk is full, or will be; earlier
        checkpoints are not damaged. KeyboardInterrupt, SystemExit: stopped by a signal, after a checkpoint.
    """
    check_run(model, schedule, config, None)
    check_processes(config, accelerator)
    rate = check_rate(lr)
    every, log, progress, tensorboard = check_reports(every, log, progress, tensorboard, on_step)
    images = images if isinstance(images, TrainingImages) else TrainingImages(images)
    labels = None if labels is None else check_labels(labels, images.N, none, config.label_dropout)
    folder, main, network = to_path("folder", folder), accelerator is None or accelerator.is_main_process, unwrap(model)
    options = {"labels": labels, "none": none, "accelerator": accelerator, "weight": weight, "lr": lr}
    origin, start = find_start(start_from, folder) if start_from is not None else (None, {})
    with ExitStack() as stack:
        stack.enter_context(lock_folder(folder) if main else nullcontext())
        whole = sweep_folder(folder) if main else []
        step = add_over_processes(parse_step(whole[0]) if whole else 0, accelerator)
        if accelerator is not None:
            network.to(accelerator.device)
        about = describe_run(network, schedule, images, config, labels, weight, rate, folder) | {"start": start}
        state = choose_start(folder, step, network, about, origin, config)
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
                end_as_asked(asked, step)
        if accelerator is not None:
            accelerator.wait_for_everyone()
    assert state is not None  # config.steps >= 1, so one was read or made
    return state


def check_reports(
    every: object, log: object, progress: object, tensorboard: object, on_step: object
) -> tuple[int, int, bool | None, bool]:
    """Check when a run writes a checkpoint and a line, and whom it tells; return all but the last."""
    if on_step is not None:
        check_call("on_step", on_step, "(state) -> None")
    shown = None if progress is None else check_bool("progress", progress)
    return check_whole("every", every, 1), check_whole("log", log, 1), shown, check_bool("tensorboard", tensorboard)


def choose_start(
    folder: Path, step: int, network: nn.Module, about: dict, origin: Path | None, config: TrainConfig
) -> TrainState | None:
    """Read the state of the last step of this run; before its first step, that of another run, if there is one.

    Raises:
        ValueError: the config has fewer steps than the run has already taken.
    """
    if not step:
        return None if origin is None else read_weights(origin, network)[0]
    state = read_state(folder, step, network, about)
    if config.steps < step:
        there = f"at least {step}, because the folder has {name_step(step)}"
        fail(ValueError, "steps", there, f"{config.steps}", "choose another folder")
    return state


def call_back(on_step: Callable[[TrainState], None] | None, state: TrainState, asked: list[int]) -> None:
    """Pass a state to the user's function; Ctrl-C there stops the run after a checkpoint, as elsewhere."""
    try:
        if on_step is not None:
            on_step(state)
    except KeyboardInterrupt:
        asked.append(signal.SIGINT)


@contextmanager
def name_last_checkpoint(folder: Path, whole: list[Path]) -> Iterator[None]:
    """Add to the message of a loss that is not finite how to start again, with other settings, in another folder."""
    try:
        yield
    except Diverged as error:
        advice = "there is no checkpoint yet, so the same folder can be used"
        if whole:
            path = str(folder)
            advice = (
                f"the last checkpoint is {whole[0].stem}: continue from it in another folder with start_from={path!r}"
            )
            advice += f" (--start-from {shlex.quote(path)})"
        error.args = (f"{error}; {advice}",)
        raise


def add_over_processes(number: int, accelerator) -> int:
    """Sum a number over all processes, so that they take the same decision."""
    if accelerator is None or accelerator.num_processes == 1:
        return number
    return int(accelerator.reduce(torch.tensor(number, device=accelerator.device), "sum"))


@contextmanager
def note_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list, so that a step is always finished; one after `ONE_REQUEST` acts at once."""
    asked: list[int] = []
    earlier: dict[int, Callable | int | None] = {}
    first = time.monotonic()

    def note(number, frame):
        nonlocal first
        now = time.monotonic()
        first = first if asked else now
        asked.append(number)
        if now - first > ONE_REQUEST:
            for caught, handler in earlier.items():
                signal.signal(caught, handler)
            signal.raise_signal(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                earlier[number] = signal.signal(number, note)
    try:
        yield asked
    finally:
        for caught, handler in earlier.items():
            signal.signal(caught, handler)


def end_as_asked(asked: list[int], step: int) -> None:
    """End the process as the first signal would have, after the checkpoint was written; other processes end too."""
    number = asked[0] if asked else signal.SIGTERM
    if number == signal.SIGINT:
        raise KeyboardInterrupt(f"stopped after step {step}; {name_step(step)} is written, and fit resumes from there")
    raise SystemExit(128 + number)


@contextmanager
def open_reports(
    folder: Path, step: int, config: TrainConfig, log: int, progress: bool | None, tensorboard: bool
) -> Iterator[Callable[[TrainState], None]]:
    """Yield a function that reports a state to metrics.jsonl, and to the progress bar and TensorBoard if requested."""
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
    """Remove the lines after a step, which will be written again, and a line that a kill left incomplete."""
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
    """Say whether to show a progress bar: in a terminal or a notebook, unless `progress` is given."""
    if progress is not None:
        return progress
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return sys.stderr.isatty() or hasattr(shell, "kernel")


def open_bar(step: int, steps: int, name: str):
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError('the progress bar needs tqdm: pip install "ddpm-lite[run]", or use progress=False') from error
    return tqdm(total=steps, initial=step, desc=name)


def open_board(folder: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ImportError("tensorboard=True needs TensorBoard: pip install tensorboard") from error
    return SummaryWriter(folder / "tensorboard")
