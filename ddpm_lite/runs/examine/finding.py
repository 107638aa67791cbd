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


def check_noise(name: str, z: Tensor) -> Finding:
    """`check_gaussian`, and the numbers are independent: products of neighbours along each axis have the mean 0.

    A mean of N products z_i z_(i+1) has the deviation 1 / sqrt(N). Their sum S is a quadratic form with eigenvalues
    within [-1, 1], whose squares add to N / 2, so log E exp(s S) <= N s^2 / (2 (1 - 2 s)) and |S| >= sqrt(2 N c) + 2 c
    has at most the probability 2 exp(-c). With c = 18 the mean is within 6 deviations, and 36 / N more.
    """
    found = check_gaussian(name, z)
    names = ("images", "channels", "rows", "columns") if z.ndim == 4 else ("images", *["entries"] * (z.ndim - 1))
    for axis, what in enumerate(names):
        if not found.fine or z.shape[axis] < 2:
            continue
        products = z.double().unfold(axis, 2, 1).prod(dim=-1)
        mean, n = float(products.mean()), products.numel()
        if abs(mean) > 6 / n**0.5 + 36 / n:
            text = f"{found.text}, but neighbouring {what} have the correlation {mean:.2f}"
            return Finding(False, name, f"{text}; draw a number of its own for each pixel: randn_like(x_0)")
    return found
