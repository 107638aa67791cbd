"""Something is wrong with this sampler: cases to solve, in a world whose best network is known."""

import torch
import traitlets

from ddpm_lite._check import check_whole
from ddpm_lite.oracle import GaussianMixture
from ddpm_lite.schedule import Schedule, linear_schedule
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, beta_bytes, float_bytes, state

MEANS, STD, WEIGHTS = (-0.6, 0.5), 0.15, (0.4, 0.6)  # of the data, a pixel that is dark or bright
CLEAN = 1e-9  # a noise that is too small to be seen


class BugDetective(Widget):
    """Eight samplers with at most one mistake each, and four instruments to find it (eq-three-weights).

    Args:
        case: the case that is shown first, 1..8.
        instrument: what is measured first, 1..4.
    """

    name = "bug-detective"
    press = "Solve eight cases here"
    beta = state(traitlets.Bytes())
    blobs = state(traitlets.Bytes())
    case = state(traitlets.Int())
    instrument = state(traitlets.Int())
    answer = state(traitlets.Int())

    def __init__(self, case: int = 1, instrument: int = 1):
        blobs = [[mean, 0.0, STD, weight] for mean, weight in zip(MEANS, WEIGHTS, strict=True)]
        super().__init__(
            beta=beta_bytes("schedule", linear_schedule(200, 5e-4, 0.1)),
            blobs=float_bytes(torch.tensor(blobs)),
            case=check_whole("case", case, 1, 8) - 1,
            instrument=check_whole("instrument", instrument, 1, 4) - 1,
            answer=0,
        )

    def density(self, schedule: Schedule, x: torch.Tensor) -> list[float]:
        """Compute the density of a pixel at the first time of a schedule."""
        means, stds = torch.tensor(MEANS)[:, None], torch.full((len(MEANS),), STD)
        data = GaussianMixture(schedule, means, stds, torch.tensor(WEIGHTS))
        return data.log_density(x[:, None], 1).exp().tolist()

    def still(self) -> str:
        x = torch.linspace(-1.5, 1.5, 151, dtype=torch.float64)
        lines = {
            "data": self.density(linear_schedule(1, CLEAN, CLEAN), x),
            "noise": self.density(linear_schedule(1, 1 - CLEAN, 1 - CLEAN), x),
        }
        label = "value of the pixel, and its density"
        return still.curves(x.tolist(), lines, alt=self.sentence(), xlabel=label, y=(0, 1.8))

    def sentence(self) -> str:
        return (
            "The density of a pixel that is dark with probability 0.4 and bright with probability 0.6, beside that of "
            "the noise from which a sampler starts. A sampler without mistakes ends at the first of the two."
        )
