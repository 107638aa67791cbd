"""ddpm_lite: denoising diffusion in small exact pieces, one function for each equation of the book."""

from ddpm_lite.attention import MultiHeadAttention, attention, attention_weights
from ddpm_lite.data import load_digits, load_photo
from ddpm_lite.oracle import GaussianChain
from ddpm_lite.process import ddpm_loss, mean_from_noise, posterior, predict_x_0, predict_z, q_sample, q_step
from ddpm_lite.sampler import ddpm_step, sample
from ddpm_lite.schedule import Schedule, cosine_schedule, linear_schedule
from ddpm_lite.trainer import TrainConfig, TrainState, train
from ddpm_lite.unet import UNet, UNetConfig, time_embedding

__version__ = "0.1.0"

__all__ = [
    "GaussianChain",
    "MultiHeadAttention",
    "Schedule",
    "TrainConfig",
    "TrainState",
    "UNet",
    "UNetConfig",
    "attention",
    "attention_weights",
    "cosine_schedule",
    "ddpm_loss",
    "ddpm_step",
    "linear_schedule",
    "load_digits",
    "load_photo",
    "mean_from_noise",
    "posterior",
    "predict_x_0",
    "predict_z",
    "q_sample",
    "q_step",
    "sample",
    "time_embedding",
    "train",
]
