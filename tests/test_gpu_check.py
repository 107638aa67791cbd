"""The record of the tests on a GPU has the outcome of each, and is not written without a GPU."""

import json

import gpu_check
import pytest
import torch

FILE = """
import pytest

pytestmark = pytest.mark.gpu


def test_right():
    pass


@pytest.mark.parametrize("number", [1, 2])
def test_wrong(number):
    assert number == 1


def test_left_out():
    pytest.skip("not here")


@pytest.fixture
def broken():
    raise RuntimeError("no device")


def test_without_its_fixture(broken):
    pass
"""


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A card")


@pytest.mark.slow
def test_each_outcome_is_recorded_and_one_failure_fails(card, tmp_path, capfd):
    (tmp_path / "test_some.py").write_text(FILE)
    assert gpu_check.main(tmp_path / "test_some.py", tmp_path / "record.json") == 1
    record = json.loads((tmp_path / "record.json").read_text())
    assert record["tests"] == {
        "test_right": "passed",
        "test_wrong[1]": "passed",
        "test_wrong[2]": "failed",
        "test_left_out": "skipped",
        "test_without_its_fixture": "failed",
    }
    assert record["hardware"].startswith("A card, beside ")
    assert "2 of 5 tests passed on A card; wrote record.json" in capfd.readouterr().out


@pytest.mark.slow
def test_a_file_without_tests_is_no_success(card, tmp_path):
    (tmp_path / "test_none.py").write_text("")
    with pytest.raises(SystemExit, match="no test was run: pytest ended with 5"):
        gpu_check.main(tmp_path / "test_none.py", tmp_path / "record.json")
    assert not (tmp_path / "record.json").exists()


def test_without_a_card_nothing_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="needs a CUDA device"):
        gpu_check.main(path=tmp_path / "record.json")
    assert list(tmp_path.iterdir()) == []
