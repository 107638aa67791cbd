"""A check of the machine: versions, device, memory, disk, and how long each preset would take at the present load."""

import os
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from ddpm_lite.files.published import CIFAR10, EMOJI, FASHION, FASHION_PACKAGE, find_data_folder
from ddpm_lite.files.records import find_version
from ddpm_lite.runs.presets import PRESETS, Preset, network
from ddpm_lite.schedule import linear_schedule
from ddpm_lite.trainer import train

OPTIONAL = {
    "run": ("accelerate",),
    "data": ("scikit-learn", "pillow", "pooch"),
    "hub": ("huggingface_hub",),
}
# Relative to the norm. With TF32, a GPU rounds float32 factors to ten bits, by up to 0.0005, in each layer.
PARITY = 5e-3


def check_machine(device: torch.device, folder: Path) -> Iterator[tuple[bool, str, str]]:
    """Check the machine; yield for each finding whether it is all right, its name, and a description."""
    yield (
        True,
        "versions",
        ", ".join(f"{name} {find_version(name)}" for name in ("ddpm-lite", "torch", "numpy", "safetensors")),
    )
    yield True, "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for extra, names in OPTIONAL.items():
        missing = [name for name in names if find_version(name) == "?"]
        advice = f'no {", ".join(missing)}: pip install "ddpm-lite[{extra}]"' if missing else ""
        yield True, f"extra {extra}", advice or ", ".join(f"{name} {find_version(name)}" for name in names)
    yield True, "device", _describe_device(device)
    error = measure_parity(device)
    yield (
        error <= PARITY,
        "parity",
        f"float32 on {device} differs from float64 on the CPU by {error:.1e}; at most {PARITY:g} is allowed",
    )
    yield True, "memory", _describe_memory(device)
    largest = 16 * sum(p.numel() for p in _build_on_meta(PRESETS["cifar10"]).parameters())
    free = shutil.disk_usage(folder).free
    need = f"{free / 1e9:.1f} GB free in {str(folder)!r}; cifar10 needs {3 * largest / 1e9:.1f} GB for its checkpoints"
    yield free >= 3 * largest, "disk", need
    yield True, "data", _find_data()
    for name, preset in PRESETS.items():
        seconds = time_step(preset, device)
        steps = preset.config.steps
        yield True, name, f"about {format_duration(seconds * steps)} for {steps:,} steps of {seconds:.2g} s"
    yield True, "bf16", _compare_bf16(device)


def measure_parity(device: torch.device) -> float:
    """Compare the output and gradient of a small network with float64 on the CPU; return the relative difference."""
    torch.manual_seed(0)
    model = network(PRESETS["digits"].unet, 10).double()
    torch.nn.init.normal_(model.get_parameter("unet.conv_out.weight"), std=0.1)
    x_t, labels = torch.randn(8, 1, 8, 8, dtype=torch.float64), torch.arange(8)

    def compute(device, dtype):
        model.to(device, dtype).zero_grad()
        z_hat = model(x_t.to(device, dtype), 300, labels.to(device))
        z_hat.square().sum().backward()
        gradients = [p.grad.flatten() for p in model.parameters()]
        return [value.detach().double().cpu() for value in (z_hat.flatten(), torch.cat(gradients))]

    exact, here = compute("cpu", torch.float64), compute(device, torch.float32)
    return max(float((a - b).norm() / a.norm()) for a, b in zip(exact, here, strict=True))


def time_step(preset: Preset, device: torch.device, patience: float = 1.5) -> float:
    """Measure the seconds of one training step, over three steps.

    If a whole batch takes longer than `patience` seconds, a part of it is timed, and the time is multiplied.
    """
    whole, part = preset.config.batch_size, 2
    while True:
        seconds = _time_three_steps(preset, device, part)
        if part == whole or 2 * seconds > patience:
            return seconds * whole / part
        part = min(whole, part * max(2, min(16, int(patience / 4 / seconds))))


def _time_three_steps(preset: Preset, device: torch.device, batch_size: int) -> float:
    config = replace(preset.config, steps=4, batch_size=batch_size)
    shape = (batch_size, preset.unet.in_channels, preset.unet.sample_size, preset.unet.sample_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    model = network(preset.unet, len(preset.words)).to(device)
    labels = None if preset.unet.context_dim is None else torch.zeros(batch_size, dtype=torch.int64)
    times = []
    for _ in train(model, linear_schedule(), images, config, labels=labels, none=getattr(model, "none", None)):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter())
    return (times[-1] - times[0]) / 3


def _compare_bf16(device: torch.device) -> str:
    """Say whether bfloat16 is faster here, measured on the fashion preset; some processors only emulate it."""
    plain, part = PRESETS["fashion"], 2 if device.type == "cpu" else 64
    seconds = {}
    for precision in ("no", "bf16"):
        config = replace(plain.config, mixed_precision=precision)
        seconds[precision] = _time_three_steps(replace(plain, config=config), device, part)
    times = seconds["no"] / seconds["bf16"]
    if times > 1.1:
        return f"{times:.1f} times as fast as float32: use --config.mixed-precision bf16"
    return f"{1 / times:.1f} times the time of float32: leave --config.mixed-precision at no"


def format_duration(seconds: float) -> str:
    """Write a duration in a suitable unit."""
    for limit, unit, name in ((90, 1, "second"), (5400, 60, "minute"), (129_600, 3600, "hour"), (1e18, 86_400, "day")):
        if seconds < limit:
            number = max(1, round(seconds / unit))
            return f"{number} {name}" + ("s" if number > 1 else "")
    return "for ever"


def _describe_device(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device}: {torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return f"{device}: {os.cpu_count()} cores, of which torch uses {torch.get_num_threads()}"


def _describe_memory(device: torch.device) -> str:
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free on {device}"
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines}
        return f"{found['MemAvailable'] / 1e9:.1f} of {found['MemTotal'] / 1e9:.1f} GB free"
    except (OSError, LookupError, ValueError):  # not on Linux
        try:
            import psutil
        except ImportError:
            return "unknown on this system; pip install psutil to see it"
        memory = psutil.virtual_memory()
        return f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"


def _find_data() -> str:
    """Say where each data set is, without downloading anything."""
    home = find_data_folder()
    digits = "with scikit-learn" if find_version("scikit-learn") != "?" else "needs scikit-learn"
    here = [place for place in (home, FASHION_PACKAGE) if all((place / name).is_file() for name in FASHION)]
    fashion = f"in {str(here[0])!r}" if here else "31 MB to download"
    cifar10 = f"in {str(home)!r}" if (home / CIFAR10).is_file() else "170 MB to download"
    emoji = f"in {str(home)!r}" if all((home / name).is_file() for name in EMOJI) else "62 MB to download"
    return f"digits {digits}; fashion {fashion}; cifar10 {cifar10}; emoji {emoji}"


def _build_on_meta(preset: Preset) -> torch.nn.Module:
    with torch.device("meta"):
        return network(preset.unet, len(preset.words))
