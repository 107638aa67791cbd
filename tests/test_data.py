"""The images that the book is about: shapes, range, orientation, and a split that does not leak."""

import pytest
import torch

from ddpm_lite import load_digits, load_photo


def test_digits_are_images_in_minus_1_to_1():
    images, labels = load_digits()
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.float32
    assert labels.shape == (1797,)
    assert labels.dtype == torch.int64
    assert images.min() == -1
    assert images.max() == 1
    assert set(labels.tolist()) == set(range(10))
    assert len(images.unique()) == 17  # 16 grey levels and empty paper


def test_a_zero_has_a_hole_in_the_middle():
    images, labels = load_digits()
    mean_zero = images[labels == 0].mean(0)[0]
    assert mean_zero[3:5, 3:5].mean() < mean_zero[3:5, [2, 5]].mean() - 0.5


def test_train_and_test_parts_share_no_image():
    (all_images, _), (train, train_labels), (test, test_labels) = map(load_digits, ("all", "train", "test"))
    assert len(train) == len(train_labels) == 1297
    assert len(test) == len(test_labels) == 500
    rows = {tuple(image.flatten().tolist()) for image in all_images}
    in_train = {tuple(image.flatten().tolist()) for image in train}
    in_test = {tuple(image.flatten().tolist()) for image in test}
    assert in_train | in_test == rows
    assert not in_train & in_test
    assert torch.bincount(test_labels).min() >= 35


def test_split_is_the_same_every_time():
    torch.manual_seed(1)
    first = load_digits("test")[1]
    torch.manual_seed(2)
    assert torch.equal(first, load_digits("test")[1])


@pytest.mark.parametrize("name", ["china", "flower"])
def test_photo_is_a_colour_image(name):
    photo = load_photo(name, 32)
    assert photo.shape == (1, 3, 32, 32)
    assert photo.abs().max() <= 1
    assert photo.std() > 0.2
    sharp = load_photo(name, 64)
    small = torch.nn.functional.avg_pool2d(sharp, 2)
    assert (small - photo).abs().mean() < 0.1  # the same picture, not a crop
