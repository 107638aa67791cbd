"""The book's data sets: shapes, range, orientation, and disjoint training and test images."""

import gzip
import hashlib
import io
import json
import struct
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from fashion import cut
from PIL import Image

from ddpm_lite import load_cifar10, load_digits, load_emoji, load_fashion_mnist, load_photo
from ddpm_lite.data import FASHION_WORDS
from ddpm_lite.files import published


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


# Sets that are fetched: four small files and an archive in the true formats, on a server of this machine


def packed_idx(values):
    values = np.asarray(values, np.uint8)
    head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    return gzip.compress(head + values.tobytes(), mtime=0)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


PICTURES = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
FILES = {
    "train-images-idx3-ubyte.gz": packed_idx(PICTURES[:4]),
    "train-labels-idx1-ubyte.gz": packed_idx([9, 0, 7, 3]),
    "t10k-images-idx3-ubyte.gz": packed_idx(PICTURES[4:]),
    "t10k-labels-idx1-ubyte.gz": packed_idx([1, 2]),
}


def record(label, colour):
    """A CIFAR-10 record whose red, green and blue planes are these bytes, but for its first red pixel."""
    red, green, blue = colour
    return bytes([label, 200]) + bytes([red]) * 1023 + bytes([green]) * 1024 + bytes([blue]) * 1024


BINS = {f"data_batch_{n}.bin": record(2 * n - 2, (n, 2, 3)) + record(2 * n - 1, (n, 5, 6)) for n in range(1, 6)}
BINS["test_batch.bin"] = b"".join(record(label, (7, 8, 9)) for label in range(10))


def archive(files, root="cifar-10-batches-bin"):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{root}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return whole.getvalue()


def png(*colours):
    """A picture of 64x64 pixels in two halves, the left and the right, each of one colour with its opacity."""
    pixels = np.repeat(np.uint8(colours)[None], 64, axis=0).repeat(32, axis=1)
    whole = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(whole, "PNG")
    return whole.getvalue()


def emoji_archives():
    """Two packages with four emoji in both, of which one is a flag, and one emoji in either."""
    codes = {
        "2764-FE0F": "heart",
        "1F7E2": "circle",
        "1F1E6-1F1E8": "flag",
        "1F468-200D-1F9B0": "hair",
        "1F600": "face",
    }
    clear, red = (0, 0, 0, 0), (221, 46, 68, 255)
    drawn = {"heart": png(red, clear), "circle": png((0, 255, 0, 51), (0, 0, 255, 255)), "flag": png(red, red)}
    drawn |= {"hair": png(clear, clear), "o": png(red, red)}
    rows = [{"unified": code, "image": f"{name}.png"} for code, name in codes.items()]
    pictures = {"package.json": b"{}", "emoji.json": json.dumps(rows).encode(), "img/twitter/sheets/64.png": b"large"}
    pictures |= {f"img/twitter/64/{name}.png": content for name, content in drawn.items()}
    known = {"\U0001f7e2": "green circle", "\u2764\ufe0f": "red heart", "\U0001faea": "distorted face"}
    known |= {"\U0001f468\u200d\U0001f9b0": "man: red hair", "\U0001f1e6\U0001f1e8": "flag: Ascension Island"}
    about = {sign: {"name": name, "group": "Flags" if "flag" in name else "Some"} for sign, name in known.items()}
    names = {"data-by-emoji.json": json.dumps(about).encode(), "data-by-group.json": b"[]"}
    return [archive(files, "package") for files in (pictures, names)]


class Server:
    """Answers GET with what `files` holds by name: bytes, an HTTP status, or (bytes, the length it claims)."""

    def __init__(self):
        self.files, self.asked = {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path[1:])
                answer = outer.files.get(self.path[1:], 404)
                if isinstance(answer, int):
                    self.send_error(answer)
                    return
                content, length = answer if isinstance(answer, tuple) else (answer, len(answer))
                self.send_response(200)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/"

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def servers():
    """Two servers, the first choice and the second."""
    both = [Server(), Server()]
    yield both
    for server in both:
        server.close()


@pytest.fixture
def home(tmp_path, monkeypatch, servers):
    """An empty data folder, with the package's hashes and servers instead of the published ones."""
    cifar = archive(BINS)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("DDPM_LITE_DATA", str(tmp_path / "数据 home"))
    hashes = {name: (sha256(content), sha256(gzip.decompress(content))) for name, content in FILES.items()}
    monkeypatch.setattr(published, "FASHION", hashes)
    monkeypatch.setattr(published, "FASHION_PACKAGE", tmp_path / "package")
    monkeypatch.setattr(published, "CIFAR10_SHA256", sha256(cifar))
    monkeypatch.setattr(published, "CIFAR10_EACH", {"train": 1, "test": 1})
    for name in ("FASHION_SERVERS", "CIFAR10_SERVERS"):
        monkeypatch.setattr(published, name, tuple(server.url for server in servers))
    emoji = dict(zip(published.EMOJI, emoji_archives(), strict=True))
    monkeypatch.setattr(published, "EMOJI", {name: sha256(content) for name, content in emoji.items()})
    monkeypatch.setattr(published, "EMOJI_SERVER", servers[0].url + "{}/-/")
    servers[0].files |= {f"{name.rpartition('-')[0]}/-/{name}": content for name, content in emoji.items()}
    servers[0].files |= FILES | {"cifar-10-binary.tar.gz": cifar}
    return tmp_path / "数据 home"


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def check_fashion(part="train", **options):
    images, labels = load_fashion_mnist(part, **options)
    expected, answers = (PICTURES[:4], [9, 0, 7, 3]) if part == "train" else (PICTURES[4:], [1, 2])
    assert images.dtype == torch.uint8
    assert images.shape == (len(expected), 1, 28, 28)
    assert np.array_equal(images[:, 0].numpy(), expected)
    assert labels.dtype == torch.int64
    assert labels.tolist() == answers


def test_fashion_mnist_is_downloaded_once(home, servers):
    check_fashion()
    assert sorted(path.name for path in home.iterdir()) == [name for name in sorted(FILES) if "train" in name]
    assert servers[0].asked == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    check_fashion()
    check_fashion("test")
    assert len(servers[0].asked) == 4
    assert servers[1].asked == []
    assert FASHION_WORDS[9] == "ankle-boot"


def test_places_are_looked_at_in_order(home, servers, tmp_path, monkeypatch):
    read, read_bytes = set(), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.add(path.parent) or read_bytes(path))
    anew = {name: gzip.compress(gzip.decompress(content), 1, mtime=5) for name, content in FILES.items()}
    assert anew["train-labels-idx1-ubyte.gz"] != FILES["train-labels-idx1-ubyte.gz"]
    put(tmp_path / "package", anew)  # as Debian does, packed in another way
    check_fashion()
    assert read == {tmp_path / "package"}
    put(home, FILES)
    read.clear()
    check_fashion()
    assert read == {home}
    put(tmp_path / "mine", FILES)
    read.clear()
    check_fashion(folder=tmp_path / "mine")
    check_fashion(folder=str(tmp_path / "mine"))
    assert read == {tmp_path / "mine"}
    assert servers[0].asked == []
    monkeypatch.delenv("DDPM_LITE_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert published.find_data_folder() == tmp_path / "cache" / "ddpm-lite"


def test_a_folder_of_yours_is_all_there_is(home, servers, tmp_path):
    put(tmp_path / "mine", FILES)
    damaged = tmp_path / "mine" / "train-images-idx3-ubyte.gz"
    (tmp_path / "mine" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        load_fashion_mnist("test", folder=tmp_path / "mine")
    expected = f"folder: expected a folder with t10k-labels-idx1-ubyte.gz, got {str(tmp_path / 'mine')!r} without it"
    assert str(caught.value) == expected
    for content in (damaged.read_bytes()[:-9], b"", b"text", packed_idx(PICTURES), flipped(damaged.read_bytes())):
        damaged.write_bytes(content)
        with pytest.raises(ValueError, match=r"^folder: .*train-images-idx3-ubyte.gz.* damaged"):
            load_fashion_mnist(folder=tmp_path / "mine")
        assert damaged.read_bytes() == content
    assert servers[0].asked == []


def flipped(content):
    return content[:100] + bytes([content[100] ^ 1]) + content[101:]


def test_the_second_server_is_asked(home, servers):
    whole = FILES["train-images-idx3-ubyte.gz"]
    servers[1].files |= FILES
    for answer in (404, 500, b"a page that says sorry", flipped(whole), whole[:-1], (whole[:50], len(whole))):
        servers[0].files["train-images-idx3-ubyte.gz"] = answer
        check_fashion()
        assert (home / "train-images-idx3-ubyte.gz").read_bytes() == whole
        (home / "train-images-idx3-ubyte.gz").unlink()
    assert servers[1].asked == ["train-images-idx3-ubyte.gz"] * 6


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (404, "HTTP 404"),
        (503, "HTTP 503"),
        (b"a page that says sorry", "other content, because its SHA-256 differs"),
        ("cut", "incomplete"),
        ("off", "no connection"),
    ],
)
def test_a_download_that_fails_gets_one_line_and_keeps_what_was_there(answer, reason, home, servers, monkeypatch):
    name = "train-images-idx3-ubyte.gz"
    there = FILES[name][:200]
    put(home, {name: there, "other": b"kept"})
    answer = (FILES[name][:50], len(FILES[name])) if answer == "cut" else answer
    for server in servers:
        server.files[name] = answer
    if answer == "off":
        monkeypatch.setattr(published, "FASHION_SERVERS", ("http://127.0.0.1:9/", "http://127.0.0.1:9/"))
    with pytest.raises(OSError, match="expected to find or download it") as caught:
        load_fashion_mnist()
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"{name}: expected to find or download it, got {home / name} is damaged (")
    assert line.count(f": {reason}") == 2
    assert line.endswith(f"; try again, or put the file into {str(home)!r} yourself")
    assert {path.name: path.read_bytes() for path in home.iterdir()} == {name: there, "other": b"kept"}


def test_a_damaged_file_is_replaced_by_a_whole_one(home):
    put(home, {name: content[:-20] for name, content in FILES.items()})
    check_fashion()
    assert (home / "train-images-idx3-ubyte.gz").read_bytes() == FILES["train-images-idx3-ubyte.gz"]


def test_a_folder_that_cannot_be_written_to(home):
    home.write_bytes(b"a file where the folder should be")
    with pytest.raises(OSError, match="train-images-idx3-ubyte.gz: expected to find or download it") as caught:
        load_fashion_mnist()
    assert "\n" not in str(caught.value)


def test_without_pooch_it_says_what_to_install(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'downloads need pooch: pip install "ddpm-lite\[data\]"'):
        load_fashion_mnist()


@pytest.mark.parametrize("content", [b"", b"\0\0\x09\x01", b"\0\0\x08\x01\0\0\0\x02a", b"\0\0\x08\x02\0\0\0\x02"])
def test_what_is_no_idx_file_is_refused(content):
    with pytest.raises(ValueError, match="an idx file: expected"):
        published._parse_idx(content)


@pytest.mark.parametrize("load", [load_fashion_mnist, load_cifar10])
def test_there_are_two_parts(load, home):
    with pytest.raises(ValueError, match='part: expected "train" or "test", got \'all\''):
        load("all")


def check_cifar10(**options):
    images, labels = load_cifar10("train", **options)
    assert images.shape == (10, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert labels.tolist() == list(range(10))
    assert images[:, 0, 0, 0].tolist() == [200] * 10
    assert images[:, 0, 0, 1].tolist() == images[:, 0, 31, 31].tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert images[:, 1, 0, 0].tolist() == [2, 5] * 5
    assert images[:, 2, 31, 31].tolist() == [3, 6] * 5
    images, labels = load_cifar10("test", **options)
    assert images[:, :, 5, 5].tolist() == [[7, 8, 9]] * 10
    assert labels.dtype == torch.int64


def test_cifar10_from_the_archive_and_from_its_files(home, servers, tmp_path):
    check_cifar10()
    assert servers[0].asked == ["cifar-10-binary.tar.gz"]
    assert [path.name for path in home.iterdir()] == ["cifar-10-binary.tar.gz"]
    put(tmp_path / "loose", BINS)
    put(tmp_path / "unpacked" / "cifar-10-batches-bin", BINS)
    for folder in (home, tmp_path / "loose", tmp_path / "unpacked"):
        check_cifar10(folder=folder)


def test_damaged_cifar10_gets_one_line(home, servers, tmp_path):
    put(tmp_path / "mine", {"cifar-10-binary.tar.gz": archive(BINS)[:-1]})
    with pytest.raises(
        ValueError, match=r"got .*cifar-10-binary.tar.gz is damaged \(its SHA-256 differs\); download it"
    ):
        load_cifar10(folder=tmp_path / "mine")
    third = BINS["data_batch_3.bin"]
    for content, problem in (
        (third[:-1], r"data_batch_3.bin has 6,145 bytes, not 6,146"),
        (b"\x0a" + third[1:], "its labels are not 0..9, 1 times each"),
        (b"\x05" + third[1:], "its labels are not 0..9, 1 times each"),
        (None, "No such file"),
    ):
        put(tmp_path / "loose", BINS)
        if content is None:
            (tmp_path / "loose" / "data_batch_3.bin").unlink()
        else:
            (tmp_path / "loose" / "data_batch_3.bin").write_bytes(content)
        with pytest.raises(ValueError, match=problem):
            load_cifar10(folder=tmp_path / "loose")
    with pytest.raises(FileNotFoundError, match=r"expected a folder with cifar-10-binary.tar.gz"):
        load_cifar10(folder=tmp_path)
    assert servers[0].asked == []


def check_emoji(size=16, **options):
    images, names = load_emoji(size, **options)
    assert (images.shape, images.dtype) == ((3, 3, size, size), torch.uint8)
    assert names == ("green circle", "red heart", "man: red hair")  # no flag, and none without a picture or a name
    left, right = images[..., 0, : size // 2], images[..., 0, size // 2 :]
    assert left[:, :, 0].tolist() == [[204, 255, 204], [221, 46, 68], [255] * 3]  # a fifth of the green, on white
    assert right[:, :, -1].tolist() == [[0, 0, 255], [255] * 3, [255] * 3]
    assert torch.equal(images, images[..., :1, :].expand_as(images))


def test_emoji_are_downloaded_once_and_shrunk(home, servers):
    check_emoji()
    assert servers[0].asked == [f"{name.rpartition('-')[0]}/-/{name}" for name in published.EMOJI]
    assert sorted(path.name for path in home.iterdir()) == sorted(published.EMOJI)
    for size in (8, 32, 64):
        check_emoji(size, folder=home)
    assert len(servers[0].asked) == 2
    for size in (4, 24, 65):
        with pytest.raises(ValueError, match=r"^size: expected"):
            load_emoji(size)


def test_a_pixel_of_a_small_emoji_is_the_mean_of_its_square(home, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = io.BytesIO()
    Image.fromarray(noise).save(whole, "PNG")
    small = published._shrink(whole.getvalue(), 8)
    assert np.array_equal(small[:, 2, 5], np.rint(noise[16:24, 40:48].mean((0, 1))))


def test_damaged_emoji_get_one_line(home, servers, tmp_path, monkeypatch):
    pictures, names = emoji_archives()
    put(tmp_path / "mine", dict(zip(published.EMOJI, (pictures, flipped(names)), strict=True)))
    with pytest.raises(ValueError, match=r"^folder: .*unicode-emoji-json-0.9.0.tgz is damaged \(its SHA-256 diff"):
        load_emoji(folder=tmp_path / "mine")
    with pytest.raises(FileNotFoundError, match=r"^folder: expected a folder with emoji-datasource-twitter-16.0.0.tgz"):
        load_emoji(folder=tmp_path)
    assert servers[0].asked == []
    servers[0].files = {path: flipped(content * 9) for path, content in servers[0].files.items()}
    with pytest.raises(OSError, match=r"^emoji-datasource-twitter-16.0.0.tgz: .*: other content, because its SHA"):
        load_emoji()
    servers[0].files = {}
    with pytest.raises(OSError, match="HTTP 404; try again, or put the file into"):
        load_emoji()
    put(home, dict(zip(published.EMOJI, (pictures, names), strict=True)))
    check_emoji()
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"need Pillow: pip install 'ddpm-lite\[data\]'"):
        load_emoji()


# The true Fashion-MNIST: a slice that travels with the tests, and the whole for those who ask for it


def check_clothes(images, labels):
    """Trousers and shoes look as they do in the world."""
    trousers, sneakers = (
        images[labels == FASHION_WORDS.index(word)].float().mean((0, 1)) for word in ("trouser", "sneaker")
    )
    assert trousers[:, 14].mean() < trousers[:, 10].mean()  # paper between the legs
    assert sneakers[:8].mean() < 5 < sneakers[14:20].mean()  # low shoes


def test_the_slice_of_fashion_mnist(clothes):
    images, labels = clothes
    assert images.shape == (1000, 1, 28, 28)
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    assert torch.bincount(labels).tolist() == [107, 105, 111, 93, 115, 87, 97, 95, 95, 95]
    check_clothes(images, labels)
    assert cut.FILE.stat().st_size < 500_000
    # Made once from the published images and labels by tests/fashion/cut.py; the test below compares.
    assert sha256(images.numpy().tobytes()) == "8d46efb2efae7259de048298adb99140d06082b91c430833a54d7ce30f21c9c9"
    assert (
        sha256(labels.numpy().astype(np.uint8).tobytes())
        == "86fea14d645de73ec2f8e0e859add59c557ccdf73e3e419692220b128c15ec47"
    )


@pytest.mark.fulldata
def test_the_whole_of_fashion_mnist(clothes):
    images, labels = load_fashion_mnist("test")
    assert images.shape == (10_000, 1, 28, 28)
    assert torch.bincount(labels).tolist() == [1000] * 10
    check_clothes(images, labels)
    assert torch.equal(images[:1000], clothes[0])
    assert torch.equal(labels[:1000], clothes[1])


@pytest.mark.fulldata
def test_the_whole_of_the_emoji():
    images, names = load_emoji()
    assert images.shape == (1636, 3, 16, 16)
    assert len(set(names)) == 1636
    red, green = (images[names.index(f"{colour} circle"), :, 8, 8].tolist() for colour in ("red", "green"))
    assert red[0] > 200 > 100 > red[1]
    assert green[1] > 150 > green[0]
    assert {name for name in names if name.startswith("flag")} == {"flag in hole"}  # a golf course
