"""The options of the command line: one dataclass for each command, with fields as options and docstrings as help.

`cli.commands` executes the commands.
"""

import contextlib
import io
import re
import shlex
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union, cast

import tyro
from tyro.conf import Positional, Suppress, subcommand

from ddpm_lite._check import expand_home, fail
from ddpm_lite.runs.models import SHIPPED
from ddpm_lite.runs.presets import FOLDER_CONFIG, FOLDER_UNET, PRESETS, TOKENS
from ddpm_lite.sampler import STEPS
from ddpm_lite.trainer import TrainConfig
from ddpm_lite.unet import UNetConfig

MODEL = (
    f"{', '.join(SHIPPED)}, which come with the package; a folder that train wrote; a .safetensors file; a diffusers "
    "folder; or a hub id, owner/name."
)
if TYPE_CHECKING:  # type checkers do not accept a computed Literal
    Sampler: TypeAlias = str
else:
    Sampler = Literal[*STEPS]
Model = Annotated[Positional[str], tyro.conf.arg(metavar="MODEL", help=MODEL)]
SCRIPT, MODULE = "ddpm-lite", "python -m ddpm_lite"  # the two ways to start the command line


@dataclass(frozen=True)
class Run:
    """The options that both kinds of training have.

    Args:
        preset: the name of the preset.
        config: How to train.
        unet: The network.
        out: the folder of the run; created if it does not exist.
        data: the folder of the data set's files; without it they are looked for, and downloaded if necessary.
        every: steps between two checkpoints.
        tokens: context tokens for each label.
        device: where to compute: auto takes a CUDA GPU if there is one; otherwise cpu, cuda, cuda:1, mps, ...
        tensorboard: also write the metrics for TensorBoard.
        start_from: the folder of another run, whose weights and average this run starts from; all else is new.
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

    If the folder has a checkpoint, the run resumes from there, bit for bit, so after a kill you can give the same
    command again. Ctrl-C writes a checkpoint before it stops the run. On several devices use
    accelerate launch -m ddpm_lite train ...
    """

    out: Path


@dataclass(frozen=True)
class TrainFolder(Run):
    """Train a network on a folder of your own pictures.

    If the pictures are in two or more subfolders, the names of these are the labels, for use in
    `sample ... --label NAME`. The same command again resumes the run, as long as the pictures are the same.

    Args:
        folder: the pictures, including those in subfolders.
        size: height and width to scale the pictures to; each level of the U-Net but the last halves it.
        grey: use one channel instead of three.
        crop: take the middle square of each picture; otherwise pictures that are not square are distorted.
        background: the colour of transparent pixels.
        skip_broken: leave out pictures that cannot be read, with a warning that names them.
        out: the folder of the run; by default runs/ and the name of the pictures' folder.
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
    """Sample images, and write them as one PNG.

    The defaults are the settings that the model cards were measured with, or equivalent to them.

    Args:
        out: the picture to write, a name that ends in .png; or in .npy, for an array (N, C, H, W) with values in about
            [-1, 1].
        label: the labels to sample, by number or name (3, sneaker), one row for each; "all" takes all of them.
            Without it, a model with labels samples without a condition.
        count: the number of images, or of images for each label.
        sampler: ddpm is Algorithm 2, which measured better with 50 steps; ddim is deterministic, and better with few
            steps; heun is deterministic too, and evaluates the network twice in each step.
        steps: the number of steps, up to the T that the model was trained with.
        scale: guidance weight w: 0 is the conditional model, and larger values strengthen the label. Needs a label.
        seed: determines the noise; the same seed on the same device with the same number of threads gives the same
            images. With one number for each image, an image does not depend on the others.
        captions: write the label beside each row. Needs Pillow.
        separate: a folder to write each image to as well, in its own file and at the network's resolution.
        animate: write the path from noise to the images too, under a name that ends in .gif. Needs Pillow.
        device: where to compute: auto takes a CUDA GPU if there is one; otherwise cpu, cuda, cuda:1, mps, ...
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

    Weights are rounded to float16, those of a large network to 89 levels for each row of a matrix, and
    ddpm_lite/viz/js/shared/unet.js runs the network.

    Args:
        out: the script to write, a name that ends in .js; pages refer to the network by this name.
    """

    model: Model
    out: Path


@dataclass(frozen=True)
class Evaluate:
    """Measure the quality of a model's images, and compare it with images of known quality.

    The labels are sampled in turn. The table has a row for each seed, their mean and spread, and rows for as many real
    images, for real images with noise or blur, and for noise. Distances are to held-out real images, in the feature
    space of a small classifier. Lower is better, and the row of real images shows how low a distance can be.

    Args:
        count: images in each row, at most the number of training images. Distances depend on it.
        sampler: as for sample; by default ddpm, or ddim if eta is given.
        steps: the number of steps, up to the T that the model was trained with.
        eta: the share of fresh noise in a step of ddim, 0 to 1.
        scale: guidance weight w: 0 is the conditional model, and larger values strengthen the label.
        seeds: the seeds of the noise, one for each row.
        out: a file to record everything in, a name that ends in .json.
        data: the folder of the data set's files; without it they are looked for, and downloaded if necessary.
        device: where to compute: auto takes a CUDA GPU if there is one; otherwise cpu, cuda, cuda:1, mps, ...
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
    """Check this machine.

    It reports versions, whether the device agrees with the CPU, memory, disk space, the places of the data sets, and
    how long each preset would take. That is estimated from a few training steps, at the present load of the machine.
    The exit code is 1 if something is wrong.

    Args:
        device: the device to check: auto takes a CUDA GPU if there is one; otherwise cpu, cuda, cuda:1, mps, ...
    """

    device: str = "auto"


@dataclass(frozen=True)
class Examine:
    """Check a model and its schedule for the usual mistakes.

    Each check has a known answer: signal left at T, tables, weights that are never called, images of a batch that are
    mixed, whether the time is told, the loss, and the weights of the sampler's steps. The sampler is the
    package's own; in Python, ddpm_lite.examine checks the parts of your program. The exit code is 1 if one is wrong.

    Args:
        images: some of the training images, a file that ends in .npy, an array (N, C, H, W) as the network gets it.
        sampler: the sampler to check with the model's schedule, as for sample.
        steps: the number of its steps, up to the T that the model was trained with.
    """

    model: Model
    images: Path | None = None
    sampler: Sampler = "ddpm"
    steps: int = 50


@dataclass(frozen=True)
class Verify:
    """Compare every byte of a run's checkpoints with its SHA-256.

    It names each checkpoint and any damage; the exit code is 1 if one is damaged, or if there is none.

    Args:
        folder: a folder that train wrote.
    """

    folder: Annotated[Positional[Path], tyro.conf.arg(metavar="FOLDER")]


Asked: TypeAlias = Train | TrainFolder | Sample | Evaluate | ExportPage | Examine | Doctor | Verify


def name_program() -> str:
    """Name the program as it was called, for help and for commands that can be pasted."""
    return SCRIPT if Path(sys.argv[0]).stem == SCRIPT else MODULE


def build_commands() -> object:
    """Build the union of commands that tyro chooses from; each preset is a `train` with its own defaults."""
    trains = tuple(
        Annotated[
            Train,
            subcommand(name, default=Train(name, p.config, p.unet, Path("runs") / name, p.every), description=p.about),
        ]
        for name, p in PRESETS.items()
    )
    about = "A folder of your own pictures; `train FOLDER` is short for `train folder FOLDER`."
    trains += (Annotated[TrainFolder, subcommand("folder", description=about)],)
    others = {"sample": Sample, "evaluate": Evaluate, "export-page": ExportPage}
    others |= {"examine": Examine, "doctor": Doctor, "verify": Verify}
    return Union[
        Annotated[Union[trains], subcommand("train", description="Train a network into a folder.")],  # noqa: UP007
        *(Annotated[one, subcommand(name)] for name, one in others.items()),
    ]


def parse_arguments(argv: list[str], about: str = "") -> Asked:
    """Parse the command line.

    Args:
        argv: the arguments after the program's name.
        about: the opening text of --help.

    Raises:
        ValueError: the arguments are wrong; the message is the whole output.
    """
    if argv[:1] == ["train"] and argv[1:] and argv[1] not in (*PRESETS, "folder") and argv[1][:1] != "-":
        if not expand_home(Path(argv[1])).is_dir():
            fail(ValueError, "train", f"{', '.join(PRESETS)} or an existing folder of pictures", f"{argv[1]!r}")
        argv = ["train", "folder", *argv[1:]]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            asked = cast("type[Asked]", build_commands())  # the union is computed
            found: Any = tyro.cli(asked, args=argv, prog=name_program(), description=about)
            values = {each.name: getattr(found, each.name) for each in fields(found)}
            return replace(found, **{name: expand_home(p) for name, p in values.items() if isinstance(p, Path)})
    except SystemExit as end:
        if not end.code:  # --help
            raise
    raise ValueError(_extract_line(said.getvalue()))


# The messages of Python and tyro about a word that is not a number, and plainer ones.
NO_NUMBER = (
    (r"invalid literal for int\(\) with base 10: ('.*?')", r"expected a whole number, got \1"),
    (r"could not convert string to float: ('.*?')", r"expected a number, got \1"),
    (r"Could not find valid parse for arguments: \[(.*?)\]", r"expected whole numbers, got \1"),
)


def _extract_line(box: str) -> str:
    """Extract one line from the box that tyro draws: the error, and the suggestions from the advice below it.

    The box itself is hard to read: for a wrong --config.steps it names a class of tyro, and it mentions int().
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
    return f"{wrong}; see --help"


def write_command(asked: Evaluate) -> str:
    """Write the command that has these options."""
    words = [asked.model]
    for option in fields(asked):
        value = getattr(asked, option.name)
        if option.name != "model" and value != option.default:
            words += [f"--{option.name}", *map(str, value if isinstance(value, tuple) else [value])]
    return f"{MODULE} evaluate {shlex.join(words)}"
