"""The digits models that come with the package: trained by the chapters' recipes, they generate digits by label."""

import hashlib
import itertools
import json
from itertools import islice

import pytest
import torch
import train_digits
from sklearn.neighbors import KNeighborsClassifier

from ddpm_lite import load_digits, load_pretrained, respace, sample
from ddpm_lite.files import weights


@pytest.fixture(scope="module")
def judge():
    """The vote of the ten nearest real training digits: how many of an image's neighbours agree."""
    images, labels = load_digits("train")
    neighbours = KNeighborsClassifier(10).fit(images.flatten(1).numpy(), labels.numpy())
    return lambda x: torch.from_numpy(neighbours.predict_proba(x.flatten(1).numpy())).amax(1)


def record_of(name):
    return json.loads((train_digits.RESULTS / f"{name}.json").read_text(encoding="utf8"))


@pytest.mark.parametrize("name", train_digits.CHAPTERS)
def test_shipped_model_is_the_recipes(name):
    recipe, record = train_digits.recipe(name), record_of(name)
    model, schedule = load_pretrained(name)
    assert record["config"].items() <= vars(recipe["config"]).items()  # a newer config has more fields
    assert str(model) == str(recipe["model"])  # every layer and its widths
    assert torch.equal(schedule.beta, recipe["schedule"].beta)
    assert len(record["losses"]) == recipe["config"].steps
    torch.testing.assert_close(recipe["images"], load_digits("train")[0])


@pytest.mark.parametrize("name", train_digits.CHAPTERS)
def test_the_recipe_begins_as_the_record_does(name):
    recipe, record = train_digits.recipe(name), record_of(name)
    losses = [state.loss for state in islice(train_digits.run(recipe), 3)]
    assert losses == pytest.approx(record["losses"][:3], abs=1e-3)


def test_the_judge_knows_digits(judge):
    images, _ = load_digits("test")
    assert (judge(images) >= 0.8).double().mean() > 0.9
    noise = torch.randn(500, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert (judge(noise) >= 0.8).double().mean() < 0.4


@pytest.fixture(scope="module")
def sixteen():
    """Sixteen new digits, in 100 of the 1,000 steps."""
    model, schedule = load_pretrained("digits")
    *_, (_, x_0) = sample(model, respace(schedule, 100), shape=(16, 1, 8, 8), seed=0)
    return x_0


def test_twelve_of_sixteen_samples_are_clearly_digits(judge, sixteen):
    assert (judge(sixteen) >= 0.8).sum() >= 12


def test_the_samples_differ_from_each_other_and_from_the_training_images(sixteen):
    real, _ = load_digits("train")
    assert torch.cdist(sixteen.flatten(1), real.flatten(1)).min() > 0.5
    assert torch.pdist(sixteen.flatten(1)).min() > 0.5


@pytest.fixture(scope="module")
def chapter():
    """What the chapter on conditioning measures with: as_asked, measure, test_images, ..."""
    return train_digits.recipe("digits-by-label", "recipe", "measure")


def test_the_chapters_judge_is_right_about_real_digits(chapter):
    assert chapter["as_asked"](*load_digits("test")) >= 0.97


def test_real_digits_are_as_varied_and_as_near_as_real_digits(chapter):
    found = chapter["measure"](*load_digits("test"))
    assert found["diversity"] == found["distance"] == 1
    images, labels = load_digits("train")
    found = chapter["measure"](images, labels)
    assert 0.97 < found["diversity"] < 1.03
    assert found["distance"] < 1e-3  # learnt by heart
    one_of_each = torch.stack([images[labels == c][0] for c in range(10)])
    assert chapter["measure"](one_of_each.repeat(5, 1, 1, 1), torch.arange(50) % 10)["diversity"] == 0


@pytest.mark.slow
def test_digits_are_as_asked(chapter):
    model, schedule = load_pretrained("digits-by-label")
    asked = torch.arange(50) % 10
    *_, (_, x_0) = sample(model, respace(schedule, 100), shape=(50, 1, 8, 8), seed=1, context=asked)
    assert chapter["as_asked"](x_0, asked) >= 0.94  # fewer of 50 and 90 % would be in doubt


def test_study_of_guidance_is_about_the_shipped_weights():
    study = record_of("guidance")
    content = (weights.PRETRAINED / "digits-by-label.safetensors").read_bytes()
    assert study["weights_sha256"] == hashlib.sha256(content).hexdigest()
    rows = {row["scale"]: row for row in study["scales"]}
    assert rows[0]["images"] == 500
    assert rows[0]["as_asked"] >= 0.9
    assert rows[0]["diversity"] > rows[1]["diversity"] > rows[8]["diversity"]


def test_study_of_steps_is_about_the_shipped_weights():
    study = record_of("steps")
    content = (weights.PRETRAINED / "digits.safetensors").read_bytes()
    assert study["weights_sha256"] == hashlib.sha256(content).hexdigest()
    rows = study["rows"]
    found = {(row["kind"], row["spacing"], row["steps"]): row["distance"] for row in rows if row["seed"] == 0}
    for spacing, steps in (("trailing", 1000), ("leading", 200)):
        ends = [found[kind, spacing, steps] for kind in ("DDPM, beta", "DDPM, beta_tilde", "DDIM")]
        assert max(ends) - min(ends) < 0.003
    assert found["DDPM, beta", "leading", 10] > 4 * found["DDIM", "leading", 10]


def test_short_walks_were_drawn_with_three_seeds_and_say_what_the_chapter_says():
    study = record_of("steps")
    found = {}
    for row in study["rows"]:
        if row["spacing"] == "trailing":
            found.setdefault((row["kind"], row["steps"]), {})[row["seed"]] = row["distance"]
    for steps in (5, 10, 20, 50):
        assert all(sorted(found[kind, steps]) == [0, 1, 2] for kind in ("DDPM, beta", "DDPM, beta_tilde", "DDIM"))
    for steps, seed in itertools.product((10, 20), (0, 1, 2)):
        assert found["DDIM", steps][seed] < min(found[kind, steps][seed] for kind in ("DDPM, beta", "DDPM, beta_tilde"))
    for steps, seed in itertools.product((5, 10), (0, 1, 2)):
        assert found["DDPM, beta", steps][seed] < found["DDPM, beta_tilde", steps][seed]
    tilde, ddim = (found[kind, 50].values() for kind in ("DDPM, beta_tilde", "DDIM"))
    assert min(tilde) < min(ddim) < max(ddim) < max(tilde)  # no difference that could be told from chance


@pytest.mark.parametrize("bit", [0, 4_000, 900_000, -1])
def test_shipped_file_with_one_changed_bit_is_refused(tmp_path, monkeypatch, bit):
    content = bytearray((weights.PRETRAINED / "digits.safetensors").read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    (tmp_path / "digits.safetensors").write_bytes(content)
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path)
    refusal = r"^digits.safetensors: expected SHA-256 \w{64}, got \w{64}; the file is damaged: install"
    with pytest.raises(ValueError, match=refusal):
        load_pretrained("digits")


def test_every_shipped_file_has_its_sum_and_every_sum_its_file():
    files = {path.relative_to(weights.PRETRAINED).as_posix() for path in weights.PRETRAINED.rglob("*.safetensors")}
    listed = [line.split()[1] for line in weights.SUMS.read_text(encoding="ascii").splitlines()]
    assert listed == sorted(files)
    for name in listed:
        assert weights.find_shipped(name).is_file()


def test_a_shipped_file_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match=r"^name: expected a file that comes with the package, got 'x.safet"):
        weights.find_shipped("x.safetensors")
