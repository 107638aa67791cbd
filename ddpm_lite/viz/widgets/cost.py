"""What a training costs: operations, memory and time, for a U-Net that the reader chooses."""

import traitlets

from ddpm_lite._check import check_real, check_whole, fail
from ddpm_lite.runs.cost import Cost, count_unet, total
from ddpm_lite.unet import UNetConfig
from ddpm_lite.viz.widgets import still
from ddpm_lite.viz.widgets.base import Widget, state

SIDES = (8, 16, 32, 64, 128, 256)
WIDENING = ("the same", "doubled once", "doubled each time")
ATTENTION = ("nowhere", "at the coarsest level", "at the second level", "at every level")
STEPS = (1000, 10_000, 100_000, 800_000)
GROUPS = 16  # a divisor of every width


class CostCalculator(Widget):
    """Weights, operations, memory and time of a training, by formula (eq-training-flops, eq-step-memory).

    The settings at the beginning are those of Ho et al. (2020) for CIFAR-10, with the speed that they report.

    Args:
        side: height and width of the images, one of SIDES.
        width: channels level, a multiple of 16 in 16..256.
        widening: the channels of the other levels, one of WIDENING.
        levels: 1..4.
        blocks: residual blocks of the downward path, 1..4.
        attention: the levels with self-attention, one of ATTENTION; the middle has it unless it is "nowhere".
        images: images in a step, 1..256.
        steps: steps of the training, one of STEPS.
        speed: operations a second as a power of ten, 9..16.

    Raises:
        ValueError: an argument that is not among these; the message names it.
    """

    name = "cost-calculator"
    press = "Choose your own network"
    side = state(traitlets.Int())
    width = state(traitlets.Int())
    widening = state(traitlets.Int())
    levels = state(traitlets.Int())
    blocks = state(traitlets.Int())
    attention = state(traitlets.Int())
    images = state(traitlets.Int())
    steps = state(traitlets.Int())
    speed = state(traitlets.Float())

    def __init__(
        self,
        *,
        side: int = 32,
        width: int = 128,
        widening: str = "doubled once",
        levels: int = 4,
        blocks: int = 2,
        attention: str = "at the second level",
        images: int = 128,
        steps: int = 800_000,
        speed: float = 14.0,
    ):
        check_whole("width", width, 16, 256)
        if width % 16:
            fail(ValueError, "width", "a multiple of 16", f"{width}")
        super().__init__(
            side=_number("side", side, SIDES),
            width=width,
            widening=_number("widening", widening, WIDENING),
            levels=check_whole("levels", levels, 1, 4),
            blocks=check_whole("blocks", blocks, 1, 4),
            attention=_number("attention", attention, ATTENTION),
            images=check_whole("images", images, 1, 256),
            steps=_number("steps", steps, STEPS),
            speed=check_real("speed", speed, 9, 16),
        )

    def config(self) -> UNetConfig:
        """Make the settings of the chosen network."""
        factors = [(1, 1 if level == 0 else 2, 2**level)[self.widening] for level in range(self.levels)]
        coarsest = self.levels - 1
        attending = ((), (coarsest,), (min(1, coarsest),), tuple(range(self.levels)))[self.attention]
        return UNetConfig(
            sample_size=SIDES[self.side],
            in_channels=3,
            channels=tuple(self.width * factor for factor in factors),
            blocks=self.blocks,
            attention_levels=attending,
            middle_attention=self.attention > 0,
            groups=GROUPS,
            dropout=0.1,
        )

    def cost(self) -> Cost:
        """Count the whole network."""
        return total(count_unet(self.config()))

    def memory(self, images: int) -> float:
        """Compute the gigabytes of a step with so many images at a time."""
        cost = self.cost()
        return (20 * cost.weights + cost.kept * images) / 1e9

    def seconds(self) -> float:
        """Compute the time of the training."""
        return 3 * self.cost().operations * self.images * STEPS[self.steps] / 10**self.speed

    def still(self) -> str:
        images = range(1, 257)
        own = self.memory(0)
        lines = {"memory of a step": [self.memory(n) for n in images], "of it for the weights": [own] * len(images)}
        mark = (self.images, self.memory(self.images))
        label = "images at a time, and the gigabytes of a step"
        return still.curves(images, lines, alt=self.sentence(), xlabel=label, y=(0.001, 1000), log=True, mark=mark)

    def sentence(self) -> str:
        cost = self.cost()
        return (
            f"A U-Net with {cost.weights:,} weights and {cost.operations / 1e9:.1f} billion operations for an image: a "
            f"step with {self.images} images needs about {self.memory(self.images):.1f} GB, and {STEPS[self.steps]:,} "
            f"steps at 10^{self.speed:g} operations a second take {self.seconds() / 3600:.1f} hours."
        )


def _number(argument: str, value: object, choices: tuple) -> int:
    """Find the number of a choice."""
    if isinstance(value, bool) or value not in choices:
        fail(ValueError, argument, f"one of {', '.join(map(repr, choices))}", f"{value!r}")
    return choices.index(value)
