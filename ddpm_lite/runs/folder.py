"""The folder of a run: checkpoints that are whole or not there, and that belong to this run and no other.

    folder/step-000500/    model.safetensors, ema.safetensors, optimizer.safetensors, manifest.json

A checkpoint is written under a name that begins with a dot, flushed to the disk, and only then renamed. The manifest
holds the SHA-256 of each file and of itself, and nothing is used before they agree. The last two checkpoints are kept;
an older one goes when the newer has been read back. Only safetensors and JSON are read, so opening a folder never runs
code.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ddpm_lite._check import fail
from ddpm_lite.files.weights import fit_tensors, network_header, packed, write_through
from ddpm_lite.schedule import Schedule
from ddpm_lite.trainer import TrainConfig, TrainState, first_state

KEEP = 2
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what Adam keeps for each parameter
FILES = ("model.safetensors", "ema.safetensors", "optimizer.safetensors")
# What a run may change when it goes on: how far, and settings that change the way to the loss but not the loss.
MAY_CHANGE = {"steps", "accumulation", "halve_on_oom", "compile"}


def verify(folder: str | Path) -> Path:
    """The newest checkpoint that is whole, each byte compared with its SHA-256.

    Args:
        folder: a run's folder.

    Returns:
        The checkpoint's folder; its ema.safetensors can be opened with `weights.load`. A newer one that is damaged
        is named in a warning, with what to do.

    Raises:
        FileNotFoundError: no checkpoint. ValueError: all are damaged.
    """
    folder = Path(folder)
    found = checkpoints(folder)
    if not found:
        fail(FileNotFoundError, "folder", "a run with a checkpoint", f"{str(folder)!r} with none")
    return _newest_whole(folder, found)[0]


def checkpoints(folder: str | Path) -> dict[Path, str]:
    """Each checkpoint of a run, the newest first, and what is wrong with it: nothing is wrong with "".

    Args:
        folder: a run's folder.
    """
    paths = [path for path in Path(folder).glob("step-*") if re.fullmatch("step-[0-9]{6,18}", path.name)]
    found = {}
    for path in sorted(paths, key=step_of, reverse=True):
        try:
            _verified(path)
            found[path] = ""
        except (OSError, ValueError) as error:
            found[path] = str(error)
    return found


def _newest_whole(folder: Path, found: dict[Path, str]) -> list[Path]:
    """Those that are whole, the newest first; the damaged ones before it are named."""
    whole = [path for path, problem in found.items() if not problem]
    if found and not whole:
        named = "; ".join(f"{path.name}: {problem}" for path, problem in found.items())
        fail(ValueError, "folder", "a whole checkpoint", f"damaged ones ({named})", "delete them to start anew")
    for path, problem in found.items():
        if problem:
            going = f"going on from {whole[0].name}" if step_of(path) > step_of(whole[0]) else "not needed"
            warnings.warn(
                f"{path.name} in {str(folder)!r} is damaged ({problem}): {going}; delete that folder", stacklevel=4
            )
    return whole


def _verified(path: Path) -> tuple[dict, dict[str, bytes]]:
    """A checkpoint's manifest and its files' bytes, after each has been compared with its SHA-256."""
    content, files = _bytes(path / "manifest.json"), {}
    try:
        manifest = json.loads(content)
        same = content == _sealed({key: value for key, value in manifest.items() if key != "sha256"})
        name, hashes = name_of(manifest["step"]), [manifest["files"][name] for name in FILES]
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        same = False
    if not same:
        raise ValueError("manifest.json is not as it was written")
    if name != path.name:
        raise ValueError(f"its manifest.json is that of {name}")
    for name, sha256 in zip(FILES, hashes, strict=True):
        files[name] = _bytes(path / name)
        if hashlib.sha256(files[name]).hexdigest() != sha256:
            raise ValueError(f"{name} is not as it was written: its SHA-256 differs")
    return manifest, files


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from None


def _sealed(manifest: dict) -> bytes:
    """The manifest's one spelling, with the SHA-256 of the rest in it."""

    def spelt(content: dict) -> bytes:
        return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()

    return spelt(manifest | {"sha256": hashlib.sha256(spelt(manifest)).hexdigest()})


def about_run(model: nn.Module, schedule: Schedule, images, config: TrainConfig, labels: Tensor | None) -> dict:
    """What makes a run this run; compared, field by field, when it goes on."""
    N = len(images)
    some = images[np.linspace(0, max(N - 1, 0), min(64, N)).astype(int)]  # enough to notice other images
    header = {key: json.loads(value) for key, value in network_header(model).items()}
    network = header.pop("unet_config", {}) | header if header else {"class": type(model).__name__}
    data = {
        "number of images": N,
        "shape of images": list(images.shape[1:]),
        "type of images": str(images.dtype).removeprefix("torch."),
        "images": _digest(some),
        "labels": None if labels is None else _digest(labels),
    }
    return {
        "config": asdict(config),
        "network": network,
        # In float32: the last digits of float64 depend on the processor, and a run may move to another.
        "schedule": {"T": schedule.T, "schedule": _digest(schedule.beta.float())},
        "data": data,
    }


def _digest(values: Tensor | np.ndarray) -> str:
    values = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def _check_same(name: str, earlier: dict, about: dict) -> None:
    """One line that names the first setting in which this run differs from the one that wrote the checkpoint."""
    about = json.loads(json.dumps(about))
    for group, settings in about.items():
        for key, value in settings.items():
            then = earlier.get(group, {}).get(key, "no such setting")
            if then != value and not (group == "config" and key in MAY_CHANGE):
                advice = "go on as before, or take another folder"
                fail(ValueError, key, f"{then!r}, as in {name}", f"{value!r}", advice)


def _tensors(state: TrainState) -> dict[str, dict[str, Tensor]]:
    """All that a run is made of, by file."""
    moments = {}
    for name, parameter in state.model.named_parameters():
        of_its = state.optimizer.state.get(parameter, {})  # none for a parameter that the loss does not reach
        moments |= {f"{name}/{key}": of_its[key] for key in MOMENTS if of_its}
    return dict(zip(FILES, (state.model.state_dict(), state.ema_model.state_dict(), moments), strict=True))


def read_state(path: Path, model: nn.Module, about: dict) -> TrainState:
    """The state in a checkpoint, its weights put into this model."""
    manifest, files = _verified(path)
    _check_same(path.name, manifest, about)
    state, one = first_state(model), torch.zeros(())
    weights, average, moments = (_unpacked(path, name, content) for name, content in files.items())
    named = {name: p for name, p in model.named_parameters() if f"{name}/step" in moments}
    wanted = {f"{name}/{key}": one if key == "step" else p for name, p in named.items() for key in MOMENTS}
    _check_fit(path, FILES[0], model.state_dict(), weights)
    _check_fit(path, FILES[1], model.state_dict(), average)
    _check_fit(path, FILES[2], wanted, moments)
    model.load_state_dict(weights)
    state.ema_model.load_state_dict(average)
    by_number = {
        number: {key: moments[f"{name}/{key}"] for key in MOMENTS}
        for number, (name, _) in enumerate(model.named_parameters())
        if name in named
    }
    state.optimizer.load_state_dict(state.optimizer.state_dict() | {"state": by_number})
    return TrainState(manifest["step"], torch.tensor(manifest["loss"]), model, state.ema, state.optimizer)


def _unpacked(path: Path, name: str, content: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return {key: value.clone() for key, value in load(content).items() if key != "schedule.beta"}
    except (SafetensorError, ValueError, KeyError) as error:
        fail(ValueError, f"{path.name}/{name}", "a safetensors file", f"another ({error})", "delete that folder")


def _check_fit(path: Path, name: str, wanted: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    try:
        fit_tensors(wanted, tensors)
    except ValueError as error:
        fail(ValueError, f"{path.name}/{name}", "this network's tensors", f"others ({error})", "delete that folder")


def save_state(folder: Path, state: TrainState, schedule: Schedule, about: dict, whole: list[Path]) -> list[Path]:
    """Write a checkpoint, read it back, and remove what is too old; the whole ones, the newest first."""
    path = folder / name_of(state.step)
    with disk(folder, whole):
        _write(path, state, schedule, about)
        try:
            _verified(path)
        except ValueError as error:
            raise OSError(0, f"{error}, right after writing it") from None
    whole = [path, *(earlier for earlier in whole if earlier != path)]
    with disk(folder, whole):
        for old in whole[KEEP:]:
            _remove(old)
    return whole[:KEEP]


def _write(path: Path, state: TrainState, schedule: Schedule, about: dict) -> None:
    header, tensors = network_header(state.model), _tensors(state)
    beta = {"schedule.beta": schedule.beta.double()} if header else {}
    extra = {FILES[0]: (beta, header), FILES[1]: (beta, header), FILES[2]: ({}, {})}
    beside = _hidden(path)
    manifest = about | {"step": state.step, "loss": state.loss, "versions": _versions(), "files": {}}
    try:
        beside.mkdir()
        for name in FILES:
            content = packed(tensors[name] | extra[name][0], extra[name][1])
            manifest["files"][name] = hashlib.sha256(content).hexdigest()
            write_through(beside / name, content)
        write_through(beside / "manifest.json", _sealed(manifest))
        _flush(beside)
        if path.exists():  # a damaged one, which this run has passed once more
            _remove(path)
        os.replace(beside, path)
        _flush(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    import safetensors

    python = ".".join(map(str, sys.version_info[:3]))
    versions = {"torch": torch.__version__, "safetensors": safetensors.__version__, "ddpm_lite": version("ddpm-lite")}
    return versions | {"python": python}


def _flush(folder: Path) -> None:
    """Make the names in a folder last, where folders can be flushed."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _remove(path: Path) -> None:
    """Take a checkpoint away, its name first: a kill in the middle leaves no half of one."""
    gone = path.with_name(f".{path.name}.old")
    os.replace(path, gone)
    shutil.rmtree(gone, ignore_errors=True)


def tidy(folder: Path) -> list[Path]:
    """Remove what killed runs left half done; the whole checkpoints, the newest first."""
    for left in [*folder.glob(".step-*"), *folder.glob(".metrics.jsonl.*")]:
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    return _newest_whole(folder, checkpoints(folder))


def name_of(step: int) -> str:
    return f"step-{step:06d}"


def step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


@contextmanager
def disk(folder: Path, whole: list[Path]) -> Iterator[None]:
    """What the system says when it cannot write, as one line with what is safe and what to do."""
    try:
        yield
    except OSError as error:
        safe = f"{whole[0].name} is whole" if whole else "there is no checkpoint yet"
        line = f"folder: expected to write to {str(folder)!r}, got {error.strerror or error}"
        raise OSError(f"{line}; {safe}: free some space and run again, it goes on from there") from None


def check_space(folder: Path, model: nn.Module) -> None:
    """There is room for the checkpoints that will stand at the same time, before any work is lost."""
    one = 4 * sum(value.numel() * value.element_size() for value in model.state_dict().values()) + 2**16
    there = sum(file.stat().st_size for file in folder.glob("step-*/*"))
    free, needed = shutil.disk_usage(folder).free, (KEEP + 1) * one - there
    if free < needed:
        expected, got = f"{needed / 1e6:.1f} MB free for {KEEP + 1} checkpoints", f"{free / 1e6:.1f} MB"
        fail(OSError, "folder", f"{expected} in {str(folder)!r}", got, "free some space or take another folder")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder and hold its lock. The lock goes with the process, however that ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = _lock(folder / ".lock")
    except BlockingIOError:
        fail(ValueError, "folder", "one that no other run writes", f"{str(folder)!r}, where one does", "take another")
    except OSError as error:
        raise OSError(f"folder: expected one to write to, got {str(folder)!r} ({error.strerror})") from None
    try:
        yield
    finally:
        os.close(held)


def _lock(path: Path) -> int:
    try:
        import fcntl
    except ImportError:  # Windows deletes no file that a process has open
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
    except OSError:  # a network disk that knows no locks
        warnings.warn(f"{str(path)!r} cannot be locked here: see to it that one run alone writes there", stacklevel=5)
    return held
