"""Open a model from any source."""

import json
import re
from pathlib import Path

from ddpm_lite._check import fail, to_path
from ddpm_lite.condition import ConditionalUNet, ZModel
from ddpm_lite.files.diffusers import from_pretrained
from ddpm_lite.files.weights import PRETRAINED, load, load_pretrained
from ddpm_lite.runs.folder import find_checkpoints, verify
from ddpm_lite.runs.presets import PRESETS
from ddpm_lite.schedule import Schedule
from ddpm_lite.unet import UNet

SHIPPED = tuple(sorted(path.stem for path in PRETRAINED.glob("*.safetensors")))  # models that come with the package
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


def open_model(source: str | Path) -> tuple[UNet | ConditionalUNet | ZModel, Schedule]:
    """Open a model in eval mode, and the schedule that it was trained with.

    Args:
        source: the name of a model that comes with the package; the folder of a run of `fit` or the command line, from
            which the averaged weights of the newest undamaged checkpoint are taken; a .safetensors file; a diffusers
            folder; or a hub id "owner/name". `from_pretrained` opens the last two together with their sampler.

    Raises:
        ValueError, FileNotFoundError: no such model, or a damaged one. ImportError: a hub id without huggingface_hub.
    """
    name, path = str(source), to_path("source", source)
    if name in SHIPPED:
        return load_pretrained(name)
    if path.suffix == ".safetensors":
        return load(path)
    if path.is_dir() and find_checkpoints(path):
        return load(verify(path))
    if path.is_dir() and (path / "model_index.json").is_file():
        return from_pretrained(path)[:2]
    if HUB_ID.fullmatch(name) and not path.parent.is_dir():  # runs/typo is a missing folder, not a hub id
        return from_pretrained(name)[:2]
    expected = f"one of {', '.join(SHIPPED)}, a folder with a checkpoint, a .safetensors file or a hub id owner/name"
    fail(ValueError, "model", expected, f"{name!r}", "train it first" if name in PRESETS else "")


def read_words(source: str | Path) -> tuple[str, ...]:
    """Read the names of a model's labels 0, 1, ..., or () if they are unknown; `source` is as for `open_model`."""
    path, preset = Path(source), str(source).partition("-")[0]
    if str(source) in SHIPPED:
        return PRESETS[preset].words if preset in PRESETS else ()
    for folder in (path, path.parent, path.parent.parent):
        try:
            return tuple(map(str, json.loads((folder / "preset.json").read_text(encoding="utf8"))["words"]))
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return ()
