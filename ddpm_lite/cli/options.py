"""What the command line can be asked: one dataclass a command, each field an option, its docstring the help.

`__main__` does what is asked.
"""

import contextlib
import io
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, Union, cast

import tyro
from tyro.conf import Positional, Suppress, subcommand

from ddpm_lite.runs.models import SHIPPED
from ddpm_lite.runs.presets import FOLDER_CONFIG, FOLDER_UNET, PRESETS, TOKENS
from ddpm_lite.sampler import STEPS
from ddpm_lite.trainer import TrainConfig
from ddpm_lite.unet import UNetConfig

MODEL = (
    f"{', '.join(SHIPPED)}, which come with the package; a folder that train wrote; a .safetensors file; a folder of "
    "diffusers; or a hub id, owner/name."
)
if TYPE_CHECKING:  # a type checker cannot read words that are computed
    Sampler: TypeAlias = str
else:
    Sampler = Literal[*STEPS]
Model = Annotated[Positional[str], tyro.conf.arg(metavar="MODEL", help=MODEL)]
SCRIPT, MODULE = "ddpm-lite", "python -m ddpm_lite"  # the two ways to start the command line


@dataclass(frozen=True)
class Run:
    """What both kinds of training are asked.

    Args:
        preset: what is trained.
        config: How to train.
        unet: The network.
        out: the run's folder; made if it is not there.
        data: folder with the data set's files; without it they are looked for, and downloaded if need be.
        every: steps between two checkpoints.
        tokens: tokens that stand for one label.
        device: where to compute: auto takes a CUDA GPU if there is one; else cpu, cuda, cuda:1, mps, ...
        tensorboard: write the metrics for TensorBoard too.
        start_from: another run's folder: begin with its weights and their average; all else is new.
    """

    preset: Suppress[str]
    config: TrainConfig
    unet: UNetConfig
    out: Path | None
    every: int
    data: Path | None = None
    tokens: int = TOKENS
    device: str = "auto"
    tensorboard: bool = False
    start_from: Path | None = None


@dataclass(frozen=True)
class Train(Run):
    """Train a network into a folder.

    If the folder holds a checkpoint, the run goes on from there, bit for bit; so the same command again is what to do
    after a kill. Ctrl-C writes a checkpoint first. Several devices: accelerate launch -m ddpm_lite train ...
    """

    out: Path


@dataclass(frozen=True)
class TrainFolder(Run):
    """Train a network on a folder of your own pictures.

    If they lie in two folders or more inside it, the names of these are the labels, and `sample ... --label NAME` asks
    for one. The same command again goes on with the run, as long as the pictures are the same.

    Args:
        folder: the pictures, in folders inside it too.
        size: height and width that the pictures are scaled to; the U-Net halves it at each level but the last.
        grey: one channel instead of three.
        crop: take the middle square of each picture; without it, one that is not square is squeezed.
        background: the colour that shows where a picture is transparent.
        skip_broken: leave out pictures that cannot be read, with a warning that names them.
        out: the run's folder; runs/ and the name of the pictures' folder if it is not given.
    """

    preset: Suppress[str] = "folder"
    config: TrainConfig = FOLDER_CONFIG
    unet: UNetConfig = FOLDER_UNET
    out: Path | None = None
    every: int = 500
    data: Suppress[None] = None
    folder: Annotated[Positional[Path], tyro.conf.arg(metavar="FOLDER")] = field(kw_only=True)
    size: int = FOLDER_UNET.sample_size
    grey: bool = False
    crop: bool = False
    background: str = "white"
    skip_broken: bool = False


@dataclass(frozen=True)
class Sample:
    """Draw images, and write them as one PNG.

    The defaults are how each model's card was measured.

    Args:
        out: the picture to write, a name that ends in .png; or in .npy, for an array (N, C, H, W) with values about
            [-1, 1].
        label: what to draw, by number or by word (3, sneaker), one row for each; all of them with "all".
            Without it a model that knows labels is told none.
        count: images in all, or of each label.
        sampler: ddpm is Algorithm 2, measured as the better one in 50 steps; ddim adds no noise on the way, and is the
            better one in few.
        steps: how many steps, up to the T that the model was trained with.
        scale: guidance weight w: 0 follows the label as learnt, more exaggerates it. Needs a label.
        seed: the noise follows from it; the same seed on the same device, with as many threads, draws the same images.
            With one number for each image, an image is the same however many are drawn with it.
        captions: write the label beside each row. Needs Pillow.
        separate: a folder that gets each image as a file of its own too, as many pixels as the network draws.
        animate: the way from noise to the images, a name that ends in .gif. Needs Pillow.
        device: where to compute: auto takes a CUDA GPU if there is one; else cpu, cuda, cuda:1, mps, ...
    """

    model: Model
    out: Path = Path("grid.png")
    label: tuple[str, ...] = ()
    count: int = 8
    sampler: Sampler = "ddpm"
    steps: int = 50
    scale: float = 0.0
    seed: tuple[int, ...] = (0,)
    captions: bool = False
    separate: Path | None = None
    animate: Path | None = None
    device: str = "auto"


@dataclass(frozen=True)
class ExportPage:
    """Write a network as a script that a web page can load and run.

    Weights are rounded to float16. ddpm_lite/viz/js/shared/unet.js is what runs it.

    Args:
        out: the script to write, a name that ends in .js; the page knows the network by this name.
    """

    model: Model
    out: Path


@dataclass(frozen=True)
class Evaluate:
    """Measure how good a model's images are, beside images of known worth.

    Labels are asked for in turn. A row for each seed, their mean and spread; then rows for real images, as many, for
    real ones that were spoilt, and for noise. Distances are to held-out real images, in the features of a small
    classifier: lower is better, and no figure means much without that of real images below it.

    Args:
        count: images of each row, at most as many as there are training images. Distances depend on it.
        sampler: as for sample; without it ddpm, or ddim if there is an eta.
        steps: how many steps, up to the T that the model was trained with.
        eta: the share of fresh noise in a step of ddim, 0 to 1.
        scale: guidance weight w: 0 follows the label as learnt, more exaggerates it.
        seeds: a row for each, drawn with its own noise.
        out: a file to record it all in, a name that ends in .json.
        data: folder with the data set's files; without it they are looked for, and downloaded if need be.
        device: where to compute: auto takes a CUDA GPU if there is one; else cpu, cuda, cuda:1, mps, ...
    """

    model: Model
    count: int = 1000
    sampler: Sampler | None = None
    steps: int = 50
    eta: float = 0.0
    scale: float = 0.0
    seeds: tuple[int, ...] = (0, 1, 2)
    out: Path | None = None
    data: Path | None = None
    device: str = "auto"


@dataclass(frozen=True)
class Doctor:
    """Look at this machine.

    It tells versions, whether the device computes what the CPU computes, memory, disk, where the data sets are, and how
    long each preset would take, from a few steps of each while the machine is as busy as it is. The exit code is 1 if
    something is wrong.

    Args:
        device: what to look at: auto takes a CUDA GPU if there is one; else cpu, cuda, cuda:1, mps, ...
    """

    device: str = "auto"


@dataclass(frozen=True)
class Verify:
    """Compare every byte of a run's checkpoints with its SHA-256.

    Names each checkpoint, and what is wrong with it; the exit code is 1 if one is damaged, or none is there.

    Args:
        folder: a folder that train wrote.
    """

    folder: Annotated[Positional[Path], tyro.conf.arg(metavar="FOLDER")]


Asked: TypeAlias = Train | TrainFolder | Sample | Evaluate | ExportPage | Doctor | Verify


def program() -> str:
    """The command line as it was called, for help and for advice that can be pasted back."""
    return SCRIPT if Path(sys.argv[0]).stem == SCRIPT else MODULE


def commands() -> object:
    """What tyro chooses from: each preset is a `train` with other defaults."""
    trains = tuple(
        Annotated[
            Train,
            subcommand(name, default=Train(name, p.config, p.unet, Path("runs") / name, p.every), description=p.about),
        ]
        for name, p in PRESETS.items()
    )
    about = "Your own pictures; `train FOLDER` is short for `train folder FOLDER`."
    trains += (Annotated[TrainFolder, subcommand("folder", description=about)],)
    others = {"sample": Sample, "evaluate": Evaluate, "export-page": ExportPage, "doctor": Doctor, "verify": Verify}
    return Union[
        Annotated[Union[trains], subcommand("train", description="Train a network into a folder.")],  # noqa: UP007
        *(Annotated[one, subcommand(name)] for name, one in others.items()),
    ]


def parsed(argv: list[str], about: str = "") -> Asked:
    """What the words ask for.

    Args:
        argv: the words after the program's name.
        about: what --help opens with.

    Raises:
        ValueError: they make no sense; the line is all that is said.
    """
    if argv[:1] == ["train"] and argv[1:] and argv[1] not in PRESETS and Path(argv[1]).is_dir():
        argv = ["train", "folder", *argv[1:]]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            asked = cast("type[Asked]", commands())  # a union that is computed
            return tyro.cli(asked, args=argv, prog=program(), description=about)
    except SystemExit as end:
        if not end.code:  # --help
            raise
    raise ValueError(_in_one_line(said.getvalue()))


# What Python and tyro say of a word that is no number, and what is meant.
NO_NUMBER = (
    (r"invalid literal for int\(\) with base 10: ('.*?')", r"expected a whole number, got \1"),
    (r"could not convert string to float: ('.*?')", r"expected a number, got \1"),
    (r"Could not find valid parse for arguments: \[(.*?)\]", r"expected whole numbers, got \1"),
)


def _in_one_line(box: str) -> str:
    """The text of a box that tyro draws: a title; what is wrong; below rules advice, of which we take choices.

    Its own text is not for people: it gives a wrong --config.steps the name of a class of tyro's, and tells of int().
    """
    lines = [line.strip("│╰╯ \t") for line in box.splitlines()[1:]]
    wrong, *advice = filter(None, (part.strip(" .") for part in re.split("[─-]{6,}", " ".join(lines))))
    wrong = re.sub(r"^Error parsing \S*\b(config|unet): (\w+)", lambda m: f"--{m[1]}.{m[2].replace('_', '-')}", wrong)
    wrong = wrong.removeprefix("Error parsing ")
    for theirs, plain in NO_NUMBER:
        wrong = re.sub(theirs, plain, wrong)
    for part in advice:
        if part.startswith("Perhaps you meant"):
            wrong += "".join(f"; perhaps you meant {flag}" for flag in re.findall(r"--[a-z][a-z.-]*", part)[:1])
        elif part.startswith("Available subcommands"):
            wrong += f"; there are: {part.partition(': ')[2]}"
    return f"{wrong}; --help tells more"
