"""A folder of pictures becomes one array: modes, orientations, transparency, shapes, labels, and errors."""

import json
import os
import struct
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from ddpm_lite import TrainConfig, UNet, UNetConfig, images_from_folder, linear_schedule, open_pictures, train
from ddpm_lite.files.picture import flatten
from ddpm_lite.files.pictures import ENDINGS

WHITE = (255, 255, 255)


def picture(path, colour, size=(40, 40), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


def rows_of(folder, size=8, **options):
    """The array of a folder, written beside it."""
    return np.load(images_from_folder(folder, size, **options))


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
    return folder


def test_pictures_become_rows_in_the_order_of_their_names(folder):
    path = images_from_folder(folder, 8, crop=True)
    assert path == folder.with_name("my 图片-8x8-rgb-crop.npy")
    array = np.load(path, mmap_mode="r")
    assert array.shape == (4, 3, 8, 8)
    assert array.dtype == np.uint8
    for row, colour in ((0, (0, 0, 255)), (1, (255, 0, 0)), (2, (0, 255, 0))):
        difference = array[row].astype(int) - np.array(colour)[:, None, None]
        assert np.abs(difference).max() <= 3
    assert array[3, :, :3].max() <= 5
    assert array[3, :, 5:].min() >= 250
    assert sorted(p.name for p in folder.parent.iterdir()) == [folder.name, path.name, f"{path.name}.json"]
    images, labels, words, names, skipped = open_pictures(path)
    assert np.array_equal(images, array)
    assert isinstance(images, np.memmap)
    assert (labels, words) == (None, ())  # three lie in no folder
    assert names == ("a/c.JPG", "b.png", "wide.bmp", "z.png")
    assert skipped == {}


def test_grey_pictures_of_another_name_and_training_on_them(folder, tmp_path):
    path = images_from_folder(str(folder), 8, file=tmp_path / "grey.npy", channels=1, crop=True)
    array = np.load(path, mmap_mode="r")
    assert array.shape == (4, 1, 8, 8)
    assert abs(int(array[2].max()) - 150) <= 1  # green weighs 0.587
    config = TrainConfig(steps=2, batch_size=3, accumulation=2)
    *_, state = train(UNet(UNetConfig(8, 1, (8,), blocks=1)), linear_schedule(), array, config)
    assert torch.isfinite(torch.tensor(state.loss))


# Modes


RAMP = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)
ALPHA = np.where(np.arange(64).reshape(8, 8) % 3 == 0, 0, np.where(np.arange(64).reshape(8, 8) % 3 == 1, 100, 255))
COLOURS = np.stack([RAMP, RAMP[::-1], np.full_like(RAMP, 90)], -1)


def on(colour, pixels, alpha):
    """What a pixel looks like through which the ground shows."""
    share = alpha[..., None] / 255
    return share * pixels + (1 - share) * np.array(colour)


def with_palette(alpha):
    """A picture of three colours, its second one see-through."""
    image = Image.fromarray((np.arange(64) % 3).astype(np.uint8).reshape(8, 8)).convert("P")
    image.putpalette([255, 0, 0, 0, 200, 0, 10, 20, 30])
    colours = np.array([[255, 0, 0], [0, 200, 0], [10, 20, 30]], float)
    index = np.arange(64).reshape(8, 8) % 3
    if alpha is None:
        return image, colours[index]
    image.info["transparency"] = alpha
    see_through = np.array([255, 0, 255] if isinstance(alpha, int) else list(alpha))[index]
    return image, on(WHITE, colours[index], see_through)


def made(mode):
    """A picture of this mode, and what it looks like on white, (8, 8, 3), reckoned without Pillow's conversions."""
    grey = np.repeat(RAMP[..., None], 3, -1).astype(float)
    alpha = ALPHA.astype(np.uint8)
    if mode == "1":
        bits = np.arange(64).reshape(8, 8) % 2 == 0
        return Image.fromarray(bits), np.repeat(np.where(bits, 255.0, 0)[..., None], 3, -1)
    if mode == "L":
        return Image.fromarray(RAMP), grey
    if mode in ("LA", "La"):
        stored = RAMP if mode == "LA" else np.round(RAMP * (ALPHA / 255)).astype(np.uint8)
        image = Image.frombytes("LA", (8, 8), np.stack([stored, alpha], -1).tobytes())
        if mode == "La":
            image = Image.frombytes("La", (8, 8), image.tobytes())
        return image, on(WHITE, grey, ALPHA)
    if mode in ("P", "P, one colour clear", "P, alpha for each colour"):
        return with_palette({"P": None, "P, one colour clear": 1}.get(mode, bytes([255, 77, 0])))
    if mode == "PA":
        image, seen = with_palette(None)
        paletted = Image.frombytes("PA", (8, 8), np.stack([np.asarray(image), alpha], -1).tobytes())
        paletted.putpalette(image.getpalette())
        return paletted, on(WHITE, seen, ALPHA)
    if mode == "RGB":
        return Image.fromarray(COLOURS), COLOURS.astype(float)
    if mode in ("RGBA", "RGBa"):
        stored = COLOURS if mode == "RGBA" else np.round(COLOURS * (ALPHA[..., None] / 255)).astype(np.uint8)
        return Image.frombytes(mode, (8, 8), np.dstack([stored, alpha]).tobytes()), on(WHITE, COLOURS, ALPHA)
    if mode == "RGBX":
        return Image.frombytes(mode, (8, 8), np.dstack([COLOURS, alpha]).tobytes()), COLOURS.astype(float)
    if mode == "CMYK":  # inks, of which more is darker
        ink = np.dstack([COLOURS, np.full_like(RAMP, 51)])
        return Image.frombytes(mode, (8, 8), ink.tobytes()), (255 - COLOURS.astype(float)) * (1 - 51 / 255)
    if mode == "YCbCr":  # JPEG's (ITU-T T.871), with colours near grey so that nothing is cut off
        planes = np.dstack([80 + RAMP // 4, 120 + RAMP // 16, 130 - RAMP // 16]).astype(np.uint8)
        y, blue, red = (planes[..., i].astype(float) - (0, 128, 128)[i] for i in range(3))
        seen = np.dstack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue])
        return Image.frombytes(mode, (8, 8), planes.tobytes()), seen
    if mode == "HSV":  # full colours: hue 0 is red, a third is green
        hue = np.where(np.arange(64).reshape(8, 8) % 2 == 0, 0, 85).astype(np.uint8)
        image = Image.frombytes(mode, (8, 8), np.dstack([hue, np.full_like(hue, 255), RAMP]).tobytes())
        bright = np.where((hue == 0)[..., None], [1.0, 0, 0], [0, 1.0, 0]) * RAMP[..., None]
        return image, bright
    if mode == "LAB":  # grey: both colour axes at their middle. Lightness as in CIE 1976, the screen's curve is sRGB's
        planes = np.dstack([RAMP, np.full_like(RAMP, 0), np.full_like(RAMP, 0)])
        lightness = RAMP / 255 * 100
        light = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
        curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        return Image.frombytes(mode, (8, 8), planes.tobytes()), np.repeat(255 * curve[..., None], 3, -1)
    assert mode.startswith("I;16")
    order = ">u2" if mode == "I;16B" else "<u2"
    values = (RAMP.astype(np.uint32) * 257).astype(order)
    return Image.frombytes(mode, (8, 8), values.tobytes()), grey


MODES = ["1", "L", "LA", "La", "P", "P, one colour clear", "P, alpha for each colour", "PA", "RGB", "RGBA", "RGBa"]
MODES += ["RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I;16L", "I;16B"]
NEAR = {"LA": 1, "La": 3, "PA": 1, "RGBa": 3, "YCbCr": 2, "HSV": 3, "LAB": 3, "CMYK": 1}  # bytes of rounding


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_looks_as_it_should(mode):
    image, seen = made(mode)
    assert image.mode == mode.partition(",")[0]
    got = flatten(image, WHITE)
    assert got.mode == "RGB"
    assert np.abs(np.asarray(got).astype(float) - seen).max() <= NEAR.get(mode, 0.5) + 1e-9


FILES = {"1": "png", "L": "png", "LA": "png", "P": "png", "P, one colour clear": "gif"}
FILES |= {"P, alpha for each colour": "png", "RGB": "webp", "RGBA": "png", "RGBX": "tif", "CMYK": "tif"}
FILES |= {"YCbCr": "tif", "LAB": "tif"}
FILES |= {"I;16": "png", "I;16B": "tif", "I;16 ": "tif", "RGBA ": "webp", "RGB ": "tga"}


@pytest.mark.parametrize("mode", FILES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_through_a_file(mode, channels, tmp_path):
    image, seen = made(mode.strip())
    (tmp_path / "one").mkdir()
    options = {"lossless": True} if FILES[mode] == "webp" else {}
    image.save(tmp_path / "one" / f"x.{FILES[mode]}", **options)
    (row,) = rows_of(tmp_path / "one", channels=channels)
    if channels == 1:
        seen = seen @ np.array([[0.299], [0.587], [0.114]])  # ITU-R BT.601, as in JPEG
    assert np.abs(row.astype(float) - seen.transpose(2, 0, 1)).max() <= NEAR.get(mode.strip(), 1) + 1


@pytest.mark.parametrize(("colour", "seen"), [("black", (0, 0, 0)), ("#ff8000", (255, 128, 0)), ((1, 2, 3), (1, 2, 3))])
def test_the_ground_has_the_colour_that_was_asked_for(colour, seen, tmp_path):
    Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    out = images_from_folder(tmp_path, 8, background=colour, file=tmp_path / "x.npy")
    assert np.load(out)[0, :, 0, 0].tolist() == list(seen)


def test_grey_of_16_bits_with_one_clear_value(tmp_path):
    """PNG's tRNS chunk names one value of 65,536."""
    values = np.full((8, 8), 30000, np.uint16)
    values[:, 4:] = 30001
    Image.fromarray(values).save(tmp_path / "x.png", transparency=30000)
    (row,) = rows_of(tmp_path, channels=1)
    assert row[0, 0].tolist() == 4 * [255] + 4 * [117]


def test_a_clear_colour_of_16_bits():
    image = Image.new("RGB", (2, 1), (255, 0, 128))
    image.putpixel((0, 0), (1, 2, 3))
    image.info["transparency"] = (65535, 0, 32768)  # as Pillow opens a PNG of 48 bits
    assert np.asarray(flatten(image, WHITE)).tolist() == [[[1, 2, 3], [255, 255, 255]]]


def test_12_bits_are_refused(tmp_path):
    """A TIFF file of two grey pixels, 0 and 4095."""
    tags = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 3}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    file = struct.pack("<2sHI", b"II", 42, 12) + b"\0\x0f\xff\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "x.tif").write_bytes(file)
    with Image.open(tmp_path / "x.tif") as image:
        assert image.mode == "I;16"
    with pytest.raises(ValueError, match=r"'x.tif' \(12 bits a channel"):
        rows_of(tmp_path)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bits_a_channel_are_refused_by_name(mode, tmp_path):
    Image.new(mode, (8, 8), 7).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=rf"^folder: .*'deep.tif' \(32 bits a channel \(mode {mode}\)"):
        rows_of(tmp_path)


def test_16_bits_that_arrive_in_mode_I(tmp_path):
    """Pillow opens a PGM of 16 bits, and old ones a PNG, in mode I."""
    (tmp_path / "x.pgm").write_bytes(b"P5 2 1 65535\n" + np.array([32768, 65535], ">u2").tobytes())
    assert rows_of(tmp_path, (1, 2), channels=1).ravel().tolist() == [128, 255]


# What a camera writes down: the transposition that EXIF's orientation asks for, on rows and columns


UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("mode", ["RGB", "LA", "P", "I;16"])
def test_every_orientation(orientation, mode, tmp_path):
    wide = np.zeros((4, 8, 3), np.uint8)
    wide[0, 0], wide[0, 7], wide[3, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    image = Image.fromarray(wide)
    if mode == "I;16":
        image = Image.fromarray(wide.astype(np.uint16)[..., 0] * 257)
        wide = np.repeat(wide[..., :1], 3, -1)
    elif mode != "RGB":
        image = image.convert(mode)
        wide = np.asarray(image.convert("RGB"))
    exif = Image.Exif()
    exif[274] = orientation
    image.save(tmp_path / "x.png", exif=exif)
    seen = UPRIGHT[orientation](wide)
    (row,) = rows_of(tmp_path, seen.shape[:2])
    assert np.array_equal(row, seen.transpose(2, 0, 1))


# Shapes


def test_a_wide_picture_is_squeezed_or_cropped_and_one_of_the_right_shape_is_neither(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = [0, 255, 0]
    Image.fromarray(wide).save(tmp_path / "wide.png")
    with pytest.warns(UserWarning, match="^folder: 1 of 1 .*9x9.*crop=True"):
        squeezed = rows_of(tmp_path, 9)
    assert squeezed[0, 1, 4].tolist()[0] < 5  # black at the left, green in the middle
    assert squeezed[0, 1, 4, 4] > 250
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cropped = rows_of(tmp_path, 9, crop=True)
        whole = rows_of(tmp_path, (20, 60))
        tall = rows_of(tmp_path, (9, 3), crop=True)
    assert cropped[0, 1].min() > 250
    assert np.array_equal(whole[0], wide.transpose(2, 0, 1))
    assert tall.shape == (1, 3, 9, 3)
    assert tall[0, 1].min() > 250


def test_arrays_of_other_kinds_have_other_names(tmp_path):
    picture(tmp_path / "faces" / "x.png", "red")
    kinds = [{}, {"channels": 1}, {"crop": True}, {"background": "black"}, {"size": (4, 8)}, {"size": (8, 4)}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = [images_from_folder(tmp_path / "faces", **{"size": 8} | kind).name for kind in kinds]
    assert len(set(names)) == len(kinds)
    assert names[0] == "faces-8x8-rgb.npy"


def test_here_is_a_folder_too(tmp_path, monkeypatch):
    picture(tmp_path / "faces" / "x.png", "red")
    monkeypatch.chdir(tmp_path / "faces")
    assert images_from_folder(".", 8) == tmp_path / "faces-8x8-rgb.npy"
    assert images_from_folder("", 8) == tmp_path / "faces-8x8-rgb.npy"
    os.chdir(tmp_path)
    assert images_from_folder("faces/../faces/", 8) == tmp_path / "faces-8x8-rgb.npy"
    picture(tmp_path / "faces" / "deep" / "er" / "y.png", "blue")
    os.chdir(tmp_path / "faces" / "deep")
    assert images_from_folder("..", 8) == tmp_path / "faces-8x8-rgb.npy"
    assert open_pictures(tmp_path / "faces-8x8-rgb.npy").names == ("deep/er/y.png", "x.png")


# Files that are no pictures, and pictures that are broken


def test_what_is_hidden_is_passed_over_in_silence_and_the_rest_by_name(tmp_path):
    for name in ("a.png", "b.gif", "c.TIF", "d.jpeg", "inside/e.webp"):
        picture(tmp_path / "faces" / name, "red")
    for name in (".DS_Store", "._a.png", "inside/._e.webp", ".thumbs/f.png"):
        (tmp_path / "faces" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "faces" / name).write_bytes(b"no picture")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = images_from_folder(tmp_path / "faces", 8)
    assert open_pictures(path).names == ("a.png", "b.gif", "c.TIF", "d.jpeg", "inside/e.webp")
    assert open_pictures(path).skipped == {}
    (tmp_path / "faces" / "notes.txt").write_text("red")
    (tmp_path / "faces" / "g.heic").write_bytes(b"?")
    (tmp_path / "faces" / "folder.png").mkdir()  # not a file
    with pytest.warns(UserWarning, match="folder: 2 left out: g.heic, notes.txt"):
        path = images_from_folder(tmp_path / "faces", 8)
    assert list(open_pictures(path).skipped) == ["g.heic", "notes.txt"]


def test_an_array_inside_the_folder_is_not_taken_for_a_stranger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "x.png", "red")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            images_from_folder(tmp_path, 8, file="rows.npy")


def test_broken_pictures_are_named_all_at_once_or_left_out(tmp_path):
    picture(tmp_path / "faces" / "good.png", "red")
    picture(tmp_path / "faces" / "other" / "good.png", "blue")
    whole = (tmp_path / "faces" / "good.png").read_bytes()
    (tmp_path / "faces" / "cut.png").write_bytes(whole[:60])
    (tmp_path / "faces" / "empty.jpg").write_bytes(b"")
    (tmp_path / "faces" / "other" / "text.gif").write_bytes(b"not a picture at all")
    (tmp_path / "faces" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match="^folder: expected pictures that can be read, got 4 broken: ") as caught:
        images_from_folder(tmp_path / "faces", 8)
    for name in ("cut.png", "empty.jpg", "nowhere.png", "other/text.gif"):
        assert f"'{name}' (" in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before  # no half of an array
    with pytest.warns(UserWarning, match="4 left out: cut.png, empty.jpg, nowhere.png, other/text.gif"):
        path = images_from_folder(tmp_path / "faces", 8, skip_broken=True)
    images, _, _, names, skipped = open_pictures(path)
    assert names == ("good.png", "other/good.png")
    assert images.shape == (2, 3, 8, 8)
    assert images[:, :, 0, 0].tolist() == [[255, 0, 0], [0, 0, 255]]
    assert len(skipped) == 4
    for name in names:
        (tmp_path / "faces" / name).unlink()
    with pytest.raises(ValueError, match="^folder: expected pictures that can be read, got 4 broken"):
        images_from_folder(tmp_path / "faces", 8, skip_broken=True)


# Labels


def test_folders_inside_are_labels(tmp_path):
    for name in ("disc/1.png", "disc/deeper/2.png", "Box/1.png", "cross/9.png"):
        picture(tmp_path / "shapes" / name, "red")
    (tmp_path / "shapes" / "nothing here").mkdir()
    path = images_from_folder(tmp_path / "shapes", 8)
    _, labels, words, names, _ = open_pictures(path)
    assert words == ("Box", "cross", "disc")
    assert names == ("Box/1.png", "cross/9.png", "disc/1.png", "disc/deeper/2.png")
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 1, 2, 2]
    picture(tmp_path / "shapes" / "stray.png", "red")
    with pytest.warns(UserWarning, match="^folder: 1 of 5 pictures are outside of the subfolders, so .* no labels"):
        path = images_from_folder(tmp_path / "shapes", 8)
    assert open_pictures(path).labels is None


def test_one_folder_inside_is_no_label(tmp_path):
    picture(tmp_path / "shapes" / "images" / "1.png", "red")
    assert open_pictures(images_from_folder(tmp_path / "shapes", 8)).labels is None


# What is refused


def test_what_is_no_folder_of_pictures_gets_one_line(folder, tmp_path, plain):
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    for change, kind, line in (
        ({"folder": tmp_path / "none"}, FileNotFoundError, "folder: expected an existing folder, got "),
        ({"folder": folder / "b.png"}, FileNotFoundError, "folder: expected an existing folder, got "),
        ({"folder": tmp_path / "empty"}, ValueError, r"folder: expected pictures \(.png, .*, got none"),
        ({"size": 0}, ValueError, "size: expected a whole number in 1..32768, got 0"),
        ({"size": (8, 0)}, ValueError, "size: expected a whole number in 1..32768, got 0"),
        ({"size": (8, 8, 8)}, ValueError, r"size: expected a whole number, or \(height, width\), got "),
        ({"size": "8"}, ValueError, "size: "),
        ({"channels": 4}, ValueError, "channels: expected 1 or 3, got 4"),
        ({"background": "no colour"}, ValueError, "background: expected a colour"),
        ({"background": "#ffffff80"}, ValueError, "background: expected a colour"),
        ({"background": (0, 0, 256)}, ValueError, "background: expected a colour"),
        ({"background": 7}, ValueError, "background: expected a colour"),
        ({"file": "x.npz"}, ValueError, "file: expected a name that ends in .npy"),
        ({"file": tmp_path / "none" / "x.npy"}, FileNotFoundError, "file: expected a name in an existing folder"),
    ):
        with pytest.raises(kind, match="^" + line) as caught:
            images_from_folder(**{"folder": folder, "size": 8} | change)
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_an_array_and_its_list_belong_together(tmp_path):
    picture(tmp_path / "faces" / "x.png", "red")
    path = images_from_folder(tmp_path / "faces", 8)
    beside = path.with_name(f"{path.name}.json")
    listed = json.loads(beside.read_text(encoding="utf8"))
    beside.write_text(json.dumps(listed | {"names": ["x.png", "y.png"]}))
    with pytest.raises(ValueError, match="^file: expected an array and its list, got 1 images and a list of 2"):
        open_pictures(path)
    beside.unlink()
    with pytest.raises(FileNotFoundError, match="^file: "):
        open_pictures(path)


def test_a_bar_may_watch_the_pictures(folder):
    seen = []
    images_from_folder(folder, 8, crop=True, watch=lambda paths: (seen.append(path.name) or path for path in paths))
    assert seen == ["c.JPG", "b.png", "wide.bmp", "z.png"]


def test_pillow_reads_every_ending():
    Image.init()
    known = {ending for ending, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    assert set(ENDINGS) <= known
    assert ImageCms.core  # mode LAB needs it
