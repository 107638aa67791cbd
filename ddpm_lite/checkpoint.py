"""A trained U-Net in one safetensors file: its weights, and its config and schedule in the header.

`save` and `load` keep all that this package can build; `save_pretrained` and `from_pretrained` speak diffusers' layout.

Only safetensors is read, so opening a file never runs code. A file is written beside its final place and renamed,
so a killed run leaves the old file or the new one, never half of one.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

import torch

from ddpm_lite._check import fail
from ddpm_lite.condition import ConditionalUNet, LabelEncoder
from ddpm_lite.interop import from_pretrained as from_pretrained
from ddpm_lite.interop import save_pretrained as save_pretrained
from ddpm_lite.schedule import Schedule
from ddpm_lite.unet import UNet, UNetConfig

PRETRAINED = Path(__file__).parent / "pretrained"


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
    from safetensors.torch import save as to_bytes

    path = _checked(path)
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in model.state_dict().items()}
    tensors["schedule.beta"] = schedule.beta.double().cpu()
    unet, encoder = (model.unet, model.encoder) if isinstance(model, ConditionalUNet) else (model, None)
    header = {"format": "pt", "unet_config": json.dumps(asdict(unet.config), sort_keys=True)}
    if encoder is not None:
        fields = {name: getattr(encoder, name) for name in ("labels", "width", "tokens")}
        header["label_encoder"] = json.dumps(fields, sort_keys=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(to_bytes(tensors, metadata=header))
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


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
        fail(ValueError, "path", "a file written by ddpm_lite.checkpoint.save", repr(path.name))
    config = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(metadata["unet_config"]).items()}
    schedule = Schedule(tensors.pop("schedule.beta"))
    with torch.device("meta"):
        model = UNet(UNetConfig(**config))
        if "label_encoder" in metadata:
            model = ConditionalUNet(model, LabelEncoder(**json.loads(metadata["label_encoder"])))
    model.load_state_dict(tensors, assign=True)
    return model.float().eval(), schedule


def load_pretrained(name: str) -> tuple[UNet | ConditionalUNet, Schedule]:
    """Open a model that comes with the package: the U-Net in eval mode, and its schedule.

    Args:
        name: "digits", the model that the chapter on training trains (8x8 digits, one channel).

    Raises:
        ValueError: no such model.
    """
    names = sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))
    if name not in names:
        fail(ValueError, "name", f"one of {names}", repr(name))
    return load(PRETRAINED / f"{name}.safetensors")


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".safetensors":
        fail(ValueError, "path", "a name that ends in .safetensors", repr(path.name), "other formats can run code")
    return path
