"""A folder of pictures becomes one array: middle square, order, turning, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm_lite import TrainConfig, UNet, UNetConfig, linear_schedule, train
from ddpm_lite.data import images_from_folder


def picture(path, colour, size=(40, 40), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "my 图片"
    picture(folder / "b.png", (255, 0, 0))
    picture(folder / "a" / "c.JPG", (0, 0, 255), quality=95)
    stripes = np.zeros((20, 60, 3), np.uint8)
    stripes[:, 20:40] = [0, 255, 0]  # the middle square is green, what is cut off is black
    Image.fromarray(stripes).save(folder / "wide.bmp")
    half = np.zeros((30, 30), np.uint8)
    half[:15] = 255  # bright above; tag 274 says that the camera was turned upside down
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray(half).save(folder / "z.png", exif=exif)
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_pictures_become_rows_in_the_order_of_their_names(folder):
    path = images_from_folder(folder, 8)
    assert path == folder.with_name("my 图片-8.npy")
    array = np.load(path, mmap_mode="r")
    assert array.shape == (4, 3, 8, 8)
    assert array.dtype == np.uint8
    for row, colour in ((0, (0, 0, 255)), (1, (255, 0, 0)), (2, (0, 255, 0))):
        difference = array[row].astype(int) - np.array(colour)[:, None, None]
        assert np.abs(difference).max() <= 3
    assert array[3, :, :3].max() <= 5
    assert array[3, :, 5:].min() >= 250
    assert sorted(p.name for p in folder.parent.iterdir()) == [folder.name, path.name]


def test_grey_pictures_of_another_name_and_training_on_them(folder, tmp_path):
    path = images_from_folder(str(folder), 8, file=tmp_path / "grey.npy", channels=1)
    array = np.load(path, mmap_mode="r")
    assert array.shape == (4, 1, 8, 8)
    assert abs(int(array[2].max()) - 150) <= 1  # green weighs 0.587
    config = TrainConfig(steps=2, batch_size=3, accumulation=2)
    *_, state = train(UNet(UNetConfig(8, 1, (8,), blocks=1)), linear_schedule(), array, config)
    assert torch.isfinite(torch.tensor(state.loss))


def test_what_is_no_folder_of_pictures_gets_one_line(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    for call, kind, line in (
        (
            lambda: images_from_folder(tmp_path / "none", 8),
            FileNotFoundError,
            "folder: expected an existing folder, got ",
        ),
        (
            lambda: images_from_folder(tmp_path / "empty", 8),
            ValueError,
            r"folder: expected pictures \(.png, .*, got none",
        ),
        (lambda: images_from_folder(folder, 0), ValueError, "size: expected a whole number >= 1, got 0"),
        (lambda: images_from_folder(folder, 8, channels=4), ValueError, "channels: expected 1 or 3, got 4"),
        (lambda: images_from_folder(folder, 8, file="x.npz"), ValueError, "file: expected a name that ends in .npy"),
    ):
        with pytest.raises(kind, match="^" + line) as caught:
            call()
        assert "\n" not in str(caught.value)
    (folder / "a" / "broken.png").write_bytes((folder / "b.png").read_bytes()[:60])
    with pytest.raises(
        ValueError, match="folder: expected pictures, got a damaged one, 'a/broken.png' .*; mend or remove"
    ):
        images_from_folder(folder, 8)
    assert sorted(tmp_path.iterdir()) == before  # no half of an array
