"""Benchmarks of this package and other libraries, in one process, with the same shapes, in alternating rounds.

    make bench                         installs the other libraries, then measures and records everything
    python benchmarks/bench.py --part steps --rounds 7
    python benchmarks/bench.py --network cifar10 --batch 128      the paper's network, for a GPU

A time alone says little, because the load of a machine varies. What counts is the ratio of medians, in which both times
are from the same minute. Prints a table, writes book/results/bench-DEVICE.json, and with it the tables of
benchmarks/README.md.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import peers
import report
import torch
from torch.nn.functional import mse_loss
from torch.utils.flop_counter import FlopCounterMode

from ddpm_lite import UNetConfig, ddim_step, ddpm_step, linear_schedule
from ddpm_lite.files.records import name_processor

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "book" / "results"
NETWORKS = {
    "small": UNetConfig(32, 1, (32, 64, 128), blocks=2, attention_levels=(1, 2), groups=32),
    "cifar10": UNetConfig(32, 3, (128, 256, 256, 256), blocks=2, attention_levels=(1,), groups=32, dropout=0.1),
}
PARTS = ("steps", "samplers", "sampling", "imports", "memory", "peak")
KINDS = ("fp32", "bf16", "best")
BEST = "bf16, channels_last, compiled"  # images of each library on a GPU


def wait(device):
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def begin(device):
    """Allow the results of the last call to be overwritten, if the device uses CUDA graphs."""
    if device.type == "cuda":
        torch.compiler.cudagraph_mark_step_begin()


def interleaved(runs, rounds, device, about=0.5):
    """Measure the seconds of one call of each function; all take turns in every round, in a different order each time.

    In a round each is called as often as fits into `about` seconds, but at least once. The first round is a warm-up and
    does not count. What fails in it is left out, with a word: a compiler that cannot compile one library's network
    must not cost the times of the others.
    """
    times, repeats = {}, {}
    for name, run in runs.items():
        try:
            run()
        except RuntimeError as error:
            print(f"  {name} is left out: {str(error).splitlines()[0]}", flush=True)
            continue
        times[name] = []
        repeats[name] = max(1, min(300, round(about / _seconds(run, 1, device))))
        for _ in range(repeats[name] - 1):
            run()
    for number in range(rounds):
        names = list(times)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            times[name].append(_seconds(runs[name], repeats[name], device))
    return times


def _seconds(run, repeats, device):
    wait(device)
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    wait(device)
    return (time.perf_counter() - start) / repeats


def table(title, times, base):
    """Make and print rows for the record: median, spread, and the ratios to the row `base` and of ours to this row."""
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"\n{title}")
    rows = []
    for name, values in times.items():
        ratio = median[name] / median[base]
        row = {
            "name": name,
            "ms": 1e3 * median[name],
            "ratio": ratio,
            "low": 1e3 * min(values),
            "high": 1e3 * max(values),
        }
        ours = ""
        if peers.OURS in times and name != peers.OURS:
            row["ours"] = median[peers.OURS] / median[name]
            ours = f"   ours / this {row['ours']:.3f}"
        rows.append({key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()})
        print(f"  {name:32} {1e3 * median[name]:10.3f} ms   {ratio:6.3f} x {base}{ours}", flush=True)
    return rows


def autocast(device, dtype):
    """Return the context of a precision: fp32, or bf16 by autocast, for all four libraries alike."""
    return torch.autocast(device.type, torch.bfloat16) if dtype == "bf16" else nullcontext()


def train_step(model, x_0, device, dtype):
    """Return a function that takes one training step: noise, forward, backward, Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    t = torch.randint(1, 1001, (len(x_0),), device=device)
    z = torch.randn_like(x_0)

    def step():
        begin(device)
        optimizer.zero_grad()
        with autocast(device, dtype):
            loss = mse_loss(model(x_0 + z, t).float(), z)
        loss.backward()
        optimizer.step()

    return step


def forward(model, x_0, device, dtype):
    """Return a function that does one forward pass, as in sampling."""
    t = torch.full((len(x_0),), 500, device=device)

    def run():
        begin(device)
        with torch.no_grad(), autocast(device, dtype):
            model(x_0, t)

    return run


def measure_steps(options, device):
    """Measure a training step and a forward pass, for each library and precision."""
    config = NETWORKS[options.network]
    shape = (options.batch, config.in_channels, config.sample_size, config.sample_size)
    x_0 = torch.rand(shape, device=device) * 2 - 1
    models = {name: make(config).to(device) for name, make in peers.MAKERS.items()}
    counts = {name: peers.parameters(model) for name, model in models.items()}
    found = {"shape": list(shape), "parameters": counts}
    gain = 1.0
    if "bf16" in options.kind:
        gain = measure_half(models[peers.OURS], x_0, options, device)
        found["our step in bf16 over fp32"] = round(1 / gain, 3)
    # below a half, the processor emulates bf16, so further measurements are left out
    for kind, x in kinds(models, x_0, gain > 0.5, device, options.kind):
        for what, make in (("train", train_step), ("forward", forward)):
            runs = {name: make(model, x, device, kind[:4]) for name, model in models.items()}
            times = interleaved(runs, options.rounds, device)
            found[f"{what}, {kind}"] = table(f"{what}, {kind}, batch {shape}", times, "diffusers")
    return found


def kinds(models, x_0, half, device, only=KINDS):
    """Yield each kind of run with its input; the models are unchanged until the last kind is requested.

    `to(memory_format=...)` and `compile` change a model in place, so the plain kinds have to be measured before.
    """
    if "fp32" in only:
        yield "fp32", x_0
    if half and "bf16" in only:
        yield "bf16", x_0
    if device.type == "cuda" and "best" in only:
        for model in models.values():
            at_its_best(model)
        yield BEST, x_0.contiguous(memory_format=torch.channels_last)


def at_its_best(model):
    """Prepare a model for a GPU: channels_last, compiled, and with CUDA graphs."""
    model.to(memory_format=torch.channels_last)
    model.net.compile(mode="reduce-overhead")


def measure_half(model, x_0, options, device):
    """Measure the ratio of our training step in bf16 to that in fp32."""
    runs = {dtype: train_step(model, x_0, device, dtype) for dtype in ("fp32", "bf16")}
    rounds = min(options.rounds, 5)  # if the processor emulates bf16, a step takes as long as all others together
    times = {name: statistics.median(values) for name, values in interleaved(runs, rounds, device).items()}
    print(f"\nour train step in bf16 takes {times['bf16'] / times['fp32']:.2f} times as long as in fp32", flush=True)
    return times["fp32"] / times["bf16"]


def measure_samplers(options, device):
    """Measure a sampling step without the forward pass, for this package and diffusers."""
    from diffusers import DDIMScheduler, DDPMScheduler

    schedule, found = linear_schedule(), {}
    theirs = DDPMScheduler(1000, clip_sample=True)
    implicit = DDIMScheduler(1000, clip_sample=True)
    theirs.set_timesteps(1000)
    implicit.set_timesteps(1000)
    for shape in ((1, 1, 8, 8), (16, 1, 8, 8), (1, 3, 32, 32), (16, 3, 32, 32)):
        x_t, z_hat = torch.randn(shape, device=device), torch.randn(shape, device=device)
        runs = {
            "ddpm_step, noise given": lambda x=x_t, z=z_hat: ddpm_step(schedule, x, 500, 499, z, x),
            "ddpm_step": lambda x=x_t, z=z_hat: ddpm_step(schedule, x, 500, 499, z, torch.randn_like(x)),
            "ddim_step": lambda x=x_t, z=z_hat: ddim_step(schedule, x, 500, 499, z, x),
            "diffusers DDPM": lambda x=x_t, z=z_hat: theirs.step(z, 499, x),
            "diffusers DDIM": lambda x=x_t, z=z_hat: implicit.step(z, 499, x),
        }
        times = interleaved(runs, options.rounds, device, about=0.2)
        found[str(shape)] = table(f"a sampling step without the network, {shape}", times, "diffusers DDPM")
    return found


def measure_sampling(options, device):
    """Measure sampling with each library's own loop: the paper's 1,000 steps on a GPU, few on a CPU."""
    config, on_gpu = NETWORKS[options.network], device.type == "cuda"
    batch, steps = (options.batch, 1000) if on_gpu else (min(options.batch, 8), 10)
    shape, kind, runs = (batch, config.in_channels, config.sample_size, config.sample_size), "fp32", {}
    for name, make in peers.MAKERS.items():
        model = make(config).to(device).eval()
        if on_gpu:
            at_its_best(model)
            kind = BEST
        runs[name] = walk(model, shape, steps, device, kind[:4])
    title = f"{steps} steps of sampling, {kind}, batch {shape}"
    rows = table(title, interleaved(runs, options.rounds, device), "diffusers")
    return {"shape": list(shape), "steps": steps, "kind": kind, "rows": rows}


def walk(model, shape, steps, device, dtype):
    """Return a function that samples images in all steps."""
    loop = model.sampling(shape, steps, device)

    def run():
        with torch.no_grad(), autocast(device, dtype):
            return loop()

    return run


def measure_imports(options, device):
    """Measure the seconds of an import, each in a new process."""
    imports = [
        "torch",
        peers.OURS,
        "diffusers, UNet2DModel and DDPMScheduler",
        "smalldiffusion",
        "denoising_diffusion_pytorch",
    ]
    code = {name: f"import {name}" for name in imports}
    code[imports[2]] = "from diffusers import UNet2DModel, DDPMScheduler"

    def run(line):
        script = f"import time; s = time.perf_counter(); {line}; print(time.perf_counter() - s)"
        if "smalldiffusion" in line or "denoising" in line:
            names = ("torchvision", "torchvision.transforms", "torchvision.utils")
            fill = f"sys.modules.update({{name: MagicMock() for name in {names}}})"
            script = f"import sys; from unittest.mock import MagicMock; {fill}; {script}"
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=_environment()
        )
        return float(done.stdout.split()[-1])

    times = {name: [] for name in code}
    for _ in range(min(options.rounds, 5)):
        for name, line in code.items():
            times[name].append(run(line))
    return {"imports": table("import, a fresh process each", times, "torch")}


def _environment():
    """The peers can be imported, and byte code is used as in an installed library, which pip compiles."""
    here = str(Path(__file__).resolve().parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": path}


def measure_memory(options, device):
    """Measure the peak memory of a training step, each library in its own process."""
    found = {}
    print("\npeak memory of a training step")
    for name in peers.MAKERS:
        command = [sys.executable, __file__, "--peak-of", name, "--network", options.network]
        command += ["--batch", str(options.batch), "--device", device.type]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=_environment())
        found[name] = round(float(done.stdout.split()[-1]), 1)
        print(f"  {name:32} {found[name]:10.1f} MB")
    return found


def peak_of(options, device):
    """Measure the MB that three training steps add, in this process."""
    config = NETWORKS[options.network]
    model = peers.MAKERS[options.peak_of](config).to(device)
    x_0 = torch.rand(options.batch, config.in_channels, config.sample_size, config.sample_size, device=device)
    before = _most_memory()
    step = train_step(model, x_0, device, "fp32")
    for _ in range(3):
        step()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return _most_memory() - before


def _most_memory():
    """Read the peak memory of this process in MB from Linux, because getrusage's starts with that of the parent."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def measure_peak(options, device):
    """Measure the arithmetic of our training step, as a share of that of this machine's best convolution.

    The convolution has the batch, the precision and the memory layout of the step.
    """
    config, found, on_gpu = NETWORKS[options.network], {}, device.type == "cuda"
    model = peers.Ours(config).to(device)
    x_0 = torch.rand(options.batch, config.in_channels, config.sample_size, config.sample_size, device=device)
    with FlopCounterMode(display=False) as counter:
        train_step(model, x_0, device, "fp32")()
    work, width = counter.get_total_flops(), 256 if on_gpu else 128
    print(f"\na training step of {work / 1e9:.1f} GFLOP")
    for kind, x in kinds({peers.OURS: model}, x_0, on_gpu, device, options.kind):
        best = measure_convolution(kind, width, options, device)
        ours = {"step": train_step(model, x, device, kind[:4])}
        step = statistics.median(interleaved(ours, options.rounds, device)["step"])
        found[kind] = {
            "peak_gflops": round(best / 1e9, 1),
            "ours_gflops": round(work / step / 1e9, 1),
            "share": round(work / step / best, 3),
        }
        row = found[kind]
        print(f"  {kind}: {row['ours_gflops']} of {row['peak_gflops']} GFLOP/s, {row['share']:.0%}")
    return found


def measure_convolution(kind, width, options, device):
    """Measure the operations per second of a 3x3 convolution between `width` channels of 32x32 pixels."""
    dtype = torch.bfloat16 if kind[:4] == "bf16" else torch.float32
    layout = torch.channels_last if kind == BEST else torch.contiguous_format
    batch = options.batch if device.type == "cuda" else 32
    x = torch.randn(batch, width, 32, 32, device=device, dtype=dtype).to(memory_format=layout)
    conv = torch.nn.Conv2d(width, width, 3, padding=1, bias=False, device=device, dtype=dtype)
    conv.to(memory_format=layout)
    with torch.no_grad():
        best = min(interleaved({"convolution": lambda: conv(x)}, options.rounds, device)["convolution"])
    return 2 * x.numel() * width * 9 / best


def prepare(options, device):
    """Do once what a library's measurements do, so that torch's cache has what is compiled for them.

    Processes that prepare one library each, side by side, take less time than one that measures them all.
    """
    config, on_gpu = NETWORKS[options.network], device.type == "cuda"
    shape = (options.batch, config.in_channels, config.sample_size, config.sample_size)
    models, x_0 = {"": peers.MAKERS[options.prepare](config).to(device)}, torch.rand(shape, device=device)
    ((kind, x),) = kinds(models, x_0, on_gpu, device, ("best",) if on_gpu else ("fp32",))
    if "steps" in options.part:
        train_step(models[""], x, device, kind[:4])()
        forward(models[""], x, device, kind[:4])()
    if "sampling" in options.part:
        walk(models[""].eval(), shape, 2, device, kind[:4])()


def name_command(words):
    """Write the command for the record: where it wrote to says nothing about the numbers."""
    kept = [w for before, w in zip(["", *words], words, strict=False) if "--out" not in (before, w)]
    return " ".join(["python benchmarks/bench.py", *kept])


def main():
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--part", choices=PARTS, action="append", help="only these; default: all")
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS, help="of steps and peak; default: all")
    parser.add_argument("--network", choices=NETWORKS, default="small")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--out", type=Path, default=RESULTS, help="the folder of the record; the tables follow the default"
    )
    parser.add_argument("--peak-of", choices=peers.MAKERS, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", choices=peers.MAKERS, help="only compile what the parts need of this library")
    options = parser.parse_args()
    device = torch.device(options.device)
    if options.prepare:
        prepare(options, device)
        return
    if options.peak_of:
        print(peak_of(options, device))
        return
    try:
        versions = peers.versions()
    except PackageNotFoundError as error:
        sys.exit(f"the peers are not there ({error}): `make bench` installs them and says where they are")
    torch.manual_seed(0)
    start, command = time.perf_counter(), name_command(sys.argv[1:])
    record = {
        "command": command,
        "hardware": f"{name_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "gpu": torch.cuda.get_device_name() if device.type == "cuda" else "none",
        "versions": versions,
        "rounds": options.rounds,
    }
    path = options.out / f"bench-{device.type}{'' if options.network == 'small' else '-' + options.network}.json"
    if options.part and path.exists():  # keep the rest of an earlier record
        record = json.loads(path.read_text(encoding="utf8"))
    for part in options.part or PARTS:
        record[part] = globals()[f"measure_{part}"](options, device)
        if record.get("command") != command:  # it was measured later than the rest
            record["later"] = record.get("later", {}) | {part: command}
        record["seconds"] = round(time.perf_counter() - start, 1)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")  # a later part may fail
        gc.collect()
    if path.parent == RESULTS:
        report.main()
    print(f"\nwrote {path.name}{' and the tables of benchmarks/README.md' * (path.parent == RESULTS)}")


if __name__ == "__main__":
    main()
