"""ddpm_lite: denoising diffusion (DDPM), with one tested function for each equation of the book."""

from ddpm_lite.attention import MultiHeadAttention, attention, attention_weights
from ddpm_lite.bound import bound_terms, bound_weight, decoder_nll, gaussian_kl, min_snr_weight, prior_bits_per_dim
from ddpm_lite.condition import ConditionalUNet, LabelEncoder, NameEncoder, drop_labels, guided, in_parts, z_model
from ddpm_lite.data import (
    images_from_folder,
    load_cifar10,
    load_digits,
    load_emoji,
    load_fashion_mnist,
    load_photo,
    open_pictures,
)
from ddpm_lite.files.diffusers import from_diffusers, from_pretrained, save_pretrained
from ddpm_lite.files.weights import load_pretrained
from ddpm_lite.oracle import GaussianChain, GaussianMixture
from ddpm_lite.process import (
    ddpm_loss,
    flow_from_z,
    mean_from_noise,
    posterior,
    predict_x_0,
    predict_z,
    q_sample,
    q_step,
    score_from_z,
    velocity,
    x_0_from_v,
    z_from_flow,
    z_from_mean,
    z_from_score,
    z_from_v,
)
from ddpm_lite.runs.compare.program import compare_program
from ddpm_lite.runs.examine.program import examine
from ddpm_lite.runs.fit import fit
from ddpm_lite.runs.models import open_model
from ddpm_lite.sampler import ddim_step, ddpm_step, heun_step, last, sample
from ddpm_lite.schedule import Schedule, cosine_schedule, linear_schedule, precondition, respace, schedule_from_levels
from ddpm_lite.trainer import TrainConfig, TrainState, train
from ddpm_lite.unet import UNet, UNetConfig, time_embedding

__version__ = "0.1.0"

__all__ = [
    "ConditionalUNet",
    "GaussianChain",
    "GaussianMixture",
    "LabelEncoder",
    "MultiHeadAttention",
    "NameEncoder",
    "Schedule",
    "TrainConfig",
    "TrainState",
    "UNet",
    "UNetConfig",
    "attention",
    "attention_weights",
    "bound_terms",
    "bound_weight",
    "compare_program",
    "cosine_schedule",
    "ddim_step",
    "ddpm_loss",
    "ddpm_step",
    "decoder_nll",
    "drop_labels",
    "examine",
    "fit",
    "flow_from_z",
    "from_diffusers",
    "from_pretrained",
    "gaussian_kl",
    "guided",
    "heun_step",
    "images_from_folder",
    "in_parts",
    "last",
    "linear_schedule",
    "load_cifar10",
    "load_digits",
    "load_emoji",
    "load_fashion_mnist",
    "load_photo",
    "load_pretrained",
    "mean_from_noise",
    "min_snr_weight",
    "open_model",
    "open_pictures",
    "posterior",
    "precondition",
    "predict_x_0",
    "predict_z",
    "prior_bits_per_dim",
    "q_sample",
    "q_step",
    "respace",
    "sample",
    "save_pretrained",
    "schedule_from_levels",
    "score_from_z",
    "time_embedding",
    "train",
    "velocity",
    "x_0_from_v",
    "z_from_flow",
    "z_from_mean",
    "z_from_score",
    "z_from_v",
    "z_model",
]
