"""What a check found."""

from typing import NamedTuple

from torch import Tensor


class Finding(NamedTuple):
    """What one check found; printed as one line. A `note` is a choice that is right for some programs only."""

    fine: bool
    check: str
    text: str
    note: bool = False

    def __str__(self) -> str:
        mark = "note: " if self.note else "" if self.fine else "WRONG: "
        return f"{mark}{self.check}: {self.text}"


def check_gaussian(name: str, z: Tensor) -> Finding:
    """Noise should have mean 0, variance 1 and kurtosis 3, as N(0, 1) has (eq-standard-moments, eq-fourth-moment)."""
    z = z.double().flatten()
    mean, variance, n = float(z.mean()), float(z.var()), len(z)
    kurtosis = float(((z - mean) ** 4).mean()) / max(variance, 1e-12) ** 2
    fine = abs(mean) < 6 / n**0.5 and abs(variance - 1) < 9 / n**0.5 and abs(kurtosis - 3) < 30 / n**0.5
    text = f"mean {mean:.2f}, variance {variance:.2f}, kurtosis {kurtosis:.1f}"
    return Finding(fine, name, text if fine else f"{text}; expected 0, 1 and 3: use randn, not rand")
