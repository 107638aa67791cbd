"""A trained U-Net in one safetensors file: its weights, and its config and schedule in the header.

`save` and `load` keep all that this package can build; `save_pretrained` and `from_pretrained` speak diffusers' layout.

Only safetensors is read, so opening a file never runs code. A file is written beside its final place and renamed,
so a killed run leaves the old file or the new one, never half of one.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from ddpm_lite._check import fail
from ddpm_lite.condition import ConditionalUNet, LabelEncoder
from ddpm_lite.files.diffusers import from_pretrained as from_pretrained
from ddpm_lite.files.diffusers import save_pretrained as save_pretrained
from ddpm_lite.schedule import Schedule
from ddpm_lite.unet import UNet, UNetConfig

PRETRAINED = Path(__file__).resolve().parents[1] / "pretrained"
SUMS = PRETRAINED / "SHA256SUMS"


def save(
    path: str | Path, model: UNet | ConditionalUNet, schedule: Schedule, *, dtype: torch.dtype = torch.float32
) -> None:
    """Write the weights, the config and beta_0..beta_T to one file, atomically.

    Args:
        path: ends in .safetensors; its folder exists.
        dtype: of the stored weights; float16 halves the file and keeps three digits.

    Raises:
        ValueError: another ending.
    """
    path, header = _checked(path), network_header(model)
    if not header:
        fail(ValueError, "model", "a UNet or a ConditionalUNet", type(model).__name__)
    tensors = {name: value.detach().to("cpu", dtype) for name, value in model.state_dict().items()}
    write_whole(path, packed(tensors | {"schedule.beta": schedule.beta.double()}, header))


def network_header(model: torch.nn.Module) -> dict[str, str]:
    """What it takes to build the model again, in the strings of a safetensors header; {} for a model not of ours."""
    unet, encoder = (model.unet, model.encoder) if isinstance(model, ConditionalUNet) else (model, None)
    header = {"unet_config": json.dumps(asdict(unet.config), sort_keys=True)} if isinstance(unet, UNet) else {}
    if encoder is not None:
        fields = {name: getattr(encoder, name) for name in ("labels", "width", "tokens")}
        header["label_encoder"] = json.dumps(fields, sort_keys=True)
    return header


def packed(tensors: dict[str, Tensor], header: dict[str, str]) -> bytes:
    """A safetensors file; equal tensors give equal bytes, which the library alone does not promise for its header."""
    from safetensors.torch import save as to_bytes

    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
    }
    content = to_bytes(tensors, metadata={"format": "pt"} | header)
    end = 8 + int.from_bytes(content[:8], "little")
    text = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":"))
    head = (text + " " * (-len(text) % 8)).encode()
    return len(head).to_bytes(8, "little") + head + content[end:]


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it, so that the old one or the new one is there, never half of one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_through(beside, content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_through(path: Path, content: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def load(path: str | Path) -> tuple[UNet | ConditionalUNet, Schedule]:
    """Read what `save` wrote: the U-Net in eval mode, with its label encoder if it had one, and its schedule.

    Raises:
        ValueError: not a .safetensors file, damaged, or not one of ours. FileNotFoundError: no such file.
    """
    from safetensors import SafetensorError, safe_open

    path = _checked(path)
    if not path.is_file():
        raise FileNotFoundError(f"path: expected an existing file, got {str(path)!r}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise ValueError(f"path: expected a whole safetensors file, got {path.name!r} ({error})") from None
    if "unet_config" not in metadata or "schedule.beta" not in tensors:
        fail(ValueError, "path", "a file written by ddpm_lite.files.weights.save", repr(path.name))
    try:
        schedule = Schedule(tensors.pop("schedule.beta"))
        with torch.device("meta"):
            model = _network(metadata)
        fit_tensors(model.state_dict(), tensors)
        model.load_state_dict(tensors, assign=True)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"path: expected a network with its weights, got {path.name!r} ({error})") from None
    return model.float().eval(), schedule


def _network(metadata: dict[str, str]) -> UNet | ConditionalUNet:
    """The model that `network_header` describes."""
    config = json.loads(metadata["unet_config"])
    model = UNet(UNetConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}))
    if "label_encoder" in metadata:
        model = ConditionalUNet(model, LabelEncoder(**json.loads(metadata["label_encoder"])))
    return model


def fit_tensors(wanted: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    """Raise a ValueError, one line, unless these are the tensors that are wanted, by name and shape."""
    for name in sorted(wanted.keys() | tensors.keys()):
        expected, got = (list(d[name].shape) if name in d else "no such tensor" for d in (wanted, tensors))
        if expected != got:
            fail(ValueError, name, f"{expected}", f"{got}")


def load_pretrained(name: str) -> tuple[UNet | ConditionalUNet, Schedule]:
    """Open a model that comes with the package: the U-Net in eval mode, and its schedule.

    Args:
        name: "digits", the model that the chapter on training trains (8x8 digits, one channel).

    Raises:
        ValueError: no such model, or its file is not the one that was shipped.
    """
    names = sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))
    if name not in names:
        fail(ValueError, "name", f"one of {names}", repr(name))
    return load(shipped(f"{name}.safetensors"))


def shipped(name: str) -> Path:
    """The path of a file that comes with the package, after every byte of it was compared with its SHA-256.

    Args:
        name: below `pretrained`, as in its file SHA256SUMS.

    Raises:
        ValueError: changed since it was shipped. FileNotFoundError: not there.
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


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        fail(ValueError, "path", "a name that ends in .safetensors", repr(path.name), "other formats can run code")
    return path
