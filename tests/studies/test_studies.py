"""The studies of the chapter on evaluation: what their scripts train and draw, and that the records are about it."""

import hashlib
from dataclasses import replace

import pytest
import study_ablations
import study_sampling
import study_training
import time_attention
import torch
import train_digits
from safetensors.torch import load_file

from ddpm_lite import (
    load_digits,
    mean_from_noise,
    min_snr_weight,
    predict_x_0,
    q_sample,
    train,
)
from ddpm_lite.evaluate import nearest
from ddpm_lite.files.records import read_record
from ddpm_lite.files.weights import PRETRAINED

RESULTS = train_digits.RESULTS


@pytest.fixture(scope="module")
def digits():
    return load_digits("train")[0]


@pytest.mark.parametrize(
    ("name", "weight"), [("linear, T = 1000", None), ("cosine decay", None), ("min-SNR", min_snr_weight)]
)
def test_a_trained_row_is_what_train_makes(name, weight, digits):
    row = study_training.ROWS[name]
    config = study_training.recipe(row, seed=5)
    assert (config.lr_decay == "cosine") == (name == "cosine decay")
    config = replace(config, steps=3, batch_size=8, warmup=1)
    torch.manual_seed(5)
    ours = study_training.trained(row, digits, config)
    torch.manual_seed(5)
    *_, theirs = train(row.network(), row.schedule, digits, config, weight=weight)
    for a, b in (ours.ema_model, theirs.ema_model), (ours.model, theirs.model):
        for x, y in zip(a.parameters(), b.parameters(), strict=True):
            assert torch.equal(x, y)


def answers(row, x_0, x_t, t, z):
    """What a network of this row should say if z were the noise."""
    return {
        "z": lambda: z,
        "x_0": lambda: predict_x_0(row.schedule, x_t, t, z),
        "mu": lambda: mean_from_noise(row.schedule, x_t, t, z),
    }[row.tells]()


@pytest.mark.parametrize("name", study_training.ROWS)
def test_the_right_answer_costs_nothing_and_is_the_noise(name, digits):
    row, x_0, t = study_training.ROWS[name], digits[:6].double(), torch.tensor([1, 2, 10, 40, 70, 100])
    z = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x_t = q_sample(row.schedule, x_0, t, z)
    right = answers(row, x_0, x_t, t, z)
    assert row.loss(row.schedule, x_0, x_t, t, z, right) < 1e-12
    assert row.loss(row.schedule, x_0, x_t, t, z, right + 0.1) > 1e-3
    torch.testing.assert_close(study_training.TO_Z[row.tells](row.schedule, x_t, t, right), z)


def test_the_bounds_loss_is_the_same_for_the_mean_and_the_noise(digits):
    z_row, mu_row = study_training.ROWS["z, bound"], study_training.ROWS["mu, bound"]
    x_0, t = digits[:6].double(), torch.tensor([1, 2, 10, 40, 70, 100])
    z, wrong = torch.randn(2, *x_0.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x_t = q_sample(z_row.schedule, x_0, t, z)
    told = [row.loss(row.schedule, x_0, x_t, t, z, answers(row, x_0, x_t, t, wrong)) for row in (z_row, mu_row)]
    torch.testing.assert_close(*told)


def test_no_attention_is_no_attention():
    names = [name for name, _ in study_training.ROWS["no attention"].network().named_modules()]
    assert not any("attentions." in name for name in names)
    assert any("attentions." in name for name, _ in study_training.ROWS["base"].network().named_modules())


def test_what_was_drawn_is_kept(tmp_path, monkeypatch):
    x_0, seconds = study_sampling.drawn("digits-by-label", "DDIM", 2, 1.0, 0, 5, 3, tmp_path)
    assert x_0.shape == (5, 1, 8, 8)
    assert x_0.abs().max() <= 1
    monkeypatch.setattr(study_sampling, "load_pretrained", None)  # not asked again
    again, same = study_sampling.drawn("digits-by-label", "DDIM", 2, 1.0, 0, 5, 3, tmp_path)
    assert torch.equal(again, x_0)
    assert same == seconds


def test_both_layers_are_timed_on_the_same_map():
    rows = time_attention.medians((4, 8), rounds=3, channels=16)
    assert [row["side"] for row in rows] == [4, 8]
    for row in rows:
        assert min(row["attention"], row["convolution"]) > 0


def test_the_clock_says_what_the_chapter_says():
    found = read_record(RESULTS / "attention-cost.json")
    timed = {row["side"]: row["ratio"] for row in found["rows"]}
    n, C = {side: side**2 for side in timed}, found["channels"]
    counted = {side: (4 * n[side] * C**2 + 2 * n[side] ** 2 * C) / (9 * n[side] * C**2) for side in timed}
    assert timed[16] < 1 < timed[25]
    above = {side: timed[side] / counted[side] for side in timed}
    assert all(1 < each <= above[8] < 2 for each in above.values())
    for row in found["rows"]:
        assert row["ratio"] == pytest.approx(row["attention"] / row["convolution"], rel=0.01)


def test_the_folder_is_no_part_of_the_command(monkeypatch):
    monkeypatch.setattr("sys.argv", ["study_sampling.py", "fashion", "--keep", "there", "--scales", "0"])
    assert study_sampling.command() == ["fashion", "--scales", "0"]


@pytest.fixture(scope="module")
def study():
    return read_record(RESULTS / "digits-by-label-sampling.json")


def test_study_of_sampling_is_about_the_shipped_weights(study):
    content = (PRETRAINED / "digits-by-label.safetensors").read_bytes()
    assert study["weights_sha256"] == hashlib.sha256(content).hexdigest()


def test_every_row_has_three_seeds(study):
    for table, names in (("walks", ("kind", "steps")), ("guidance", ("scale",)), ("floors", ("row",))):
        seeds = {}
        for row in study[table]:
            seeds.setdefault(tuple(row[name] for name in names), []).append(row["seed"])
        assert len(seeds) >= 5
        assert all(each == [0, 1, 2] for each in seeds.values())


def by(rows, key, **which):
    return [row[key] for row in rows if which.items() <= row.items()]


def test_digits_model_is_near_the_floor_and_has_not_learnt_by_heart(study):
    floor = by(study["floors"], "frechet", row="real")
    best = by(study["walks"], "frechet", kind="DDIM", steps=50)
    assert 1 <= sum(best) / sum(floor) <= 4
    assert study["memory"]["drawn"]["5%"] >= study["memory"]["held out"]["5%"]


def test_kept_images_have_the_neighbours_that_they_are_shown_with(digits):
    kept = {
        name: images.float() / 127.5 - 1
        for name, images in load_file(RESULTS / "digits-by-label-sampling.safetensors").items()
    }
    for name in ("drawn", "held out"):
        _, which = nearest(kept[name], digits)
        torch.testing.assert_close(digits[which], kept[f"{name}: nearest"], atol=0.005, rtol=0)


@pytest.fixture(scope="module")
def training():
    return read_record(RESULTS / "digits-training.json")["rows"]


def test_every_trained_row_has_three_seeds(training):
    assert {row["row"] for row in training} == set(study_training.ROWS)
    for name in study_training.ROWS:
        assert by(training, "seed", row=name, weights="ema") == [0, 1, 2]
    for name in study_training.BOTH:
        assert by(training, "seed", row=name, weights="last") == [0, 1, 2]


def test_what_the_chapter_says_of_the_trained_rows_holds_for_every_seed(training):
    def found(key, row, weights="ema"):
        return by(training, key, row=row, weights=weights)

    for averaged, last in zip(found("frechet", "base"), found("frechet", "base", "last"), strict=True):
        assert averaged < 0.7 * last
    for averaged, last in zip(found("loss", "base"), found("loss", "base", "last"), strict=True):
        assert 0.8 * last < averaged < last
    for decayed, plain in zip(found("frechet", "cosine decay", "last"), found("frechet", "base", "last"), strict=True):
        assert 0.45 < decayed / plain < 0.7
    for decayed, plain in zip(found("loss", "cosine decay"), found("loss", "base"), strict=True):
        assert 1.03 < decayed / plain < 1.05
    for limited, plain in zip(found("loss", "min-SNR"), found("loss", "base"), strict=True):
        assert 1.07 < limited / plain < 1.09
    for other in ("cosine decay", "min-SNR"):  # they overlap: neither is shown to be better, or worse
        assert min(found("frechet", other)) < max(found("frechet", "base"))
        assert min(found("frechet", "base")) < max(found("frechet", other))
    for key in ("precision", "pixels"):
        assert max(found(key, "base")) < min(found(key, "min-SNR"))
    for other in ("z, bound", "mu", "mu, bound"):
        assert max(found("frechet", "base")) < min(found("frechet", other))
    assert max(found("mean", "beta_T = 0.002")) < 0.95 < min(found("mean", "linear, T = 1000"))
    assert min(found("loss", "beta_T = 0.002")) > 1.5 * max(found("loss", "linear, T = 1000"))


def test_ablations_take_away_what_they_say(plain):  # t / T is no whole number, which the type checker minds
    torch.manual_seed(0)
    x_t, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 700])
    for name, row in study_ablations.ROWS.items():
        network = row.network().eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        same_time = torch.allclose(network(x_t, t), network(x_t, t.flip(0)), atol=1e-5)
        assert same_time == (name == "no time")
        whole = study_ablations.Ablated(network.config, lambda t: t - 1, True)
        whole.load_state_dict(network.state_dict())
        assert torch.allclose(whole.eval()(x_t, t), network(x_t, t), atol=1e-4) == (
            name in ("whole", "one level", "x_0", "v")
        )
    config = study_ablations.ROWS["whole"].network().config
    assert config == study_training.ROWS["base"].network().config


def test_what_the_chapter_says_of_the_ablations_holds_for_every_seed():
    rows = read_record(RESULTS / "digits-ablations.json")["rows"]
    assert {row["row"] for row in rows} == set(study_ablations.ROWS)
    for seed in study_ablations.SEEDS:
        loss, distance, mean = (
            {r["row"]: r[key] for r in rows if r["seed"] == seed} for key in ("loss", "frechet", "mean")
        )
        assert 1.09 < loss["no time"] / loss["whole"] < 1.13
        assert 1.005 < loss["t / T"] / loss["whole"] < 1.015
        assert 1.18 < loss["no skips"] / loss["whole"] < 1.22
        assert 0.96 < loss["one level"] / loss["whole"] < 0.99
        assert min(distance["no time"], distance["no skips"]) > 2 * distance["whole"]
        assert mean["no time"] < 0.75
        assert 1 < distance["one level"] / distance["whole"] < 1.25
        assert 0.98 < distance["t / T"] / distance["whole"] < 1.05
        assert 0.99 < loss["v"] / loss["whole"] < 1.015 < 3.9 < loss["x_0"] / loss["whole"] < 5
        assert distance["x_0"] < distance["whole"] < distance["v"]
