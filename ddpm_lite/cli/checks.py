"""Checks of what was asked that take more than one option: files to write, seeds and labels."""

from pathlib import Path

from ddpm_lite._check import check_whole, fail
from ddpm_lite.cli.options import Sample
from ddpm_lite.condition import ConditionalUNet
from ddpm_lite.unet import UNet


def check_files(asked: Sample) -> None:
    """Check that the files of `sample` can be written, before anything is computed."""
    if asked.out.suffix not in (".png", ".npy"):
        fail(ValueError, "--out", "a name that ends in .png, or in .npy for an array", f"{str(asked.out)!r}")
    if asked.animate is not None and asked.animate.suffix != ".gif":
        fail(ValueError, "--animate", "a name that ends in .gif", f"{str(asked.animate)!r}")
    for flag, path in (("--out", asked.out), ("--animate", asked.animate), ("--separate", asked.separate)):
        check_place(flag, path)
    if asked.animate is not None or asked.captions:
        _check_pillow("--animate" if asked.animate is not None else "--captions")


def check_place(flag: str, path: Path | None) -> None:
    """Check that a path can be written to, before anything is computed."""
    if path is not None and not path.parent.is_dir():
        kind = "a folder" if flag == "--separate" else "a file"
        fail(FileNotFoundError, flag, f"{kind} in an existing folder", f"{str(path)!r}", "make the folder")
    if flag == "--separate" and path is not None and path.exists() and not path.is_dir():
        fail(ValueError, flag, "a new or existing folder", f"{str(path)!r}, which is a file")


def _check_pillow(flag: str) -> None:
    try:
        import PIL  # noqa: F401 - only to check that it is installed
    except ImportError as error:
        raise ImportError(f'{flag} needs Pillow: pip install "ddpm-lite[data]"') from error


def check_seeds(flag: str, asked: tuple[int, ...], images: int) -> int | list[int]:
    """Check the seeds: one for all images, or one for each."""
    for seed in asked:
        check_whole(flag, seed, 0, 2**63 - 1)
    if len(asked) not in (1, images):
        fail(ValueError, flag, f"one whole number, or {images}, one for each image", f"{len(asked)} numbers")
    return asked[0] if len(asked) == 1 else list(asked)


def number_labels(asked: tuple[str, ...], model: UNet | ConditionalUNet, words: tuple[str, ...]) -> list[int]:
    """Convert labels to numbers."""
    if not asked:
        return []
    if not isinstance(model, ConditionalUNet):
        fail(ValueError, "--label", "none, because this model has no labels", " ".join(asked))
    count = model.encoder.labels
    if asked == ("all",):
        return list(range(count))
    named = list(enumerate(words[:count]))  # an exact match takes precedence over one in lower case
    known = {str(number): number for number in range(count)}
    known |= {word.lower(): i for i, word in named} | {word: i for i, word in named}
    for label in asked:
        if not {label, label.lower()} & known.keys():
            choice = f" or one of {', '.join(words)}" if words and not words[0].isdigit() else ""
            fail(ValueError, "--label", f"all, a number in 0..{count - 1}{choice}", f"{label!r}")
    return [known[label if label in known else label.lower()] for label in asked]
