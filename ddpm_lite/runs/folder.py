"""The folder of a run: checkpoints that are written atomically and belong to one run.

    folder/step-000500.safetensors    the weights, their average and Adam's moments; the header describes the run

A checkpoint is written under a name that begins with a dot, flushed to the disk, and only then renamed. Its header has
the SHA-256 of the whole file, which is checked before any use. The last two checkpoints are kept; an older one is
deleted after the newest has been read back. Only safetensors is read, so opening a folder cannot run code.
"""

import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ddpm_lite._check import fail, to_path
from ddpm_lite.files.records import find_version
from ddpm_lite.files.weights import (
    AVERAGE,
    check_seal,
    check_tensors,
    describe_network,
    open_whole,
    write_tensors,
)
from ddpm_lite.runs.identity import check_same
from ddpm_lite.schedule import Schedule
from ddpm_lite.trainer import TrainState, make_first_state

KEEP = 2
WEIGHTS, MOMENTS = "weights/", "moments/"  # prefixes of the tensors in a checkpoint, besides AVERAGE
OF_ADAM = ("step", "exp_avg", "exp_avg_sq")  # Adam's state of each parameter


def verify(folder: str | Path) -> Path:
    """Find the newest checkpoint that is undamaged, by comparing every byte with its SHA-256.

    Args:
        folder: a run's folder.

    Returns:
        The file, whose average `weights.load` opens. If a newer one is damaged, a warning names it and says what to do.

    Raises:
        FileNotFoundError: no checkpoint. ValueError: all are damaged, or an earlier version wrote them.
    """
    folder = to_path("folder", folder)
    found = find_checkpoints(folder)
    if not found:
        fail(FileNotFoundError, "folder", "a run with a checkpoint", f"{str(folder)!r}, which has none")
    return _choose_whole(folder, found)[0]


def find_checkpoints(folder: str | Path) -> dict[Path, str]:
    """Find the checkpoints of a run, the newest first, each with a description of its damage or "".

    Args:
        folder: a run's folder.

    Raises:
        ValueError: an earlier version of this package wrote the folder.
    """
    paths = [path for path in Path(folder).glob("step-*") if re.fullmatch("step-[0-9]{6,18}", path.stem)]
    found = {}
    for path in sorted(paths, key=parse_step, reverse=True):
        if path.is_dir():
            got = f"{path.name!r} in {str(folder)!r}, a folder that an earlier version wrote"
            advice = "choose another folder, or open its ema.safetensors as a model"
            fail(ValueError, "folder", "checkpoints of one file each", got, advice)
        if path.suffix == ".safetensors":
            try:
                _read_run(path)
                found[path] = ""
            except ValueError as error:
                found[path] = str(error)
    return found


def _choose_whole(folder: Path, found: dict[Path, str]) -> list[Path]:
    """Return the undamaged checkpoints, the newest first, and warn about the damaged ones."""
    whole = [path for path, problem in found.items() if not problem]
    if found and not whole:
        named = "; ".join(f"{path.stem}: {problem}" for path, problem in found.items())
        fail(ValueError, "folder", "an undamaged checkpoint", f"damaged ones ({named})", "delete them to start again")
    for path, problem in found.items():
        if problem:
            going = f"resuming from {whole[0].stem}" if parse_step(path) > parse_step(whole[0]) else "not needed"
            line = f"{path.name} in {str(folder)!r} is damaged ({problem}): {going}; delete that file"
            warnings.warn(line, stacklevel=4)
    return whole


def _read_run(path: Path) -> dict:
    """Check every byte of a checkpoint against its SHA-256, and return the description of its run."""
    header = check_seal(path)
    try:
        run = json.loads(header["run"])
        name = name_step(run["step"])
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError("it is not a checkpoint") from None
    if name != path.stem:
        raise ValueError(f"it is {name} under another name")
    return run


def read_state(folder: Path, step: int, model: nn.Module, about: dict) -> TrainState:
    """Read the state in a checkpoint, and load its weights into this model."""
    path = name_checkpoint(folder, step)
    run = _read_run(path)
    given = about.pop("start")
    check_same(path.stem, run, about)
    about["start"] = run.get("start", {})  # keep the record of where the weights came from
    if given and given["folder"] != about["start"].get("folder"):
        there = f"{about['start'].get('folder')!r}, as in {path.stem}"
        fail(ValueError, "start_from", there, f"{given['folder']!r}", "choose another folder")
    state, moments = read_weights(path, model)
    named = {name: p for name, p in model.named_parameters() if f"{name}/step" in moments}
    one = torch.zeros(())
    wanted = {f"{name}/{key}": one if key == "step" else p for name, p in named.items() for key in OF_ADAM}
    _check_fit(path, MOMENTS, wanted, moments)
    by_number = {
        number: {key: moments[f"{name}/{key}"] for key in OF_ADAM}
        for number, (name, _) in enumerate(model.named_parameters())
        if name in named
    }
    state.optimizer.load_state_dict(state.optimizer.state_dict() | {"state": by_number})
    return TrainState(run["step"], torch.tensor(run["loss"]), model, state.ema, state.optimizer)


def read_weights(path: Path, model: nn.Module) -> tuple[TrainState, dict[str, Tensor]]:
    """Make step 0 from the weights and the average of a checkpoint, and return it with the checkpoint's moments."""
    tensors = _read_tensors(path)
    for part in (WEIGHTS, AVERAGE):
        _check_fit(path, part, model.state_dict(), tensors[part])
    model.load_state_dict(tensors[WEIGHTS])
    state = make_first_state(model)
    state.ema_model.load_state_dict(tensors[AVERAGE])
    return state, tensors[MOMENTS]


def _check_fit(path: Path, part: str, wanted: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    try:
        check_tensors(wanted, tensors)
    except ValueError as error:
        fail(ValueError, f"{path.name}: {part[:-1]}", "this network's tensors", f"other tensors ({error})")


def find_start(start_from: str | Path, folder: Path) -> tuple[Path, dict]:
    """Find the newest undamaged checkpoint of another run, or a named one, and what the new run records about it."""
    path = to_path("start_from", start_from)
    if path.resolve() in (folder.resolve(), *folder.resolve().glob("step-*")):
        got = f"{str(start_from)!r}, that of this run"
        fail(ValueError, "start_from", "the folder of another run", got, "choose another folder for this run")
    try:
        path = path if path.suffix == ".safetensors" else verify(path)
        return path, {"folder": str(start_from), "step": _read_run(path)["step"], "sha256": check_seal(path)["sha256"]}
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"start_from: {error}") from None


def _read_tensors(path: Path) -> dict[str, dict[str, Tensor]]:
    """Read the tensors of a checkpoint, by part and name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, ValueError, KeyError) as error:
        fail(ValueError, path.name, "a safetensors file", f"another file ({error})", "delete that file")
    parts = (WEIGHTS, AVERAGE, MOMENTS)
    return {part: {n.removeprefix(part): v for n, v in tensors.items() if n.startswith(part)} for part in parts}


def save_state(folder: Path, state: TrainState, schedule: Schedule, about: dict, whole: list[Path]) -> list[Path]:
    """Write a checkpoint, read it back, delete those that are too old, and return the rest, the newest first."""
    path = name_checkpoint(folder, state.step)
    with explain_disk(folder, whole):
        _write_state(path, state, schedule, about)
        try:
            _read_run(path)
        except ValueError as error:
            raise OSError(0, f"{path.name}: {error}, right after writing it") from None
    whole = [path, *(earlier for earlier in whole if earlier != path)]
    with explain_disk(folder, whole):
        for old in whole[KEEP:]:
            old.unlink()
    return whole[:KEEP]


def _write_state(path: Path, state: TrainState, schedule: Schedule, about: dict) -> None:
    """Write everything that a run needs to resume to one file."""
    header = describe_network(state.model, schedule)
    tensors = {"schedule.beta": schedule.beta.double()} if header else {}
    for part, module in ((WEIGHTS, state.model), (AVERAGE, state.ema_model)):
        tensors |= {part + name: value for name, value in module.state_dict().items()}
    for name, parameter in state.model.named_parameters():
        moments = state.optimizer.state.get(parameter, {})  # none for a parameter that has no gradient
        tensors |= {f"{MOMENTS}{name}/{key}": moments[key] for key in OF_ADAM if moments}
    run = about | {"step": state.step, "loss": state.loss, "versions": _list_versions()}
    with open_whole(path) as file:
        write_tensors(file, tensors, header | {"run": json.dumps(run, sort_keys=True)})


def _list_versions() -> dict[str, str]:
    import safetensors

    python = ".".join(map(str, sys.version_info[:3]))
    versions = {
        "torch": torch.__version__,
        "safetensors": safetensors.__version__,
        "ddpm_lite": find_version("ddpm-lite"),
    }
    return versions | {"python": python}


def sweep_folder(folder: Path) -> list[Path]:
    """Remove incomplete files of killed runs, and return the undamaged checkpoints, the newest first."""
    found = find_checkpoints(folder)
    for left in [*folder.glob(".step-*"), *folder.glob(".metrics.jsonl.*"), *folder.glob(".images.json.*")]:
        left.unlink(missing_ok=True)
    return _choose_whole(folder, found)


def name_step(step: int) -> str:
    """Name a step as messages do, such as step-000500."""
    return f"step-{step:06d}"


def name_checkpoint(folder: Path, step: int) -> Path:
    """Name the file of a step."""
    return folder / f"{name_step(step)}.safetensors"


def parse_step(path: Path) -> int:
    """Read the step of a checkpoint from its name."""
    return int(path.stem.removeprefix("step-"))


@contextmanager
def explain_disk(folder: Path, whole: list[Path]) -> Iterator[None]:
    """Turn an error of the system while writing into one line that says which checkpoint exists and what to do."""
    try:
        yield
    except OSError as error:
        safe = f"{whole[0].stem} is undamaged" if whole else "there is no checkpoint yet"
        line = f"folder: expected to write to {str(folder)!r}, got {error.strerror or error}"
        raise OSError(f"{line}; {safe}: free some space and run again to resume") from None


def check_space(folder: Path, model: nn.Module) -> None:
    """Check, before any work is done, that there is room for all checkpoints that will exist at the same time."""
    one = 4 * sum(value.numel() * value.element_size() for value in model.state_dict().values()) + 2**16
    there = sum(file.stat().st_size for file in folder.glob("step-*"))
    free, needed = shutil.disk_usage(folder).free, (KEEP + 1) * one - there
    if free < needed:
        expected, got = f"{needed / 1e6:.1f} MB free for {KEEP + 1} checkpoints", f"{free / 1e6:.1f} MB"
        fail(OSError, "folder", f"{expected} in {str(folder)!r}", got, "free some space or choose another folder")


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Create the folder and hold its lock, which the system releases when the process ends for any reason."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = _lock(folder / ".lock")
    except BlockingIOError:
        fail(
            ValueError,
            "folder",
            "a folder that no other run is writing",
            f"{str(folder)!r}, which one is",
            "choose another",
        )
    except OSError as error:
        raise OSError(f"folder: expected a folder to write to, got {str(folder)!r} ({error.strerror})") from None
    try:
        yield
    finally:
        os.close(held)


def _lock(path: Path) -> int:
    try:
        import fcntl
    except ImportError:  # Windows refuses to delete a file that a process has open
        try:
            path.unlink(missing_ok=True)
        except PermissionError:
            raise BlockingIOError from None
        return os.open(path, os.O_CREAT | os.O_RDWR)
    held = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise
    except OSError:  # a network disk without locks
        warnings.warn(f"{str(path)!r} cannot be locked here: make sure that only one run writes there", stacklevel=5)
    return held
