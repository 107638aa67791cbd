"""A trained U-Net in one safetensors file, with its config in the header and its schedule beside the weights.

`save` and `load` store every model that this package can build; `files.diffusers` reads and writes diffusers' layout.
Only safetensors is read, so opening a file cannot run code. All files of the package are written by `write_beside`.
"""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, overload

import torch
from torch import Tensor

from ddpm_lite._check import check_schedule, describe, fail, to_path, unwrap
from ddpm_lite.condition import ConditionalUNet, LabelEncoder, NameEncoder, ZModel
from ddpm_lite.schedule import Schedule
from ddpm_lite.unet import UNet, UNetConfig

PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"
SUMS = PRETRAINED / "SHA256SUMS"
UNSEALED = "0" * 64
AVERAGE = "average/"  # the prefix of averaged weights in a checkpoint, see `runs.folder`
DTYPES = {  # the names of dtypes in a safetensors file
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

# How an encoder is written in the header: its key there, and its arguments.
ENCODERS = {
    LabelEncoder: ("label_encoder", ("labels", "width", "tokens")),
    NameEncoder: ("name_encoder", ("names", "width")),
}


def save(path: str | Path, model: torch.nn.Module, schedule: Schedule, *, dtype: torch.dtype = torch.float32) -> None:
    """Write the weights, the config and beta_0..beta_T to one file, atomically.

    Args:
        path: a name that ends in .safetensors, in an existing folder.
        model: a UNet or ConditionalUNet, or a `z_model` of one, whose prediction type is written too. It may be
            compiled, or in a DataParallel; the network inside is written.
        dtype: the dtype of the stored weights; float16 halves the file and keeps about three digits.

    Raises:
        ValueError: another ending, another model, or another schedule than that of a `z_model`.
    """
    model, schedule = unwrap(model), check_schedule(schedule)
    path, header = check_path(path), describe_network(model, schedule)
    if dtype not in DTYPES:
        fail(TypeError, "dtype", f"one of {', '.join(map(str, DTYPES))}", repr(dtype))
    if not path.parent.is_dir():
        fail(FileNotFoundError, "path", "a file in an existing folder", f"{str(path)!r}", "make the folder")
    if not header:
        fail(ValueError, "model", "a UNet or a ConditionalUNet", type(model).__name__)
    tensors = {name: value.detach().to("cpu", dtype) for name, value in model.state_dict().items()}
    with open_whole(path) as file:
        write_tensors(file, tensors | {"schedule.beta": schedule.beta.double()}, header)


@overload
def get_unet(model: UNet | ConditionalUNet) -> UNet: ...
@overload
def get_unet(model: object) -> object: ...
def get_unet(model: object) -> object:
    """Return the U-Net of a network with labels, and another network as it is."""
    return model.unet if isinstance(model, ConditionalUNet) else model


def get_encoder(model: object) -> LabelEncoder | None:
    """Return the encoder of a network with labels or names, and None of another."""
    return model.encoder if isinstance(model, ConditionalUNet) else None


def describe_network(model: torch.nn.Module, schedule: Schedule) -> dict[str, str]:
    """Describe how to build the model again, in strings for a safetensors header; {} for other models than ours.

    Raises:
        ValueError: a `z_model` with another schedule, or around a compiled network, whose weights have other names.
    """
    network = find_network(model)
    if isinstance(model, ZModel):
        if not torch.equal(model.schedule.beta, schedule.beta):
            fail(ValueError, "schedule", f"the schedule of the z_model, {model.schedule!r}", f"{schedule!r}")
        if unwrap(network) is not network:
            fail(ValueError, "model", "a z_model of the network itself", describe(network), "wrap the z_model instead")
    encoder, unet = get_encoder(network), get_unet(network)
    header = {"unet_config": json.dumps(asdict(unet.config), sort_keys=True)} if isinstance(unet, UNet) else {}
    if encoder is not None:
        kind, names = ENCODERS[type(encoder)]
        header[kind] = json.dumps({name: getattr(encoder, name) for name in names}, sort_keys=True)
    if header and isinstance(model, ZModel):
        header["predicts"] = json.dumps(model.predicts)
    return header


def find_network(model: torch.nn.Module) -> Any:
    """Return the network inside a `z_model`, or the model itself; it has the config and the label encoder."""
    return model.model if isinstance(model, ZModel) else model


def write_tensors(file: BinaryIO, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file, one tensor after another; equal tensors and headers give equal bytes.

    The header also contains the SHA-256 of the whole file, computed with 64 zeros in its own place; see `check_seal`.

    Args:
        file: a seekable file, opened for writing. No second copy of the tensors is made.
        header: strings to put into the file's header besides names, shapes and types.
    """
    order = sorted(
        tensors, key=lambda name: (-tensors[name].element_size(), name)
    )  # so that each is aligned to its own size
    entries: dict[str, Mapping[str, object]] = {"__metadata__": {"format": "pt"} | header | {"sha256": UNSEALED}}
    start = 0
    for name in order:
        if tensors[name].dtype not in DTYPES:
            fail(ValueError, name, "a dtype that safetensors supports", describe(tensors[name]))
        end = start + tensors[name].numel() * tensors[name].element_size()
        shape = list(tensors[name].shape)
        entries[name] = {"dtype": DTYPES[tensors[name].dtype], "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, sort_keys=True, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    seal = hashlib.sha256(head)
    file.write(head)
    for name in order:
        content = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        seal.update(content)
        file.write(content)
    file.seek(head.index(f'"sha256":"{UNSEALED}"'.encode()) + len('"sha256":"'))
    file.write(seal.hexdigest().encode())


def pack_tensors(tensors: dict[str, Tensor], header: dict[str, str]) -> bytes:
    """Return what `write_tensors` writes, as bytes."""
    file = io.BytesIO()
    write_tensors(file, tensors, header)
    return file.getvalue()


def check_seal(path: Path) -> dict[str, str]:
    """Check every byte of a file against the SHA-256 that `write_tensors` wrote, and return the header's strings.

    Raises:
        ValueError: the file cannot be read, or has changed since it was written; the message has no argument's name.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(8)
            text = file.read(min(int.from_bytes(head, "little"), os.fstat(file.fileno()).st_size))
            header = json.loads(text)["__metadata__"]
            seal = header["sha256"]
            found = hashlib.sha256(
                head + text.replace(f'"sha256":"{seal}"'.encode(), f'"sha256":"{UNSEALED}"'.encode())
            )
            while block := file.read(2**20):
                found.update(block)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ValueError("it has changed since it was written: its header is damaged") from None
    if found.hexdigest() != seal:
        raise ValueError("it has changed since it was written: its SHA-256 differs")
    return header


@contextmanager
def write_beside(path: Path) -> Iterator[Path]:
    """Yield a hidden name beside the path; the file or folder that is written there then replaces the path.

    It is flushed to the disk first, and renaming is one operation of the file system, so after a kill or a power cut
    there is either the old file or the new one, and no partial file. A folder cannot be renamed onto another, so the
    old one is renamed first, and renamed back if that fails. After an error nothing is left beside the path.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    earlier = path.with_name(f"{beside.name}.earlier")
    try:
        yield beside
        for written in [beside, *beside.rglob("*")]:
            _flush(written)
        if path.is_dir():
            os.replace(path, earlier)
        os.replace(beside, path)
        _flush(path.parent)
    finally:
        if earlier.exists() and not path.exists():
            os.replace(earlier, path)
        for left in (beside, earlier):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder if the system can flush folders, is on the disk."""
    if path.is_dir() and os.name != "posix":
        return
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that gets its name only when it is complete; see `write_beside`."""
    with write_beside(path) as beside:
        try:
            file = open(beside, "w+b")  # noqa: SIM115 - closed below
        except OSError as error:  # names the file that was asked for
            raise OSError(error.errno, error.strerror, str(path)) from None
        with file:
            yield file


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: at any time there is either the old file or the new one."""
    with open_whole(path) as file:
        file.write(content)


def load(path: str | Path) -> tuple[UNet | ConditionalUNet | ZModel, Schedule]:
    """Read what `save` wrote: the U-Net in eval mode, with its label encoder if it had one, and its schedule.

    A network that predicts v or x_0 is returned as the model of z that was saved.

    Args:
        path: a .safetensors file of `save`, or a checkpoint of `fit`, from which the averaged weights are taken.

    Raises:
        ValueError: not a .safetensors file, damaged, or not one of ours. FileNotFoundError: no such file.
    """
    from safetensors import SafetensorError, safe_open

    path = check_path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: expected an existing file, got {str(path)!r}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            kept = AVERAGE if "run" in metadata else ""
            names = [name for name in file.keys() if name.startswith(kept) or name == "schedule.beta"]  # noqa: SIM118
            tensors = {name.removeprefix(kept): file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"path: expected a whole safetensors file, got {path.name!r} ({error})") from None
    if "unet_config" not in metadata or "schedule.beta" not in tensors:
        fail(ValueError, "path", "a file written by ddpm_lite.files.weights.save", repr(path.name))
    try:
        schedule = Schedule(tensors.pop("schedule.beta"))
        with torch.device("meta"):
            model = build_network(metadata, schedule)
        check_tensors(model.state_dict(), tensors)
        model.load_state_dict(tensors, assign=True)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"path: expected a network with its weights, got {path.name!r} ({error})") from None
    return model.float().eval(), schedule


def build_network(metadata: dict[str, str], schedule: Schedule) -> UNet | ConditionalUNet | ZModel:
    """Build the model that `describe_network` described."""
    config = json.loads(metadata["unet_config"])
    config |= {key: tuple(value) for key, value in config.items() if isinstance(value, list)}  # JSON has no tuples
    unet = UNet(UNetConfig(**config))
    model: UNet | ConditionalUNet = unet
    if "label_encoder" in metadata:
        model = ConditionalUNet(unet, LabelEncoder(**json.loads(metadata["label_encoder"])))
    if "name_encoder" in metadata:
        with torch.device("cpu"):  # the numbers of the words are no weights, so they are not in the file
            model = ConditionalUNet(unet, NameEncoder(**json.loads(metadata["name_encoder"])))
    predicts = json.loads(metadata.get("predicts", '"z"'))
    return model if predicts == "z" else ZModel(model, schedule, predicts)


def check_tensors(wanted: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    """Raise a ValueError unless the tensors have exactly the wanted names and shapes."""
    for name in sorted(wanted.keys() | tensors.keys()):
        expected, got = (list(d[name].shape) if name in d else "no such tensor" for d in (wanted, tensors))
        if expected != got:
            fail(ValueError, name, f"{expected}", f"{got}")


def load_pretrained(name: str) -> tuple[UNet | ConditionalUNet, Schedule]:
    """Open a model that comes with the package: the U-Net in eval mode, and its schedule.

    Args:
        name: a file in the folder `pretrained`, one of `ddpm_lite.runs.models.SHIPPED`. Each has a model card.

    Raises:
        ValueError: no such model, or its file is not the one that was shipped.
    """
    names = sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))
    if not isinstance(name, str) or name not in names:
        fail(ValueError, "name", f"one of {names}", describe(name))
    model, schedule = load(find_shipped(f"{name}.safetensors"))
    assert not isinstance(model, ZModel), "pages run each of them, and support networks of z only"
    return model, schedule


def find_shipped(name: str) -> Path:
    """Check a file that comes with the package against its SHA-256, and return its path.

    Args:
        name: the path below `pretrained`, as in its file SHA256SUMS.

    Raises:
        ValueError: the file has changed since it was shipped. FileNotFoundError: there is no such file.
    """
    path = PRETRAINED / name
    if not path.is_file():
        fail(FileNotFoundError, "name", "a file that comes with the package", repr(name), "install ddpm-lite again")
    sums = dict(line.split()[::-1] for line in SUMS.read_text(encoding="ascii").splitlines())
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if sums.get(name) != found:
        expected = f"SHA-256 {sums.get(name, 'in SHA256SUMS')}"
        fail(ValueError, name, expected, found, "the file is damaged: install ddpm-lite again")
    return path


def check_path(path: str | Path) -> Path:
    """Check that a name ends in .safetensors, because other formats can run code."""
    path = to_path("path", path)
    if path.suffix != ".safetensors":
        fail(ValueError, "path", "a name that ends in .safetensors", repr(path.name), "other formats can run code")
    return path
