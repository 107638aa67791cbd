"""The names of chapter 15's functions."""

import pytest
import study_mutations


@pytest.fixture(scope="module")
def page():
    return study_mutations.run_chapter()
