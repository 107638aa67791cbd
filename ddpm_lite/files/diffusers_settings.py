"""The settings and files of diffusers: their names, their defaults, and the values that `files.diffusers` supports."""

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
