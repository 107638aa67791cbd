"""Record what Euler's scheduler of diffusers makes of one pixel and of 64 noises, for the search of chapter 14.

    python studies/study_euler.py [--record]                                                              (seconds)

The pixel 0.5 gets the noise 1 at the time 500 of 50 *leading* times. The record has the scheduler's levels and times,
its noisy pixel, what it gives to the network, and the estimate and the state of its step, if the answer is the noise.
Then the shipped network of the digits draws from 64 noises, in a loop that was written for DDIM, and with one or both
of the two lines that Euler's scheduler needs. The record has the first three images of each loop, pixels from 0 to 255
in hexadecimal, and the largest difference between two of the 64 images. With --record it writes
book/results/euler.json.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import torch

from ddpm_lite import load_pretrained
from ddpm_lite.files.pixels import to_hex

RECORD = Path(__file__).resolve().parents[1] / "book" / "results" / "euler.json"
PIXEL, NOISE, TIME, STEPS = 0.5, 1.0, 500, 50
NOISES, SHOWN = 64, 3
LOOPS = {  # name -> (is the first noise scaled?, is the network's input scaled?)
    "both lines": (True, True),
    "neither": (False, False),
    "only the start": (True, False),
    "only the input": (False, True),
}


def ask_scheduler():
    """The record of one step of EulerDiscreteScheduler."""
    from diffusers import EulerDiscreteScheduler

    scheduler = EulerDiscreteScheduler(timestep_spacing="leading")
    sigma_at_first = float(scheduler.init_noise_sigma)
    scheduler.set_timesteps(STEPS)
    times = [int(time) for time in scheduler.timesteps]
    place = times.index(TIME)
    noise, time = torch.tensor([NOISE]), scheduler.timesteps[place]
    noisy = scheduler.add_noise(torch.tensor([PIXEL]), noise, time[None])
    given = scheduler.scale_model_input(noisy, time)
    made = scheduler.step(noise, time, noisy)
    numbers = {"noisy": noisy, "given": given, "estimate": made.pred_original_sample, "state": made.prev_sample}
    return {
        "command": "python studies/study_euler.py --record",
        "diffusers": version("diffusers"),
        "pixel": PIXEL,
        "noise": NOISE,
        "time": TIME,
        "next": times[place + 1],
        "times": times,
        "levels": [round(float(level), 4) for level in scheduler.sigmas],
        "init_noise_sigma_before": round(sigma_at_first, 4),
        "init_noise_sigma": round(float(scheduler.init_noise_sigma), 4),
    } | {name: round(float(number), 5) for name, number in numbers.items()}


@torch.no_grad()
def draw(network, scale_start, scale_input):
    """The images of all noises, by a loop with or without the two lines."""
    from diffusers import EulerDiscreteScheduler

    scheduler = EulerDiscreteScheduler(timestep_spacing="leading")
    scheduler.set_timesteps(STEPS)
    state = torch.randn(NOISES, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    if scale_start:
        state = scheduler.init_noise_sigma * state
    for time in scheduler.timesteps:
        given = scheduler.scale_model_input(state, time) if scale_input else state
        answer = network(given, torch.full((NOISES,), int(time) + 1))
        state = scheduler.step(answer, time, state).prev_sample
    return state


def find_spread(images):
    """The largest difference of a pixel between two of the images."""
    return float((images.amax(0) - images.amin(0)).max())


def record_loops():
    """What each loop draws: its first images, and the largest difference between two of all."""
    from diffusers.utils import logging

    logging.set_verbosity_error()  # the scheduler warns at each step that has no scaled input
    network, _ = load_pretrained("digits")
    drawn = {name: draw(network, *lines) for name, lines in LOOPS.items()}
    return {
        "noises": NOISES,
        "images": {name: [to_hex(image) for image in images[:SHOWN]] for name, images in drawn.items()},
        "spread": {name: float(f"{find_spread(images):.3g}") for name, images in drawn.items()},
    }


def main():
    """Ask, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--record", action="store_true", help="write book/results/euler.json")
    text = json.dumps(ask_scheduler() | record_loops(), indent=1) + "\n"
    if parser.parse_args().record:
        RECORD.write_text(text, encoding="utf8")
    print(text, end="")


if __name__ == "__main__":
    main()
