"""The settings of diffusers: their names and defaults, the values that are supported, and their translation."""

import re

import torch

from ddpm_lite._check import check_real, check_whole, fail
from ddpm_lite.schedule import Schedule, cosine_schedule, linear_schedule
from ddpm_lite.unet import UNetConfig

LAYOUT = "0.35.0"  # the version of diffusers whose layout is written; older and newer versions read it too
WEIGHTS = "diffusion_pytorch_model.safetensors"
FILES = ("model_index.json", "scheduler/scheduler_config.json", "unet/config.json", f"unet/{WEIGHTS}")
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
ONLY_SAFETENSORS = "only safetensors is read, as opening a .bin, .pt, .ckpt or .pkl file can run code"

ANY = None
# Each setting of diffusers: its default there, and the values that have a counterpart in this package.
INDEX = {
    "unet": (None, (["diffusers", "UNet2DModel"],)),
    "scheduler": (None, (["diffusers", "DDPMScheduler"], ["diffusers", "DDIMScheduler"])),
}
UNET = {
    "sample_size": (None, ANY),
    "in_channels": (3, ANY),
    "out_channels": (3, ANY),
    "center_input_sample": (False, (False,)),
    "time_embedding_type": ("positional", ("positional",)),
    "time_embedding_dim": (None, ANY),
    "freq_shift": (0, (0, 1)),
    "flip_sin_to_cos": (True, (True, False)),
    "down_block_types": (["DownBlock2D"] + ["AttnDownBlock2D"] * 3, ANY),
    "mid_block_type": ("UNetMidBlock2D", ("UNetMidBlock2D",)),
    "up_block_types": (["AttnUpBlock2D"] * 3 + ["UpBlock2D"], ANY),
    "block_out_channels": ([224, 448, 672, 896], ANY),
    "layers_per_block": (2, ANY),
    "mid_block_scale_factor": (1, (1,)),
    "downsample_padding": (1, (0, 1)),
    "downsample_type": ("conv", ("conv",)),
    "upsample_type": ("conv", ("conv",)),
    "dropout": (0.0, ANY),
    "act_fn": ("silu", ("silu", "swish")),
    "attention_head_dim": (8, ANY),
    "norm_num_groups": (32, ANY),
    "attn_norm_num_groups": (None, ANY),
    "norm_eps": (1e-5, ANY),
    "resnet_time_scale_shift": ("default", ("default",)),
    "add_attention": (True, (True, False)),
    "class_embed_type": (None, (None,)),
    "num_class_embeds": (None, (None,)),
    "num_train_timesteps": (None, ANY),  # used by a learnt time embedding only
}
# of both schedulers
SHARED = {
    "num_train_timesteps": (1000, ANY),
    "beta_start": (1e-4, ANY),
    "beta_end": (0.02, ANY),
    "beta_schedule": ("linear", ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid")),
    "trained_betas": (None, ANY),
    "clip_sample": (True, (True, False)),
    "clip_sample_range": (1.0, (1.0,)),
    "prediction_type": ("epsilon", ("epsilon",)),
    "thresholding": (False, (False,)),
    "dynamic_thresholding_ratio": (0.995, ANY),
    "sample_max_value": (1.0, ANY),
    "timestep_spacing": ("leading", ("leading", "linspace", "trailing")),
    "steps_offset": (0, (0,)),
    "rescale_betas_zero_snr": (False, (False,)),
}
SCHEDULERS = {
    "DDPMScheduler": SHARED | {"variance_type": ("fixed_small", ("fixed_small", "fixed_small_log", "fixed_large"))},
    "DDIMScheduler": SHARED | {"set_alpha_to_one": (True, (True,))},  # the last step ends at alpha_bar_0 = 1, as ours
}
OLD = {"predict_epsilon": (True, (True,)), "tensor_format": ("pt", ANY)}  # settings from 2022
VARIANCE = {"fixed_small": "beta_tilde", "fixed_small_log": "beta_tilde", "fixed_large": "beta"}
# Our fields whose values need no translation, under diffusers' names.
FIELDS = {
    "sample_size": "sample_size",
    "in_channels": "in_channels",
    "block_out_channels": "channels",
    "layers_per_block": "blocks",
    "add_attention": "middle_attention",
    "attention_head_dim": "head_dim",
    "norm_num_groups": "groups",
    "dropout": "dropout",
    "norm_eps": "norm_eps",
    "freq_shift": "freq_shift",
    "downsample_padding": "downsample_padding",
}
OLD_KEYS = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def list_defaults(table: dict) -> dict:
    """List the settings of a table with diffusers' defaults."""
    return {key: default for key, (default, _) in table.items()}


def from_config(config: UNetConfig) -> dict:
    """Translate our config to diffusers' settings."""
    kinds = ["AttnDownBlock2D" if config.attends(level) else "DownBlock2D" for level in range(len(config.channels))]
    options = {theirs: getattr(config, ours) for theirs, ours in FIELDS.items()}
    options |= {"out_channels": config.in_channels, "flip_sin_to_cos": False}
    return options | {"down_block_types": kinds, "up_block_types": _mirror(kinds)}


def to_config(file: str, options: dict) -> UNetConfig:
    """Translate diffusers' settings to our config."""
    down = [kind.removeprefix("UNetRes") for kind in options["down_block_types"]]  # "UNetRes": names from 2022
    up = [kind.removeprefix("UNetRes") for kind in options["up_block_types"]]
    for kind in down:
        if kind not in ("DownBlock2D", "AttnDownBlock2D"):
            fail(ValueError, f"{file}: down_block_types", "'DownBlock2D' or 'AttnDownBlock2D'", repr(kind))
    width = options["block_out_channels"][0]
    for key, value, allowed in (
        ("up_block_types", up, [_mirror(down)]),
        ("block_out_channels", len(options["block_out_channels"]), [len(down)]),
        ("out_channels", options["out_channels"], [options["in_channels"]]),
        ("time_embedding_dim", options["time_embedding_dim"], [None, 4 * width]),
        ("attn_norm_num_groups", options["attn_norm_num_groups"], [None, options["norm_num_groups"]]),
    ):
        if value not in allowed:
            fail(ValueError, f"{file}: {key}", " or ".join(map(repr, allowed)), repr(value))
    fields = {ours: options[theirs] for theirs, ours in FIELDS.items()}
    fields["channels"] = tuple(fields["channels"])
    levels = tuple(level for level, kind in enumerate(down) if kind.startswith("Attn"))
    try:
        return UNetConfig(**fields, attention_levels="every" if len(levels) == len(down) else levels)
    except ValueError as error:  # the message begins with our name of the field
        names = {ours: theirs for theirs, ours in FIELDS.items()}
        line = re.sub(r"^\w+", lambda name: names.get(name[0], name[0]), str(error))
        raise ValueError(f"{file}: {line}") from None


def _mirror(down: list[str]) -> list[str]:
    return [kind.replace("Down", "Up") for kind in reversed(down)]


def from_schedule(schedule: Schedule) -> dict:
    """Translate the schedule to diffusers' name for it, or to the list of its betas if it has none."""
    beta, T = schedule.beta.double().cpu(), schedule.T
    first, last = float(beta[1]), float(beta[-1])
    if torch.allclose(beta, linear_schedule(T, first, last).beta, rtol=1e-12, atol=0):  # processors round differently
        return {"num_train_timesteps": T, "beta_start": first, "beta_end": last}
    if torch.allclose(beta, cosine_schedule(T).beta, rtol=1e-12, atol=0):
        return {"num_train_timesteps": T, "beta_schedule": "squaredcos_cap_v2"}
    return {"num_train_timesteps": T, "trained_betas": beta[1:].tolist()}


def to_schedule(file: str, options: dict) -> Schedule:
    """Compute the betas as diffusers does, but in float64."""
    kind, given, double = options["beta_schedule"], options["trained_betas"], torch.float64
    try:
        T = check_whole("num_train_timesteps", options["num_train_timesteps"], 1)
        first, last = (check_real(key, options[key], 0, 1, ends="()") for key in ("beta_start", "beta_end"))
        if given is not None:
            if len(given) != T:
                fail(ValueError, "trained_betas", f"num_train_timesteps = {T} numbers", f"{len(given)}")
            beta = torch.tensor(given, dtype=double)
        elif kind == "linear":
            return linear_schedule(T, first, last)
        elif kind == "squaredcos_cap_v2":
            return cosine_schedule(T)
        elif kind == "scaled_linear":
            beta = torch.linspace(first**0.5, last**0.5, T, dtype=double) ** 2
        else:
            beta = torch.linspace(-6, 6, T, dtype=double).sigmoid() * (last - first) + first
        return Schedule(torch.cat([torch.zeros(1, dtype=double), beta]))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from None
