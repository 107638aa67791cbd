"""The study of emoji: held-out names are made of known words, ranks find a copy, and the record is complete."""

import hashlib
from collections import Counter

import pytest
import study_colour as study
import torch

from ddpm_lite import UNetConfig

COLOURS = ("red", "green", "blue", "black", "white")
NAMES = [f"{colour} {thing}" for thing in ("circle", "heart", "cat", "moon", "sun", "car") for colour in COLOURS]


def test_every_word_of_a_held_out_name_is_in_two_training_names():
    unseen = study.hold_out([*NAMES, "lonely word"])
    assert len(unseen) == 4  # a tenth of 31, and the first that is no less
    left = Counter(word for name in NAMES if name not in unseen for word in study.split_words(name))
    assert all(left[word] >= study.LEAST for name in unseen for word in study.split_words(name))
    assert study.hold_out([*NAMES[::-1], "lonely word"]) == unseen  # whatever the order
    numbers = [hashlib.sha256(name.encode()).hexdigest() for name in study.shuffle(NAMES)]
    assert numbers == sorted(numbers)


def test_a_copy_has_rank_1_and_the_farthest_picture_the_last():
    images = torch.linspace(-1, 1, 9).reshape(9, 1, 1, 1).expand(9, 3, 2, 2)
    assert study.rank(images[[3, 0]] + 0.01, images, torch.tensor([3, 8])).tolist() == [1, 9]


class Painter:
    """Draws a flat picture of the grey that belongs to the name."""

    def __init__(self, images):
        self.greys = dict(zip(NAMES, images[:, :, 0, 0], strict=True))

    def draw(self, model, names, seed):
        return torch.stack([self.greys[name][:, None, None].expand(3, 16, 16) for name in names])


@pytest.fixture
def images():
    return torch.linspace(-1, 1, len(NAMES)).reshape(-1, 1, 1, 1).expand(-1, 3, 16, 16).clone()


def test_whoever_draws_what_is_asked_gets_rank_1_and_every_colour_right(images, monkeypatch):
    monkeypatch.setattr(study, "draw", Painter(images).draw)
    monkeypatch.setattr(study, "INVENTED", tuple(NAMES[:2]))
    unseen = study.hold_out(NAMES)
    found, shown = study.measure(None, images, NAMES, unseen)
    for group in ("held out", "seen"):
        assert found[group]["ranks"] == [1] * len(unseen)
        assert found[group]["own distances"] == [0.0] * len(unseen)
        assert min(found[group]["ranks of another"]) > 1
        assert min(found[group]["rarest words"]) >= study.LEAST  # the words of every name here are common
    assert found["seen"]["distances"] == [0.0] * len(unseen)
    step = 2 / (len(NAMES) - 1)  # to the neighbour in grey, which may itself be held out
    assert all(d >= round(step, 4) for d in found["held out"]["distances"])
    assert found["held-out pictures"]["distances"] == found["held out"]["distances"]
    assert [row["right"] for row in found["colours"]] == [study.EACH] * 10
    assert {row["kinds"] for row in found["colours"]} == {5}
    assert sum(row["held out"] for row in found["colours"]) == sum("circle" in n or "heart" in n for n in unseen)
    assert torch.equal(shown["seen"], shown["seen real"])


def test_a_run_that_was_stopped_goes_on_and_its_network_draws(images, monkeypatch, tmp_path):
    monkeypatch.setattr(study, "UNET", UNetConfig(16, 3, (8, 16), 1, (1,), context_dim=6))
    monkeypatch.setattr(study, "WALK", 2)
    for name, steps in (("CONFIG", 4), ("COOLING", 2)):
        monkeypatch.setattr(study, name, study.replace(getattr(study, name), steps=steps, batch_size=2))
    monkeypatch.setattr(study, "EVERY", 2)
    model, seconds = study.train_on(images, NAMES, tmp_path)
    again, same = study.train_on(images, NAMES, tmp_path)
    assert seconds == same > 0
    assert torch.equal(again.encoder.table.weight, model.encoder.table.weight)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["constant", "cooling", "seconds.txt"]
    with torch.no_grad():
        x = study.draw(model.eval(), ["red moon", "blue sun"], 0)
    assert x.shape == (2, 3, 16, 16)
    assert (x[0] - x[1]).abs().max() > 0
