"""The record of digits that two recipes draw from the same noises."""

import json

import pytest
import study_flow
import study_two_recipes
import torch

from ddpm_lite.files.pixels import from_hex

RECIPES = ("DDPM", "flow matching")


def read():
    return json.loads(study_two_recipes.RECORD.read_text("utf8"))


def test_the_record_has_every_run_and_every_pair():
    record = read()
    assert record["command"] == "python studies/study_two_recipes.py"
    assert record["training"] == study_flow.CONFIG
    assert (record["steps"], record["times"]) == study_two_recipes.WALK
    names = [(run["recipe"], run["seed"]) for run in record["runs"]]
    assert sorted(names) == sorted((recipe, seed) for recipe in RECIPES for seed in study_flow.SEEDS)
    assert len(record["pairs"]) == 15
    assert len(record["commit"]) == 40
    for run in record["runs"]:
        assert len(run["commit"]) == 40
        assert len(from_hex(run["shown"])) == study_two_recipes.SHOWN


def test_the_trainings_are_those_of_the_study_of_flows():
    losses = {
        (run["recipe"], run["seed"]): run["loss"] for run in json.loads(study_flow.RECORD.read_text("utf8"))["runs"]
    }
    for run in read()["runs"]:
        assert run["loss"] == pytest.approx(losses[run["recipe"], run["seed"]], rel=0.02)


def test_the_comparison():
    one = torch.tensor([[[[0.0, 0.0]]], [[[1.0, 1.0]]], [[[3.0, 3.0]]]])
    other = torch.tensor([[[[0.0, 0.2]]], [[[1.0, 1.0]]], [[[0.0, 0.0]]]])
    found = study_two_recipes.compare(one, other)
    apart = (0.2**2 / 2) ** 0.5, 0.0, 3.0
    assert found == {"mean": pytest.approx(sum(apart) / 3, abs=1e-4), "median": round(apart[0], 4), "nearest": 1}
