"""The measures, compared with closed forms and two other packages, and the shipped feature networks on data."""

import hashlib
import json
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from ddpm_lite import evaluate, load_digits
from ddpm_lite.evaluate import (
    FeatureNet,
    class_agreement,
    features_of,
    floors,
    frechet_distance,
    kernel_distance,
    load_features,
    measure,
    nearest,
    precision_recall,
)
from ddpm_lite.files import features, weights
from ddpm_lite.files.pixels import to_bytes
from ddpm_lite.files.weights import find_shipped

RESULTS = Path(__file__).parent.parent / "book" / "results"


@pytest.fixture(scope="module")
def digits():
    """The digits' network, its held-out images and its training images, with labels."""
    return load_features("digits"), load_digits("test"), load_digits("train")


@pytest.fixture(scope="module")
def crowds(digits):
    """Features of 300 real digits, and of 300 other ones with noise."""
    net, _, (images, _) = digits
    noisy = images[300:600] + 0.3 * torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return features_of(net, images[:300]), features_of(net, noisy.clamp(-1, 1))


def gaussian(mean, covariance, N, generator):
    z = torch.randn(N, len(mean), generator=generator, dtype=torch.float64)
    return mean + z @ torch.linalg.cholesky(covariance).T


def exactly(mean, covariance, N, generator):
    """Samples whose mean and covariance are these to the last digit, not only on average."""
    z = torch.randn(N, len(mean), generator=generator, dtype=torch.float64)
    z = z - z.mean(0)
    z = z @ torch.linalg.inv(torch.linalg.cholesky(torch.atleast_2d(z.T.cov()))).T
    return mean + z @ torch.linalg.cholesky(covariance).T


def covariance(d, generator):
    a = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return a @ a.T / d + 0.1 * torch.eye(d, dtype=torch.float64)


# The Frechet distance


def test_frechet_in_one_dimension(generator):
    one = torch.ones(1, dtype=torch.float64)
    a, b = exactly(2 * one, 9 * one[None], 50, generator), exactly(-one, 4 * one[None], 70, generator)
    assert frechet_distance(a, b) == pytest.approx(3**2 + (3 - 2) ** 2, rel=1e-10)


def test_frechet_of_covariances_that_commute(generator):
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))[0]
    first, second = torch.rand(2, 6, generator=generator, dtype=torch.float64) + 0.1
    mean = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    a = exactly(mean[0], turn @ first.diag() @ turn.T, 40, generator)
    b = exactly(mean[1], turn @ second.diag() @ turn.T, 50, generator)
    exact = (mean[0] - mean[1]).square().sum() + (first.sqrt() - second.sqrt()).square().sum()
    assert frechet_distance(a, b) == pytest.approx(float(exact), rel=1e-10)


def test_frechet_is_the_cost_of_the_best_linear_map(generator):
    """y = A x with a symmetric positive A is optimal transport: the distance is E|x - A x|^2."""
    S, A = covariance(5, generator), covariance(5, generator)
    x = exactly(torch.zeros(5, dtype=torch.float64), S, 60, generator)
    moved = torch.eye(5, dtype=torch.float64) - A
    assert frechet_distance(x, x @ A.T) == pytest.approx(float((moved @ S @ moved.T).trace()), rel=1e-10)


def test_frechet_is_symmetric_and_zero_only_for_itself(crowds):
    a, b = crowds
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6)
    assert frechet_distance(a, a + 0.5) == pytest.approx(64 * 0.25, rel=1e-6)
    assert frechet_distance(a, b) > 1


def test_frechet_follows_scale(crowds):
    a, b = crowds
    assert frechet_distance(3 * a + 1, 3 * b + 1) == pytest.approx(9 * frechet_distance(a, b), rel=1e-6)


def test_frechet_falls_with_N(generator):
    """By as much as theory says: E is about (d + d (d + 1) / 4) 2 / N for two samples of N(0, I)."""
    d, zero = 8, torch.zeros(8, dtype=torch.float64)

    def mean(N):
        pairs = [[gaussian(zero, torch.eye(d).double(), N, generator) for _ in "ab"] for _ in range(40)]
        return sum(frechet_distance(*pair) for pair in pairs) / len(pairs)

    for N in (200, 1000):
        assert mean(N) == pytest.approx((d + d * (d + 1) / 4) * 2 / N, rel=0.1)


@pytest.mark.parametrize("N", [2, 3, 20])
def test_singular_covariances_do_no_harm(N, generator):
    """Fewer samples than features: all is in a subspace, in which the distance can be had by rotation."""
    few, other = torch.randn(2, N, 64, generator=generator, dtype=torch.float64)
    both = torch.cat([few, other])
    basis = torch.linalg.svd(both - both.mean(0), full_matrices=False)[2]
    found = frechet_distance(few, other)
    assert found == pytest.approx(frechet_distance(few @ basis.T, other @ basis.T), rel=1e-6)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-5)


def test_constant_features_do_no_harm(generator):
    a, b = torch.randn(2, 30, 4, generator=generator, dtype=torch.float64)
    wide = [torch.cat([crowd, torch.zeros(30, 3, dtype=torch.float64)], 1) for crowd in (a, b)]
    assert frechet_distance(*wide) == pytest.approx(frechet_distance(a, b), rel=1e-7)
    same = torch.ones(5, 4, dtype=torch.float64)
    assert frechet_distance(same, 3 * same) == 16


# The kernel distance


def test_kernel_distance_is_the_distance_of_moments(crowds):
    """The feature map of (x.y / d + 1)^3 in one dimension: 1, sqrt(3) x, sqrt(3) x^2, x^3."""
    a, b = (crowd[:, :1] for crowd in crowds)
    N = len(a)

    def moments(x):
        return torch.cat([3**0.5 * x, 3**0.5 * x**2, x**3], 1)

    first, second = moments(a), moments(b)
    biased = (first.mean(0) - second.mean(0)).square().sum()
    exact = biased - (first.var(0).sum() + second.var(0).sum()) / N  # each mean's own variance
    assert kernel_distance(a, b) == pytest.approx(float(exact), rel=1e-9)


def test_kernel_distance_is_of_the_kernel(crowds):
    a, b = crowds[0], crowds[1][:200]
    kernel = {name: (x @ y.T / 64 + 1) ** 3 for name, x, y in (("aa", a, a), ("bb", b, b), ("ab", a, b))}
    within = [(kernel[name].sum() - kernel[name].trace()) / (N * (N - 1)) for name, N in (("aa", 300), ("bb", 200))]
    assert kernel_distance(a, b) == pytest.approx(float(sum(within) - 2 * kernel["ab"].mean()), rel=1e-9)


def test_kernel_distance_is_unbiased_and_symmetric(crowds, generator):
    a, b = crowds
    assert kernel_distance(a, b) == pytest.approx(kernel_distance(b, a), rel=1e-12)
    pairs = torch.randn(300, 2, 20, 8, generator=generator, dtype=torch.float64)
    found = torch.tensor([kernel_distance(*pair) for pair in pairs])
    assert abs(found.mean()) < 3 * found.std() / 300**0.5
    assert found.min() < 0 < found.max()


def test_in_parts_or_at_once(crowds, monkeypatch):
    whole = kernel_distance(*crowds), precision_recall(*crowds)
    monkeypatch.setattr(evaluate, "ROWS", 7)
    parts = kernel_distance(*crowds), precision_recall(*crowds)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    assert parts[1] == whole[1]


# Precision and recall


def line(*points):
    return torch.tensor(points, dtype=torch.float64)[:, None]


def test_precision_and_recall_on_a_line():
    real, generated = line(0, 1, 2, 3), line(0.5, 3.5, 9)
    # k = 1: balls of radius 1 around the real ones reach from -1 to 4; around the generated ones 3, 3 and 5.5.
    assert precision_recall(real, generated, k=1) == (pytest.approx(2 / 3), 1)
    assert precision_recall(line(0, 1, 10, 11), line(0, 1, 0.5, 0.2), k=1) == (1, 0.5)
    assert precision_recall(line(0, 1, 10, 11), line(5, 5.5, 6, 6.5), k=1) == (0, 0)


def test_one_kind_of_many_is_precise_and_recalls_little(generator):
    real = torch.cat(
        [gaussian(mean * torch.ones(4).double(), torch.eye(4).double(), 100, generator) for mean in (0, 20)]
    )
    one = gaussian(torch.zeros(4).double(), 0.2 * torch.eye(4).double(), 200, generator)
    precision, recall = precision_recall(real, one)
    assert precision > 0.98
    assert 0.02 < recall < 0.35
    assert precision_recall(one, real) == (recall, precision)


def test_a_crowd_is_among_itself(crowds):
    assert precision_recall(crowds[0], crowds[0]) == (1, 1)
    wider = [precision_recall(*crowds, k=k) for k in (1, 3, 9, 200)]
    assert wider == sorted(wider)


# Other packages


@pytest.fixture(scope="module")
def peers():
    """torchmetrics and torch-fidelity, as they compute statistics from features.

    torch-fidelity imports torchvision for pretrained networks and data sets, none of which is used here. Where that is
    not installed (there is no build of it for every torch), empty modules stand in for it while the import runs.
    """
    with pytest.MonkeyPatch.context() as patch:
        if find_spec("torchvision") is None:
            for name in ("", ".datasets", ".transforms", ".transforms.functional"):
                patch.setitem(sys.modules, f"torchvision{name}", types.ModuleType(f"torchvision{name}"))
            for name in ("CIFAR10", "CIFAR100", "STL10"):
                setattr(sys.modules["torchvision.datasets"], name, object)
        from torch_fidelity import metric_fid, metric_kid, metric_prc
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    return types.SimpleNamespace(
        fid=metric_fid, kid=metric_kid, prc=metric_prc, Frechet=FrechetInceptionDistance, Kernel=KernelInceptionDistance
    )


class Given(torch.nn.Module):
    """A feature module for torchmetrics: "images" are already features."""

    num_features = 64

    def forward(self, images):
        return images


def told(metric, a, b):
    """Feed a torchmetrics metric, which then computes in float64."""
    metric.set_dtype(torch.float64)
    metric.update(a, real=True)
    metric.update(b, real=False)
    return metric.compute()


def test_frechet_is_theirs(peers, crowds):
    a, b = crowds
    ours = frechet_distance(a, b)
    theirs = told(peers.Frechet(feature=Given(), input_img_size=(64,)), a, b)
    assert ours == pytest.approx(float(theirs), rel=1e-4)
    statistics = [peers.fid.fid_features_to_statistics(crowd) for crowd in (a, b)]
    theirs = peers.fid.fid_statistics_to_metric(*statistics, verbose=False)
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save all")
def test_kernel_distance_is_theirs(peers, crowds):
    a, b = crowds
    ours = kernel_distance(a, b)
    theirs, _ = told(peers.Kernel(feature=Given(), subsets=1, subset_size=len(a)), a, b)
    assert ours == pytest.approx(float(theirs), rel=1e-4)
    theirs = peers.kid.kid_features_to_metric(a, b, kid_subsets=1, kid_subset_size=len(a), verbose=False)
    assert ours == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_precision_and_recall_are_theirs(peers, crowds, k):
    real, generated = crowds[0], crowds[1][:200]
    theirs = peers.prc.prc_features_to_metric(generated, real, prc_neighborhood=k, prc_batch_size=128, verbose=False)
    assert precision_recall(real, generated, k) == pytest.approx((theirs["precision"], theirs["recall"]), abs=1e-6)
    assert 0.05 < theirs["recall"] < 0.99


# Nearest training images, and labels


def test_nearest(digits, monkeypatch):
    _, (held_out, _), (training, _) = digits
    distances, indices = nearest(held_out[:20], training)
    exact = (held_out[:20, None] - training[None]).double().square().mean((2, 3, 4)).sqrt()
    assert torch.equal(indices, exact.argmin(1))
    torch.testing.assert_close(distances.double(), exact.amin(1))
    monkeypatch.setattr(evaluate, "ROWS", 9)
    assert torch.equal(nearest(held_out[:20], training)[1], indices)


def test_a_copy_is_at_distance_zero():
    pixels = torch.randint(256, (50, 1, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    distances, indices = nearest(pixels[[7, 49]].float() / 127.5 - 1, pixels)
    assert indices.tolist() == [7, 49]
    assert distances.tolist() == [0, 0]
    black, white = torch.full((1, 1, 6, 6), -1.0), torch.full((1, 1, 6, 6), 255, dtype=torch.uint8)
    assert nearest(black, white)[0].tolist() == [2]


@pytest.mark.parametrize("name", ["digits", "fashion"])
def test_shipped_network_reads_held_out_images(name, clothes):
    net = load_features(name)
    assert not net.training
    assert not any(p.requires_grad for p in net.parameters())
    if name == "digits":
        images, labels = load_digits("test")
    else:
        images, labels = clothes[0].float() / 127.5 - 1, clothes[1]
    record = json.loads((RESULTS / f"features-{name}.json").read_text(encoding="utf8"))
    assert class_agreement(net, images, labels) == pytest.approx(record["accuracy_held_out"], abs=0.02)
    assert record["accuracy_held_out"] >= {"digits": 0.975, "fashion": 0.9}[name]
    assert record["sha256"] == hashlib.sha256(find_shipped(f"features/{name}.safetensors").read_bytes()).hexdigest()
    assert sum(p.numel() for p in net.parameters()) == record["parameters"]
    torch.testing.assert_close(net.logits(images), net.classifier(net(images)))
    assert (net.logits(images).argmax(1) == labels).double().mean() == class_agreement(net, images, labels)


def test_features_are_scaled(digits):
    net, _, (images, _) = digits
    seen = features_of(net, images)
    assert seen.dtype == torch.float64
    assert float(seen.var(0).sum()) == pytest.approx(64, rel=1e-2)  # half precision
    torch.testing.assert_close(features_of(net, images, batch=7), seen, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bit", [0, 4_000, -1])
def test_a_network_with_one_changed_bit_is_refused(tmp_path, monkeypatch, bit):
    content = bytearray(find_shipped("features/digits.safetensors").read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "digits.safetensors").write_bytes(content)
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path)
    monkeypatch.setattr(features, "PRETRAINED", tmp_path)
    with pytest.raises(ValueError, match=r"^features/digits.safetensors: expected SHA-256 \w{64}, got"):
        load_features("digits")


# The table


@pytest.fixture(scope="module")
def table(digits):
    net, (held_out, _), (training, labels) = digits
    return floors(net, held_out, training, count=400, seed=0, labels=labels)


def test_floors_are_in_order(table):
    assert list(table) == ["real", "real + noise 0.1", "real, blurred", "class means", "pixel Gaussian", "noise"]
    for name in ("real, blurred", "class means", "pixel Gaussian", "noise"):
        assert table[name]["frechet"] > 4 * table["real"]["frechet"]
    for name, row in table.items():
        assert table["real"]["frechet"] <= row["frechet"]
        assert table["real"]["kernel"] <= row["kernel"], name
    assert table["class means"]["agreement"] == 1  # and yet
    assert table["class means"]["recall"] < 0.1
    assert table["noise"]["recall"] < 0.2 < table["noise"]["precision"]  # no digits, and yet
    assert "agreement" not in table["noise"]


def test_floors_have_each_label_as_often(digits, monkeypatch):
    """The classes' numbers in a random choice are a part of its distance, of which a model that is asked has none."""
    net, (held_out, _), (training, labels) = digits
    judged = []
    monkeypatch.setattr(evaluate, "measure", lambda net, images, *rest: judged.append((images, rest[-1])) or {})
    floors(net, held_out, training, count=600, seed=0, labels=labels)
    images, known = judged[0]
    assert known.bincount().tolist() == [60] * 10
    assert len(images.flatten(1).unique(dim=0)) == 600
    assert torch.equal(labels[nearest(images, training)[1]], known)
    floors(net, held_out, training, count=len(training), seed=0, labels=labels)
    assert torch.equal(judged[len(judged) // 2][1].bincount(), labels.bincount())


def test_nearest_of_the_floors(table, digits):
    _, (held_out, _), (training, _) = digits
    assert table["real"]["nearest"] == pytest.approx(float(nearest(held_out[:400], training)[0].quantile(0.05)))
    assert 0.03 < table["real + noise 0.1"]["nearest"] <= 0.1  # copies, though not bit for bit
    assert table["noise"]["nearest"] > table["real"]["nearest"]


def test_floors_follow_the_seed(digits):
    net, (held_out, _), (training, _) = digits
    again = [floors(net, held_out, training, count=60, seed=seed) for seed in (0, 0, 1)]
    assert again[0] == again[1]
    assert again[0]["real"] != again[2]["real"]
    assert "class means" not in again[0]


def test_pixel_gaussian_has_their_mean_and_covariance(generator):
    images = torch.rand(300, 1, 5, 5, generator=generator) - 0.5
    drawn = evaluate._draw_pixel_gaussian(images, torch.randn(200_000, 1, 5, 5, generator=generator)).flatten(1)
    torch.testing.assert_close(drawn.mean(0), images.flatten(1).mean(0), atol=5e-3, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), images.flatten(1).T.cov(), atol=3e-3, rtol=0)


def test_a_row_is_made_of_its_parts(digits):
    net, (held_out, labels), (training, _) = digits
    images, labels = held_out[:90].flip(3), labels[:90]
    row = measure(net, images, held_out, training, labels)
    seen, real = features_of(net, images), features_of(net, held_out)
    assert row["frechet"] == frechet_distance(seen, real)
    assert row["kernel"] == kernel_distance(seen, real)
    assert (row["precision"], row["recall"]) == precision_recall(real[:90], seen)
    assert row["nearest"] == float(nearest(images, training)[0].quantile(0.05))
    assert row["agreement"] == class_agreement(net, images, labels)
    assert measure(net, images, real, training, labels) == row
    whole = measure(net, training, held_out, training)
    assert "agreement" not in whole
    assert whole["nearest"] == 0


def test_arrays_and_lists_are_as_good_as_tensors(digits, tmp_path, crowds):
    """What a user has at hand: NumPy's features, labels in a list, training images in a file of bytes."""
    a, b = (crowd[:50] for crowd in crowds)
    assert frechet_distance(a.numpy(), b.tolist()) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    assert kernel_distance(a.numpy(), b) == pytest.approx(kernel_distance(a, b), rel=1e-9)
    assert precision_recall(a.numpy(), b.numpy()) == precision_recall(a, b)
    net, (images, labels), _ = digits
    images, labels = images[:40], labels[:40]
    stored = to_bytes(images)
    np.save(tmp_path / "x.npy", stored.numpy())
    rows = np.load(tmp_path / "x.npy", mmap_mode="r")
    for got, expected in zip(nearest(images[:5], rows), nearest(images[:5], stored), strict=True):
        assert torch.equal(got, expected)
    agreement = class_agreement(net, images, labels)
    assert class_agreement(net, images, labels.tolist()) == agreement
    assert class_agreement(net, images, labels.numpy()) == agreement
    assert measure(net, images, images, rows, labels.tolist()) == measure(net, images, images, stored, labels)


# What is refused

N64 = torch.zeros(5, 64)
NAN = torch.zeros(5, 64).index_fill(0, torch.tensor(3), float("nan"))
IMAGES = torch.zeros(4, 1, 8, 8)
NET = FeatureNet(8)
WRONG = {
    "too few": (lambda: frechet_distance(N64[:1], N64), "a: expected at least 2 samples, got 1; draw more"),
    "too few too": (lambda: kernel_distance(N64, N64[:1]), "b: expected at least 2 samples, got 1; draw more"),
    "k": (lambda: precision_recall(N64, N64, k=5), "real: expected at least 6 samples, got 5; draw more"),
    "k of 0": (lambda: precision_recall(N64, N64, k=0), "k: expected a whole number >= 1, got 0 (int)"),
    "nan": (lambda: frechet_distance(N64, NAN), "b: expected finite features, got NaN or infinity in row 3"),
    "inf": (lambda: precision_recall(1 / N64, N64), "real: expected finite features, got NaN or infinity in row 0"),
    "widths": (
        lambda: kernel_distance(N64, N64[:, :3]),
        "a: expected features of shape (N, d), with one d for both, got (5, 64) and (5, 3); use features_of",
    ),
    "images": (lambda: frechet_distance(IMAGES, IMAGES), "a: expected features of shape (N, d), with one d for both, "),
    "name": (lambda: load_features("mnist"), "name: expected one of ['digits', 'fashion'], got 'mnist'"),
    "path": (lambda: load_features("../digits"), "name: expected one of ['digits', 'fashion'], got '../digits'"),
    "size": (
        lambda: NET(torch.zeros(2, 1, 28, 28)),
        "images: expected a tensor of shape (N, 1, 8, 8), got (2, 1, 28, 28); use the feature network",
    ),
    "colours": (lambda: features_of(NET, torch.zeros(2, 3, 8, 8)), "images: expected a tensor of shape (N, 1, 8, 8), "),
    "range": (lambda: features_of(NET, IMAGES + 1.1), "images: expected values in [-1, 1], got values in [1.1, 1.1]; "),
    "nan images": (lambda: features_of(NET, IMAGES / 0), "images: expected finite values, got NaN or infinity in "),
    "uint8": (lambda: features_of(NET, IMAGES.byte()), "images: expected a floating-point tensor with values about "),
    "batch": (lambda: features_of(NET, IMAGES, 0), "batch: expected a whole number >= 1, got 0 (int)"),
    "no training": (
        lambda: nearest(IMAGES, IMAGES[:0]),
        "training: expected images of shape (1, 8, 8), got (0, 1, 8, 8)",
    ),
    "training": (
        lambda: nearest(IMAGES, torch.zeros(3, 1, 9, 9)),
        "training: expected images of shape (1, 8, 8), got (3, 1, 9, 9)",
    ),
    "labels": (
        lambda: class_agreement(NET, IMAGES, torch.zeros(3, dtype=torch.int64)),
        "labels: expected shape (4,), one for each image, got (3,)",
    ),
    "count": (lambda: floors(NET, IMAGES, IMAGES, 5), "count: expected a whole number in 4..4, got 5 (int)"),
    "count of 3": (lambda: floors(NET, IMAGES, IMAGES, 3), "count: expected a whole number in 4..4, got 3 (int)"),
    "seed": (lambda: floors(NET, IMAGES, IMAGES, 4, seed=-1), "seed: expected a whole number in 0.."),
    "a label too few": (
        lambda: floors(NET, IMAGES, IMAGES, 4, labels=[0, 1, 2, 3]),
        "labels: expected each of 0..9 at least once, got [0, 1, 2, 3]",
    ),
    "labels beyond": (
        lambda: class_agreement(NET, IMAGES, [0, 1, 2, 10]),
        "labels: expected every label in 0..9, got ",
    ),
    "labels of words": (lambda: class_agreement(NET, IMAGES, ["a", "b", "c", "d"]), "labels: expected whole numbers, "),
    "labels of floats": (
        lambda: class_agreement(NET, IMAGES, torch.zeros(4)),
        "labels: expected whole numbers, as an ",
    ),
    "list of images": (lambda: features_of(NET, [IMAGES]), "images: expected a floating-point tensor, got "),
    "array of images": (lambda: features_of(NET, IMAGES.numpy()), "images: expected a floating-point tensor, got "),
    "another net": (
        lambda: features_of(torch.nn.Flatten(), IMAGES),
        "net: expected a FeatureNet, such as load_features ",
    ),
    "name of a net": (lambda: features_of("digits", IMAGES), "net: expected a FeatureNet, such as load_features "),
    "no image": (lambda: features_of(NET, IMAGES[:0]), "images: expected a non-empty tensor of images "),
    "crowd of words": (lambda: frechet_distance("ab", N64), "a: expected a tensor, an array or a sequence of numbers"),
    "one image": (lambda: measure(NET, IMAGES[:1], IMAGES, IMAGES), "real: expected at least 4 samples, got 1; draw "),
    "no reference": (lambda: measure(NET, IMAGES, None, IMAGES), "images: expected a floating-point tensor, got None"),
    "list of training": (lambda: nearest(IMAGES, [IMAGES]), "training: expected images as a tensor or an array, got "),
    "whole numbers": (
        lambda: nearest(IMAGES, IMAGES.long()),
        "training: expected a floating-point tensor with values ",
    ),
    "0 to 255": (lambda: nearest(IMAGES, IMAGES + 255.0), "training: expected values in [-1, 1], got values in [255, "),
    "grey for colours": (
        lambda: nearest(torch.zeros(4, 3, 8, 8), IMAGES),
        "training: expected images of shape (3, 8, 8), got (4, 1, 8, 8)",
    ),
    "small": (lambda: FeatureNet(7), "size: expected a whole number >= 8, got 7 (int)"),
    "one class": (lambda: FeatureNet(8, 1), "classes: expected a whole number >= 2, got 1 (int)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_gets_one_line(name, plain):
    call, line = WRONG[name]
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
