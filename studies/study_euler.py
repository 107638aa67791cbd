"""Record what Euler's scheduler of diffusers makes of one pixel, for the search of chapter 14.

    python studies/study_euler.py [--record]                                                              (seconds)

The pixel 0.5 gets the noise 1 at the time 500 of 50 *leading* times. The record has the scheduler's levels and times,
its noisy pixel, what it gives to the network, and the estimate and the state of its step, if the answer is the noise.
With --record it writes book/results/euler.json.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import torch

RECORD = Path(__file__).resolve().parents[1] / "book" / "results" / "euler.json"
PIXEL, NOISE, TIME, STEPS = 0.5, 1.0, 500, 50


def ask_scheduler():
    """The record of one step of EulerDiscreteScheduler."""
    from diffusers import EulerDiscreteScheduler

    scheduler = EulerDiscreteScheduler(timestep_spacing="leading")
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
        "init_noise_sigma": round(float(scheduler.init_noise_sigma), 4),
    } | {name: round(float(number), 5) for name, number in numbers.items()}


def main():
    """Ask, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--record", action="store_true", help="write book/results/euler.json")
    text = json.dumps(ask_scheduler(), indent=1) + "\n"
    if parser.parse_args().record:
        RECORD.write_text(text, encoding="utf8")
    print(text, end="")


if __name__ == "__main__":
    main()
