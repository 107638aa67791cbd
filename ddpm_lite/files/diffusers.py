"""Exchange with diffusers: read and write the folders of its DDPMPipeline and DDIMPipeline.

The two packages differ in names and conventions, which are translated here and nowhere else:

    here                          in diffusers
    t in 1..T                     timestep = t - 1 in 0..T-1 (the U-Net itself counts its positions from 0)
    variance beta_tilde, beta     variance_type fixed_small, fixed_large
    clip                          clip_sample (ddim_step clips as `use_clipped_model_output=True` there)
    ddim_step, ddpm_step          DDIMScheduler, DDPMScheduler
    respace(schedule, 50)         num_inference_steps=50 with timestep_spacing "trailing"; with fixed_large, diffusers
                                  adds noise in a last step that is longer than 1, and we do not
    sines first, then cosines     flip_sin_to_cos sets the order; the columns that multiply them are swapped
    attention_levels              a block type for each level, down and up

A setting without a counterpart here is refused by its name, so that nothing is loaded incompletely.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ddpm_lite._check import (
    Time,
    check_bool,
    check_choice,
    check_variance,
    check_whole,
    check_whole_schedule,
    describe,
    fail,
    to_path,
    to_times,
    unwrap,
)
from ddpm_lite.condition import ConditionalUNet, ZModel
from ddpm_lite.files.diffusers_settings import (
    ANY,
    FILES,
    INDEX,
    LAYOUT,
    OLD,
    OLD_KEYS,
    ONLY_SAFETENSORS,
    PICKLES,
    SCHEDULERS,
    UNET,
    VARIANCE,
    WEIGHTS,
    from_config,
    from_schedule,
    list_defaults,
    to_config,
    to_schedule,
)
from ddpm_lite.files.weights import check_tensors, write_beside
from ddpm_lite.sampler import ddim_step, ddpm_step
from ddpm_lite.schedule import Schedule, respace
from ddpm_lite.unet import UNet


def save_pretrained(
    folder: str | Path,
    model: nn.Module,
    schedule: Schedule,
    *,
    variance: str = "beta_tilde",
    clip: bool = True,
    scheduler: str = "ddpm",
) -> None:
    """Write a folder that diffusers' DDPMPipeline or DDIMPipeline opens, either completely or not at all.

    Args:
        folder: a new or empty folder, or one with an earlier pipeline and nothing else, which is then replaced. The new
            folder is written beside it and renamed, so there is a complete one at any time (after a power cut between
            two renames, it is the earlier one, under a name that begins with a dot).
        model: a UNet without context_dim, because UNet2DModel has no cross-attention. It may be compiled.
        schedule: the schedule that it was trained with, not re-spaced, because diffusers takes the steps when sampling.
        variance, clip: options of sampling, as in `ddpm_step`.
        scheduler: "ddpm" for a DDPMPipeline, "ddim" for a DDIMPipeline with trailing times, whose variance is set by
            eta when sampling.

    Raises:
        ValueError: a model or option that diffusers has no counterpart for, or a folder with other files in it.
    """
    from safetensors.torch import save as to_bytes

    model, target = unwrap(model), to_path("folder", folder).resolve()
    if not isinstance(model, UNet) or model.config.context_dim is not None:
        got = f"context_dim={model.config.context_dim}" if isinstance(model, UNet) else type(model).__name__
        fail(ValueError, "model", "a UNet without context_dim, like UNet2DModel", got, "use files.weights.save")
    check_whole_schedule(schedule, "the model")
    check_choice("scheduler", scheduler, "ddpm", "ddim")
    if check_variance(variance) == "beta" and scheduler == "ddim":
        fail(ValueError, "variance", '"beta_tilde", which is eta = 1 of DDIM', f"{variance!r}")
    clip = check_bool("clip", clip)
    inside = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    if inside - set(FILES) or (target.exists() and not target.is_dir()):
        got = f"one with {min(inside - set(FILES))!r} in it" if inside else "a file"
        fail(ValueError, "folder", "a new or empty folder, or one with only an earlier pipeline", got, "choose another")

    name = scheduler.upper()
    options = list_defaults(SCHEDULERS[f"{name}Scheduler"]) | from_schedule(schedule) | {"clip_sample": clip}
    if scheduler == "ddpm":
        options["variance_type"] = "fixed_small" if variance == "beta_tilde" else "fixed_large"
    else:
        options["timestep_spacing"] = "trailing"
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    index = {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", f"{name}Scheduler"]}
    contents = (
        _to_json(f"{name}Pipeline", index),
        _to_json(f"{name}Scheduler", options),
        _to_json("UNet2DModel", list_defaults(UNET) | from_config(model.config)),
        to_bytes(tensors, metadata={"format": "pt"}),
    )
    _replace_folder(target, dict(zip(FILES, contents, strict=True)))


def from_pretrained(
    source: str | Path, *, revision: str | None = None, steps: int | None = None
) -> tuple[UNet, Schedule, Callable[..., Tensor]]:
    """Open a diffusers DDPMPipeline or DDIMPipeline, from a folder or the hub, to sample from it as diffusers does.

    Args:
        source: a folder, or "owner/name" on the hub (needs `pip install "ddpm-lite[hub]"`).
        revision: a branch, tag or commit of the repository on the hub; None is its main branch.
        steps: re-space the schedule to this many steps, with the folder's spacing; None takes all of them.

    Returns:
        The U-Net in eval mode and float32, its schedule, and its step: `sample(model, schedule, shape, step=step)`.
        The step is `ddpm_step` with variance and clip bound, or `ddim_step` with clip (`step.keywords`); its eta is 0.

    Raises:
        ValueError: a setting or tensor without a counterpart here, by name; weights in another format than
            safetensors. FileNotFoundError: no such folder or file, or the hub cannot be reached.
    """
    folder = to_path("source", source)
    if folder.suffix in PICKLES:
        fail(ValueError, "source", "a folder or a hub id", repr(str(source)), ONLY_SAFETENSORS)
    if not folder.is_dir():
        folder = _download(source, revision)
    pipeline, index = _read_options(folder, "model_index.json", {"DDPMPipeline": INDEX, "DDIMPipeline": INDEX})
    # the oldest published pipelines have no subfolders
    unet, file = ("unet/" if (folder / "unet").is_dir() else ""), "scheduler/scheduler_config.json"
    file = file if (folder / "scheduler").is_dir() else "scheduler_config.json"

    named = (index["scheduler"] or ["diffusers", pipeline.replace("Pipeline", "Scheduler")])[1]
    if pipeline == "DDIMPipeline" and named == "DDPMScheduler":
        fail(ValueError, "model_index.json: scheduler", "a DDIMScheduler in a DDIMPipeline", repr(named))
    kind, options = _read_options(folder, file, {named: SCHEDULERS[named] | OLD})
    schedule, spacing = to_schedule(file, options), options["timestep_spacing"]
    if steps is not None and check_whole("steps", steps, 1, schedule.T) != schedule.T:
        if spacing == "linspace":
            fail(ValueError, f"{file}: timestep_spacing", "'leading' or 'trailing' with steps", repr(spacing))
        schedule = respace(schedule, steps, spacing)
    if kind == "DDIMScheduler":
        step = partial(ddim_step, clip=options["clip_sample"])
    else:
        step = partial(ddpm_step, variance=VARIANCE[options["variance_type"]], clip=options["clip_sample"])
    _, options = _read_options(folder, f"{unet}config.json", {"UNet2DModel": UNET})
    with torch.device("meta"):
        model = UNet(to_config(f"{unet}config.json", options))
    model.load_state_dict(_read_weights(folder, f"{unet}{WEIGHTS}", model, options["flip_sin_to_cos"]), assign=True)
    return model.eval(), schedule, step


def from_diffusers(model: nn.Module) -> nn.Module:
    """Adapt a diffusers network to a model (x_t, t, context) -> z_hat: it is called at t - 1 and its output unpacked.

    Args:
        model: a UNet2DModel, or another network whose forward is (sample, timestep, class_labels), trained to predict
            the noise. If it predicts v or x_0, pass the result to `z_model`. A context becomes its class labels.

    Returns:
        A module with the network at `.model`, to be trained or sampled from like any other.

    Raises:
        TypeError: the model is not a module.
    """
    if not isinstance(model, nn.Module):
        advice = "pass pipeline.unet" if hasattr(model, "unet") else "use from_pretrained for the folder of a pipeline"
        fail(TypeError, "model", "a diffusers network", type(model).__name__, advice)
    if isinstance(unwrap(model), UNet | ConditionalUNet | ZModel):
        got = f"{type(unwrap(model)).__name__}, a model of this package"
        fail(TypeError, "model", "a diffusers network", got, "pass it without the adapter, which evaluates at t - 1")
    return _FromDiffusers(model)


class _FromDiffusers(nn.Module):
    """The module that `from_diffusers` returns."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x_t: Tensor, t: Time, context: Tensor | None = None) -> Tensor:
        labels = {} if context is None else {"class_labels": context}
        return self.model(x_t, to_times(t, x_t) - 1, return_dict=False, **labels)[0]


def _to_json(kind: str, options: dict) -> bytes:
    options = {"_class_name": kind, "_diffusers_version": LAYOUT} | options
    return (json.dumps(options, indent=2, sort_keys=True) + "\n").encode()


def _read_options(folder: Path, file: str, tables: dict[str, dict]) -> tuple[str, dict]:
    """Read a config file: its class, which must be in `tables`, and its settings on top of diffusers' defaults.

    A setting without a counterpart here is refused by its name.
    """
    if not (folder / file).is_file():
        fail(
            FileNotFoundError,
            "source",
            f"the folder of a diffusers pipeline, with {file}",
            f"{str(folder)!r} without it",
        )
    try:
        given = json.loads((folder / file).read_text(encoding="utf8"))
        found = given.pop("_class_name", None)
    except (ValueError, AttributeError, TypeError):
        raise ValueError(f"{file}: expected a JSON object, got a damaged file in {str(folder)!r}") from None
    if found not in tables:
        kinds = " or ".join(map(repr, tables))
        fail(ValueError, f"{file}: _class_name", kinds, repr(found), "other kinds are not supported")
    table = tables[found]
    for key, value in given.items():
        if key in table:
            allowed = table[key][1]
            if allowed is not ANY and value not in allowed:
                fail(ValueError, f"{file}: {key}", " or ".join(map(repr, allowed)), repr(value), "not supported here")
        elif value is not None and not key.startswith("_"):
            fail(ValueError, f"{file}: {key}", "no such setting", repr(value), "not supported here")
    return found, list_defaults(table) | {key: value for key, value in given.items() if key in table}


def _read_weights(folder: Path, file: str, model: UNet, flipped: bool) -> dict[str, Tensor]:
    """Read the file's tensors in float32, under the model's names, and check that they are exactly the model's."""
    from safetensors import SafetensorError, safe_open

    path = folder / file
    if not path.is_file():
        found = sorted(p.name for p in path.parent.iterdir() if p.is_file() and p.suffix != ".json")
        fail(FileNotFoundError, "source", f"a folder with {file}", f"{found or 'no weights'}", ONLY_SAFETENSORS)
    try:
        with safe_open(path, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name).float() for name in opened.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise ValueError(f"{file}: expected a whole safetensors file, got a damaged one ({error})") from None
    old = re.compile(r"(\.attentions\.\d+\.)(query|key|value|proj_attn)(?=\.)")
    tensors = {old.sub(lambda m: m[1] + OLD_KEYS[m[2]], name): value for name, value in tensors.items()}
    try:
        check_tensors(model.state_dict(), tensors)
    except ValueError as error:
        raise ValueError(f"{file}: {error}; the weights do not fit their config") from None
    if flipped:  # diffusers has the cosines first, so swap the two halves of the columns that multiply them
        name = "time_embedding.linear_1.weight"
        tensors[name] = tensors[name].roll(tensors[name].shape[1] // 2, dims=1)
    return tensors


def _download(source: str | Path, revision: str | None) -> Path:
    """Download the pipeline from the hub, or take it from the hub's cache."""
    if not isinstance(source, str) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", source):
        fail(FileNotFoundError, "source", 'an existing folder or a hub id "owner/name"', describe(source))
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ImportError('a hub id needs huggingface_hub: pip install "ddpm-lite[hub]"') from error
    files = [*FILES, *(name.rpartition("/")[2] for name in FILES)]
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=files))
    except Exception as error:  # the class depends on the version and the cause, but the meaning is the same
        reason = " ".join(str(error).split())
        line = f"source: expected an existing folder or a hub id that can be reached, got {source!r} ({reason})"
        raise FileNotFoundError(line) from error


def _replace_folder(target: Path, files: dict[str, bytes]) -> None:
    """Replace the target by a folder of these files; whatever fails, the old or the new folder is there."""
    with write_beside(target) as beside:
        for name, content in files.items():
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            (beside / name).write_bytes(content)
