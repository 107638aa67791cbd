"""The study of flows trains by the recipes that its chapter shows, on the digits that the package loads."""

import json

import study_flow
import torch
import train_digits

from ddpm_lite import load_digits

CHAPTER = train_digits.ROOT / "book" / "16_from_ddpm_to_flows.ipynb"


def test_recipes_are_those_of_the_chapter(monkeypatch):
    monkeypatch.setitem(train_digits.CHAPTERS, "flow", CHAPTER)
    names = train_digits.recipe("flow")
    assert list(names["recipes"]) == list(study_flow.RECIPES)
    for name, (schedule, predicts, weight) in names["recipes"].items():
        own, what, factor = study_flow.RECIPES[name]
        assert torch.equal(schedule.beta, own.beta)
        assert predicts == what
        assert (weight is None) == (factor is None)
        if weight is not None:
            torch.testing.assert_close(weight(schedule), factor(own))
    assert names["unet"] == study_flow.UNET
    assert {key: getattr(names["config"], key) for key in study_flow.CONFIG} == study_flow.CONFIG
    assert torch.equal(study_flow.training_digits(), load_digits("train")[0])


def test_the_record_has_every_walk():
    record = json.loads(study_flow.RECORD.read_text(encoding="utf8"))
    assert {(run["recipe"], run["seed"]) for run in record["runs"]} == {
        (recipe, seed) for recipe in study_flow.RECIPES for seed in study_flow.SEEDS
    }
    for run in record["runs"]:
        assert len(run["rows"]) == 2 * len(study_flow.WALKS)
        assert {(row["step"], row["steps"]) for row in run["rows"]} == set(study_flow.WALKS)
    assert record["training"] == study_flow.CONFIG


def test_walks_have_their_own_times():
    for schedule, _, _ in study_flow.RECIPES.values():
        for name, walk in study_flow.walks_of(schedule, 10).items():
            assert walk.T == 10
            torch.testing.assert_close(walk.noise_level, schedule.noise_level[walk.times], rtol=1e-9, atol=0)
            steps = walk.flow_time.diff() if name == "even in tau" else walk.times.diff()
            if name == "even in tau":
                assert steps.max() - steps.min() < 0.01


def test_what_the_chapter_says_of_pairs_and_of_times():
    """With 50 evaluations flow matching wins for all seeds, measures and times; for Heun's step tau is worse."""
    found = {}
    for run in json.loads(study_flow.RECORD.read_text("utf8"))["runs"]:
        for row in run["rows"]:
            asked = row["step"], row["evaluations"], row["times"], run["seed"]
            found[run["recipe"], *asked] = row["energy"], row["frechet"]
    for seed in study_flow.SEEDS:
        for times in ("even in t", "even in tau"):
            flow, ddpm = (found[name, "Euler", 50, times, seed] for name in ("flow matching", "DDPM"))
            assert flow[0] < ddpm[0]
            assert flow[1] < ddpm[1]
        assert found["flow matching", "Euler", 5, "even in t", seed] > found["DDPM", "Euler", 5, "even in t", seed]
    for recipe in study_flow.RECIPES:
        for evaluations in (9, 19):
            even, flow = (
                sum(found[recipe, "Heun", evaluations, times, seed][0] for seed in study_flow.SEEDS)
                for times in ("even in t", "even in tau")
            )
            assert flow > even
    signs = {
        found["flow's times only", "Euler", 50, times, seed][i] < found["DDPM", "Euler", 50, times, seed][i]
        for seed in study_flow.SEEDS
        for times in ("even in t", "even in tau")
        for i in (0, 1)
    }
    assert signs == {True, False}
