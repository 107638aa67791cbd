"""Types and shapes of the package are checked while tests run; `plain` turns that off for one test."""

from jaxtyping import config, install_import_hook

install_import_hook("ddpm_lite", "typechecker.check")

import pytest  # noqa: E402 - the hook must be there before anything imports the package
import torch  # noqa: E402


@pytest.fixture
def plain():
    """As a user runs it, with no type checker: bad input meets our own one-line messages."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture
def generator():
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(0)
