"""The digits model that comes with the package: made by the chapter's recipe, and it draws digits."""

import json

import pytest
import torch
import train_digits
from sklearn.neighbors import KNeighborsClassifier

from ddpm_lite import load_digits, load_pretrained, sample


@pytest.fixture(scope="module")
def judge():
    """The vote of the ten nearest real training digits: how many of an image's neighbours agree."""
    images, labels = load_digits("train")
    neighbours = KNeighborsClassifier(10).fit(images.flatten(1).numpy(), labels.numpy())
    return lambda x: torch.from_numpy(neighbours.predict_proba(x.flatten(1).numpy())).amax(1)


def test_shipped_model_is_the_recipes():
    recipe, record = train_digits.recipe(), json.loads(train_digits.RECORD.read_text(encoding="utf8"))
    model, schedule = load_pretrained("digits")
    assert record["config"].items() <= vars(recipe["config"]).items()  # a newer config has more fields
    assert model.config == recipe["model"].config
    assert torch.equal(schedule.beta, recipe["schedule"].beta)
    assert len(record["losses"]) == recipe["config"].steps
    torch.testing.assert_close(recipe["images"], load_digits("train")[0])


def test_the_judge_knows_digits(judge):
    images, _ = load_digits("test")
    assert (judge(images) >= 0.8).double().mean() > 0.9
    noise = torch.randn(500, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert (judge(noise) >= 0.8).double().mean() < 0.4


def test_twelve_of_sixteen_samples_are_clearly_digits(judge):
    model, schedule = load_pretrained("digits")
    *_, (_, x_0) = sample(model, schedule, shape=(16, 1, 8, 8), seed=0)
    assert (judge(x_0) >= 0.8).sum() >= 12


def test_the_samples_differ_from_each_other_and_from_the_training_images():
    model, schedule = load_pretrained("digits")
    *_, (_, x_0) = sample(model, schedule, shape=(16, 1, 8, 8), seed=0)
    real, _ = load_digits("train")
    assert torch.cdist(x_0.flatten(1), real.flatten(1)).min() > 0.5
    assert torch.pdist(x_0.flatten(1)).min() > 0.5
