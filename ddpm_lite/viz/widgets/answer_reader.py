"""How an answer about a variable is read: the image and the noise that it means, at every noise level."""

import numpy as np
import torch
import traitlets

from ddpm_lite._check import check_real, check_whole
from ddpm_lite.schedule import linear_schedule, schedule_from_levels
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, beta_bytes, jump, state

VARIABLES, ANSWERS = ("x_t", "x_0 + nu z", "that of a flow"), ("z", "x_0", "v", "score", "u = z - x_0")
LOW, HIGH = -2.0, 2.18  # the powers of ten of the noise level


class AnswerReader(Widget):
    """The image and the noise that an answer F about a variable x means (eq-read-answer).

    Args:
        variable: the number of the variable in VARIABLES, 0..2.
        answer: the number of the answer in ANSWERS, 0..4.
        level: the power of ten of the noise level, in [-2, 2.18].

    Raises:
        ValueError, TypeError: a wrong argument; the message names it.
    """

    name = "answer-reader"
    press = "Choose a variable and an answer"
    betas = state(traitlets.Bytes())
    variable = state(traitlets.Int())
    answer = state(traitlets.Int())
    level = state(traitlets.Float())

    def __init__(self, *, variable: int = 0, answer: int = 0, level: float = 0.0):
        super().__init__(
            betas=beta_bytes("schedule", linear_schedule()),
            variable=check_whole("variable", variable, 0, len(VARIABLES) - 1),
            answer=check_whole("answer", answer, 0, len(ANSWERS) - 1),
            level=check_real("level", level, LOW, HIGH),
        )

    def weights(self, levels: np.ndarray) -> tuple[np.ndarray, ...]:
        """The weights a, b of image and noise in the variable, and p, q of those in the answer, at noise levels."""
        times = schedule_from_levels(torch.tensor([0.0, *np.asarray(levels, dtype=np.float64)], dtype=torch.float64))
        signal, noise = (
            np.array([float(jump(times, x_0, t, z)) for t in range(1, len(levels) + 1)]) for x_0, z in ((1, 0), (0, 1))
        )
        tau, nu, one = times.flow_time[1:].numpy(), times.noise_level[1:].numpy(), np.ones(len(levels))
        a, b = ((signal, noise), (one, nu), (1 - tau, tau))[self.variable]
        p, q = ((0 * one, one), (one, 0 * one), (-noise, signal), (0 * one, -1 / b), (-one, one))[self.answer]
        return a, b, p, q

    def factors(self) -> tuple[float, ...]:
        """What the variable and the answer are multiplied by in the image, and the same for the noise."""
        a, b, p, q = (float(weight[0]) for weight in self.weights(np.array([10**self.level])))
        scale = a * q - b * p
        return q / scale, -b / scale, -p / scale, a / scale

    def errors(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How much an error of 1 in the answer changes the image, and how much the noise."""
        a, b, p, q = self.weights(levels)
        return np.abs(b / (a * q - b * p)), np.abs(a / (a * q - b * p))

    def still(self) -> str:
        powers = np.round(np.linspace(LOW, HIGH, 121), 6)
        image, noise = (np.round(np.log10(each), 6) for each in self.errors(10**powers))
        lines = {"in the image": 10**image, "in the noise": 10**noise}
        words = "noise level, as a power of ten"
        return still.curves(powers, lines, alt=self.sentence(), xlabel=words, y=(1e-3, 1e3), log=True)

    def sentence(self) -> str:
        image, noise = (float(each[0]) for each in self.errors(np.array([10**self.level])))
        return (
            f"The variable is {VARIABLES[self.variable]}, the answer {ANSWERS[self.answer]}. At the noise level "
            f"{10**self.level:.3g}, an error of 1 in the answer changes the image by {image:.3g} and the noise by "
            f"{noise:.3g}."
        )
