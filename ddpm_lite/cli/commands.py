"""Train, sample, evaluate and examine diffusion models, check a machine, and verify checkpoints.

Examples:

    python -m ddpm_lite train digits --out runs/digits
    python -m ddpm_lite sample runs/digits --label 3 7 --out grid.png
    python -m ddpm_lite train shapes --size 32
    python -m ddpm_lite sample digits-by-label --label 3 --steps 50 --sampler ddim --out grid.png
    python -m ddpm_lite export-page digits --out digits.js
    python -m ddpm_lite evaluate digits-by-label --count 500 --out digits-by-label.json
    python -m ddpm_lite examine runs/digits
    python -m ddpm_lite doctor
    python -m ddpm_lite verify runs/digits
    accelerate launch -m ddpm_lite train cifar10 --out runs/cifar10

Errors are reported in one line, with exit code 2 for a wrong value and 1 for anything else.
"""

import contextlib
import io
import json
import os
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch

from ddpm_lite._check import check_real, check_whole, fail
from ddpm_lite.cli import pictures
from ddpm_lite.cli.checks import check_files, check_place, check_seeds, number_labels
from ddpm_lite.cli.examine import examine_model
from ddpm_lite.cli.options import (
    Doctor,
    Evaluate,
    Examine,
    ExportPage,
    Sample,
    Train,
    TrainFolder,
    Verify,
    name_program,
    parse_arguments,
    write_command,
)
from ddpm_lite.condition import ConditionalUNet, ZModel, guided, in_parts
from ddpm_lite.data import images_from_folder, open_pictures
from ddpm_lite.files import weights
from ddpm_lite.runs.fit import fit
from ddpm_lite.runs.folder import find_checkpoints
from ddpm_lite.runs.models import open_model, read_words
from ddpm_lite.runs.presets import PRESETS, network
from ddpm_lite.sampler import STEPS, last, sample
from ddpm_lite.schedule import linear_schedule, respace
from ddpm_lite.trainer import Diverged, TrainState

AT_ONCE = 250  # images that a network evaluates at a time


def main(argv: list[str] | None = None) -> int:
    """Run one command, and return its exit code."""
    try:
        asked = parse_arguments(sys.argv[1:] if argv is None else argv, __doc__)
        with warnings.catch_warnings():
            warnings.simplefilter("default", UserWarning)
            warnings.showwarning = lambda message, *rest, **options: _say(f"warning: {message}")
            return RUN[type(asked)](asked)
    except KeyboardInterrupt as error:
        _say(str(error) or "stopped")
        return 130
    except Exception as error:
        if sys.flags.dev_mode:  # python -X dev -m ddpm_lite ... shows the traceback
            raise
        wrong_value = isinstance(error, ValueError | TypeError | FileNotFoundError)
        known = wrong_value or isinstance(error, OSError | ImportError | Diverged | torch.OutOfMemoryError)
        _say(f"{error}" if known else f"{type(error).__name__}: {error}")
        return 2 if wrong_value else 1


def _leave_busy_cores() -> None:
    """Use only as many threads as there are idle cores, unless $OMP_NUM_THREADS sets the number.

    OpenMP's threads wait for each other in busy loops, so if one of them has to share its core, all the others wait.
    """
    if "OMP_NUM_THREADS" in os.environ or not hasattr(os, "getloadavg"):
        return
    busy = os.getloadavg()[0]  # the mean over a minute; on Linux also the present number, without this program
    with contextlib.suppress(OSError, ValueError, IndexError):
        busy = min(busy, int(Path("/proc/loadavg").read_text().split()[3].split("/")[0]) - 1)
    cores = torch.get_num_threads()
    if (free := max(1, round(cores - busy))) < cores:
        torch.set_num_threads(free)


def _say(text: str) -> None:
    """Print a message to stderr in one line."""
    print(" ".join(text.split()), file=sys.stderr, flush=True)


def _train(asked: Train | TrainFolder) -> int:
    accelerator = _make_accelerator(asked)
    device = _choose_device(asked.device) if accelerator is None else accelerator.device
    main = accelerator is None or accelerator.is_main_process
    images: torch.Tensor | np.ndarray
    labels: torch.Tensor | None
    with contextlib.nullcontext() if accelerator is None else accelerator.main_process_first():
        # The first process downloads the data or converts the pictures, and the others read the result.
        if isinstance(asked, TrainFolder):
            asked, images, labels, words = _load_pictures(asked, main)
        else:
            words = PRESETS[asked.preset].words
            images, labels = PRESETS[asked.preset].load(asked.data)
    channels, size = images.shape[1:3]
    for field, value in (("in_channels", channels), ("sample_size", size)):
        if getattr(asked.unet, field) != value:
            flag = f"--unet.{field.replace('_', '-')}"
            fail(
                ValueError, flag, f"{value}, the value of the images of {asked.preset}", f"{getattr(asked.unet, field)}"
            )
    torch.manual_seed(asked.config.seed)
    model = network(asked.unet, len(words), asked.tokens).to(device)
    labels, none = (labels, model.none) if isinstance(model, ConditionalUNet) else (None, None)
    if main:
        parameters = sum(p.numel() for p in model.parameters())
        print(f"{asked.preset}: {len(images):,} images, {parameters:,} parameters, on {device}", flush=True)

    def note(state: TrainState) -> None:
        if main and not (asked.out / "preset.json").exists():
            text = json.dumps({"preset": asked.preset, "words": words}) + "\n"
            weights.write_whole(asked.out / "preset.json", text.encode())

    start = time.perf_counter()
    state = fit(
        model,
        linear_schedule(),
        images,
        asked.config,
        asked.out,
        labels=labels,
        none=none,
        accelerator=accelerator,
        start_from=asked.start_from,
        every=asked.every,
        tensorboard=asked.tensorboard,
        on_step=note,
    )
    if main:
        print(f"step {state.step}, loss {state.loss:.4f}, {time.perf_counter() - start:.0f} s; sample with:")
        print(f"{name_program()} sample {shlex.quote(str(asked.out))}" + (" --label all" if none is not None else ""))
    return 0


def _load_pictures(asked: TrainFolder, main: bool) -> tuple[Train, np.ndarray, torch.Tensor | None, tuple[str, ...]]:
    """Convert the pictures; return complete options, the pictures, their labels, and the names of the labels."""
    name = Path(os.path.abspath(asked.folder)).name
    out = Path("runs") / name if asked.out is None else asked.out
    file = out / "pictures.npy"
    if main:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail(ValueError, "--out", "a folder to write to", f"{str(out)!r} ({error.strerror})")
        images_from_folder(
            asked.folder,
            asked.size,
            file=file,
            channels=1 if asked.grey else 3,
            crop=asked.crop,
            background=asked.background,
            skip_broken=asked.skip_broken,
            watch=lambda paths: _show_progress(iter(paths), len(paths)),
        )
    images, labels, words, *_ = open_pictures(file)
    context_dim = asked.unet.context_dim if words else None
    unet = replace(asked.unet, sample_size=asked.size, in_channels=images.shape[1], context_dim=context_dim)
    if main:
        print(f"labels: {', '.join(words)}" if words else "no labels: the pictures are not in two or more subfolders")
    known = {field.name: getattr(asked, field.name) for field in fields(Train)}
    return Train(**known | {"preset": name, "unet": unet, "out": out}), images, labels, words


def _make_accelerator(asked: Train | TrainFolder):
    """Make an Accelerator if several processes were launched."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ImportError('several processes need accelerate: pip install "ddpm-lite[run]"') from error
    if asked.device not in ("auto", "cpu"):
        fail(ValueError, "--device", "auto or cpu with several processes, one device each", f"{asked.device!r}")
    on_cpu = asked.device == "cpu" or not torch.cuda.is_available()
    return Accelerator(mixed_precision=asked.config.mixed_precision, cpu=on_cpu)


def _choose_device(name: str) -> torch.device:
    """Choose a device, and check that it works."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and torch.backends.mps.is_available():
            _say("auto: cpu, because Apple's GPU is untested; --device mps uses it, doctor --device mps compares")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        fail(ValueError, "--device", "auto, or a device that torch can use here, such as cpu or cuda", f"{name!r}")
    return device


def _sample(asked: Sample) -> int:
    check_files(asked)
    check_whole("--count", asked.count, 1, 10_000)
    check_real("--scale", asked.scale, -100, 100)
    device = _choose_device(asked.device)
    model, schedule = open_model(asked.model)
    words = read_words(asked.model)
    model, network = model.to(device), weights.find_network(model)
    config = weights.get_unet(network).config
    if config.in_channels not in (1, 3):
        fail(ValueError, "model", "a model of grey or coloured images", f"{config.in_channels} channels")
    check_whole("--steps", asked.steps, 1, schedule.T)
    numbers = number_labels(asked.label, network, words)
    if not numbers and (asked.scale or asked.captions):
        flag = "--scale" if asked.scale else "--captions"
        fail(ValueError, flag, "a --label to guide to" if asked.scale else "a --label to write", "none", "add --label")
    context = torch.tensor(numbers, device=device).repeat_interleave(asked.count) if numbers else None
    draw: Callable[..., torch.Tensor] = model
    if asked.scale and isinstance(model, ConditionalUNet):
        draw = guided(model, asked.scale, model.none)
    shape = (asked.count * max(1, len(numbers)), config.in_channels, config.sample_size, config.sample_size)
    seed = check_seeds("--seed", asked.seed, shape[0])
    draw = in_parts(draw, AT_ONCE) if shape[0] > AT_ONCE else draw  # to save memory
    short = schedule if asked.steps == schedule.T else respace(schedule, asked.steps)
    start, columns = time.perf_counter(), asked.count if numbers else pictures.COLUMNS
    pages: list[np.ndarray] = []
    states = _show_progress(
        sample(draw, short, shape, step=STEPS[asked.sampler], seed=seed, context=context), short.T + 1
    )
    if asked.animate is not None:
        shown = pictures.choose_frames(short.T + 1)
        states = pictures.keep_pages(states, shown, columns, pages)
    _, x_0 = last(states)
    named = [words[n] if n < len(words) else str(n) for n in numbers]
    pictures.write_images(asked, x_0, columns, pages, named)
    seconds = time.perf_counter() - start
    print(f"{asked.out}: {shape[0]} images, {asked.steps} steps of {asked.sampler}, {seconds:.1f} s on {device}")
    return 0


def _show_progress(states: Iterator, total: int) -> Iterator:
    """Show a progress bar in a terminal while the states are consumed."""
    if sys.stderr is None or not sys.stderr.isatty():
        return states
    from tqdm import tqdm

    return tqdm(states, total=total, leave=False)


def _export_page(asked: ExportPage) -> int:
    from ddpm_lite.viz.export_page import export_page

    if asked.out.suffix != ".js":
        fail(ValueError, "--out", "a name that ends in .js", f"{str(asked.out)!r}")
    check_place("--out", asked.out)
    model, schedule = open_model(asked.model)
    if isinstance(model, ZModel):
        fail(
            ValueError,
            "model",
            "a model whose network predicts z, the only kind that pages support",
            f"{model.predicts}",
        )
    script = export_page(asked.out.stem, model, schedule)
    weights.write_whole(asked.out, script.encode("ascii"))
    parameters = sum(weight.numel() for weight in model.parameters())
    print(f"{asked.out}: {parameters:,} weights in {len(script):,} bytes")
    return 0


def _evaluate(asked: Evaluate) -> int:
    from ddpm_lite.cli.report import describe_circumstances, report, write_table

    if asked.out is not None and asked.out.suffix != ".json":
        fail(ValueError, "--out", "a name that ends in .json", f"{str(asked.out)!r}")
    check_place("--out", asked.out)
    check_real("--scale", asked.scale, -100, 100)
    sampler = asked.sampler or ("ddim" if asked.eta else "ddpm")
    if asked.eta and sampler != "ddim":
        fail(ValueError, "--eta", f"0 with --sampler {sampler}; it is an option of ddim", f"{asked.eta:g}")
    for seed in asked.seeds or ("none",):
        check_whole("--seeds", seed, 0, 2**31 - 1)
    eta, device = check_real("--eta", asked.eta, 0, 1), _choose_device(asked.device)
    model, schedule = open_model(asked.model)
    check_whole("--steps", asked.steps, 1, schedule.T)
    step = partial(STEPS[sampler], eta=eta) if eta else STEPS[sampler]
    walk = schedule if asked.steps == schedule.T else respace(schedule, asked.steps)
    model, count, seeds = model.to(device), asked.count, asked.seeds
    found = report(model, walk, step, count, seeds, scale=asked.scale, folder=asked.data, watch=_show_progress)
    print(write_table(found))
    if asked.out is not None:
        how = {name: getattr(asked, name) for name in ("model", "steps", "eta", "scale")} | {"sampler": sampler}
        record = {"command": write_command(asked)} | describe_circumstances(device) | how | found
        weights.write_whole(asked.out, (json.dumps(record, indent=1) + "\n").encode())
        print(f"wrote {asked.out}")
    return 0


def _doctor(asked: Doctor) -> int:
    from ddpm_lite.cli.doctor import check_machine

    well = True
    for fine, what, found in check_machine(_choose_device(asked.device), Path.cwd()):
        print(f"{'' if fine else 'WRONG: '}{what:<13}{found}", flush=True)
        well = well and fine
    return 0 if well else 1


def _verify(asked: Verify) -> int:
    if not asked.folder.is_dir():
        fail(FileNotFoundError, "folder", "a folder that train wrote", f"{str(asked.folder)!r}")
    found = find_checkpoints(asked.folder)
    for path, problem in found.items():
        print(f"{path}: damaged: {problem}" if problem else f"{path}: undamaged")
    if not found:
        print(f"{asked.folder}: no checkpoint", file=sys.stderr)
    return 0 if found and not any(found.values()) else 1


RUN: dict[type, Callable[..., int]] = {Train: _train, TrainFolder: _train, Sample: _sample, Evaluate: _evaluate}
RUN |= {ExportPage: _export_page, Examine: examine_model, Doctor: _doctor, Verify: _verify}


def start() -> NoReturn:
    """Run the command line; the entry point of `python -m ddpm_lite` and `ddpm-lite`."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # another program may have replaced it; on Windows it may be None
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a folder's name may have characters that the terminal cannot show
    _leave_busy_cores()
    sys.exit(main())
