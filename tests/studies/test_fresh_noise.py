"""The study of fresh noise: its step, and what chapter 17 says of its records."""

from itertools import product

import pytest
import study_fresh_noise
import torch
import train_digits

from ddpm_lite import linear_schedule
from ddpm_lite.files.records import read_record


def test_what_the_page_says_of_fresh_noise():
    study = read_record(study_fresh_noise.RECORD)
    rows = {(row["steps"], row["eta"], row["seed"]): row for row in study["rows"]}
    assert set(rows) == set(product(study_fresh_noise.STEPS, study_fresh_noise.ETAS, study_fresh_noise.SEEDS))
    floor = max(row["frechet"] for row in study["real"])
    for seed in study_fresh_noise.SEEDS:
        for steps in (50, 250):
            none, half, full = (rows[steps, eta, seed]["frechet"] for eta in study_fresh_noise.ETAS)
            assert none > half > full
            assert none > floor > full - 0.01
        for steps, sign in ((10, -1), (50, 1), (250, 1)):  # by the energy distance, noise is worse in 10 steps
            none, _, full = (rows[steps, eta, seed]["energy"] for eta in study_fresh_noise.ETAS)
            assert sign * (none - full) > 0
        assert rows[10, 0.0, seed]["frechet"] > rows[10, 1.0, seed]["frechet"]
    for steps in (50, 250):
        changes = [rows[steps, 0.5, i]["energy"] - rows[steps, 0.0, i]["energy"] for i in study_fresh_noise.SEEDS]
        assert sum(change < 0 for change in changes) == 2
    for row in read_record(train_digits.RESULTS / "digits-by-label-sampling.json")["walks"]:
        key = row["steps"], {"DDIM": 0.0, "DDPM, beta_tilde": 1.0}.get(row["kind"]), row["seed"]
        if key in rows:
            assert rows[key]["frechet"] == pytest.approx(row["frechet"], abs=1e-3)


def test_what_the_page_says_of_noise_in_a_part_of_the_steps():
    study, parts = read_record(study_fresh_noise.RECORD), read_record(study_fresh_noise.RECORD_WHEN)
    assert parts["weights_sha256"] == study["weights_sha256"]
    keys = {(row["when"], row["seed"]) for row in parts["rows"]}
    assert keys == set(product(study_fresh_noise.SPANS, study_fresh_noise.SEEDS))

    def mean(rows):
        found = [row["frechet"] for row in rows]
        return sum(found) / len(found)

    whole = {
        eta: mean([row for row in study["rows"] if (row["steps"], row["eta"]) == (study_fresh_noise.STEPS_WHEN, eta)])
        for eta in (0.0, 1.0)
    }
    first, last_half, last_ten = (
        mean([row for row in parts["rows"] if row["when"] == name]) for name in study_fresh_noise.SPANS
    )
    assert whole[0.0] > last_ten + 0.2
    assert last_ten > last_half > first
    assert first == pytest.approx(whole[1.0], abs=0.02)


def test_a_step_adds_noise_at_the_times_of_its_span_only():
    schedule, x, noise = linear_schedule(), torch.full((1, 1, 2, 2), 0.3), torch.ones(1, 1, 2, 2)
    for t, eta in ((25, 0.0), (26, 1.0), (50, 1.0), (51, 0.0)):
        found = study_fresh_noise.step_in((26, 50), schedule, x, t, t - 1, x, noise)
        expected = study_fresh_noise.ddim_step(schedule, x, t, t - 1, x, noise, eta=eta)
        torch.testing.assert_close(found, expected)


def test_studies_leave_the_list_of_trained_chapters_as_it_is():
    """The tests of the shipped models are made from it when they are collected, beside those of the studies."""
    assert list(train_digits.CHAPTERS) == ["digits", "digits-by-label"]
    for path in sorted((train_digits.ROOT / "studies").glob("*.py")):
        assert "CHAPTERS[" not in path.read_text(encoding="utf8"), path.name
