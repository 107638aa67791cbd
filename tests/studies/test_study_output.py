"""The record of the study that changes only the output, or only the weight, and what two pages say of it."""

import json

import flow_errors
import study_flow
import study_output
import torch

DDPM, TIMES, FLOW, EDM = study_flow.RECIPES
OUTPUT, WEIGHT = study_flow.CONTROLS
LEVELS = flow_errors.LEVELS


def read(path):
    return json.loads(path.read_text("utf8"))


def runs():
    """{(recipe, seed): run} of both records."""
    both = read(study_output.RECORD)["runs"] + read(flow_errors.ERRORS)["runs"]
    return {(run["recipe"], run["seed"]): run for run in both}


def less(one, two, level):
    """For how many seeds the first has the smaller error of u at a level."""
    found, i = runs(), LEVELS.index(level)
    return sum(found[one, seed]["errors"][i]["u"] < found[two, seed]["errors"][i]["u"] for seed in study_flow.SEEDS)


def error(recipe, level, unit="u"):
    found, i = runs(), LEVELS.index(level)
    return sum(found[recipe, seed]["errors"][i][unit] for seed in study_flow.SEEDS) / len(study_flow.SEEDS)


def test_each_control_changes_one_thing():
    for name, (schedule, predicts, weight) in study_flow.CONTROLS.items():
        base = study_flow.RECIPES[DDPM if name == OUTPUT else TIMES]
        assert schedule is base[0]
        assert [predicts == base[1], weight is base[2]] == [name == WEIGHT, name == OUTPUT]
    flow = study_flow.RECIPES[FLOW]
    assert study_flow.CONTROLS[OUTPUT][1] == flow[1]
    torch.testing.assert_close(study_flow.CONTROLS[WEIGHT][2](study_flow.STRAIGHT), flow[2](study_flow.STRAIGHT))


def test_the_record_has_every_run():
    record = read(study_output.RECORD)
    assert record["command"] == "python studies/study_output.py"
    assert record["training"] == study_flow.CONFIG
    named = [(run["recipe"], run["seed"]) for run in record["runs"]]
    assert sorted(named) == sorted((recipe, seed) for recipe in study_flow.CONTROLS for seed in study_flow.SEEDS)
    for run in record["runs"]:
        assert run["commit"] == record["commit"]
        assert len(run["commit"]) == 40
        levels = torch.tensor([row["level"] for row in run["errors"]])
        torch.testing.assert_close(levels, torch.tensor(LEVELS), rtol=0.01, atol=0)
        assert (run["walk"]["steps"], run["walk"]["times"]) == study_output.WALK


def test_what_the_pages_say_of_the_output():
    for level in (4.07, 10.38, 19.4, 40.4, 157.4):
        assert less(OUTPUT, DDPM, level) == 3
    for level in (0.228, 0.545, 1.048, 2.001):
        assert abs(error(OUTPUT, level) / error(DDPM, level) - 1) < 0.01
    excess = [error(recipe, 157.4) - error(FLOW, 157.4) for recipe in (OUTPUT, DDPM)]
    assert excess[0] / excess[1] < 0.01
    assert [f"{error(recipe, 157.4):.2f}" for recipe in (DDPM, OUTPUT, FLOW)] == ["27.77", "0.44", "0.30"]


def test_what_the_pages_say_of_the_weight():
    for level in LEVELS:
        assert less(WEIGHT, TIMES, level) == (3 if level > 4 else 0)
    assert [f"{error(recipe, 157.4):.1f}" for recipe in (TIMES, WEIGHT)] == ["69.6", "10.9"]
    for seed in study_flow.SEEDS:
        assert set(runs()[WEIGHT, seed]["clipped"].values()) == {1.0}


def test_what_the_chapter_says_of_the_factor():
    """Above the level 10 the flow errs less than EDM, although u has the larger factor."""
    for level in (10.38, 19.4, 40.4, 157.4):
        assert less(FLOW, EDM, level) == 3


def test_what_the_chapter_says_of_the_digits():
    found = runs()
    alone = {row["seed"]: row for row in read(flow_errors.ERRORS)["mixed"]
             if (row["steps"], row["above"], row["below"]) == (50, DDPM, DDPM)}  # fmt: skip
    won = {kind: sum(found[OUTPUT, seed]["walk"][kind] < alone[seed][kind] for seed in study_flow.SEEDS)
           for kind in ("energy", "frechet")}  # fmt: skip
    assert won == {"energy": 2, "frechet": 1}
