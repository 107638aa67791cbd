"""Evaluation: distances between two sets of images, in the feature space of a small classifier of the data set.

A set of N images is represented by N features, (N, 64), from the last but one layer of a classifier. This was trained
on the training images only, and is frozen. The features are scaled so that their 64 variances over the training images
add up to 64, which makes distances independent of the classifier's scale. Statistics are computed in float64.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64, Integer, Num
from torch import Tensor, nn

from ddpm_lite._check import check_images, check_label_values, check_stored, check_whole, fail, to_table, to_tensor
from ddpm_lite.files.features import FEATURES as FEATURES
from ddpm_lite.files.features import FeatureNet as FeatureNet
from ddpm_lite.files.features import load_features as load_features
from ddpm_lite.files.pixels import to_floats

ROWS = 1000  # rows of a distance matrix that are computed at a time


@torch.no_grad()
def features_of(net: FeatureNet, images: Float[Tensor, "N 1 S S"], batch: int = 500) -> Float64[Tensor, "N 64"]:
    """Compute the features of images, in float64.

    Args:
        net: from `load_features`.
        images: values in [-1, 1]; clamp the output of a sampler.
        batch: how many images at a time; the features do not depend on it.

    Raises:
        ValueError: values outside [-1, 1], NaN or infinity, another shape. TypeError: uint8 images.
    """
    check_whole("batch", batch, 1)
    if not isinstance(net, FeatureNet):
        fail(TypeError, "net", "a FeatureNet, such as load_features returns", type(net).__name__)
    check_images("images", images)
    return torch.cat([net(part.to(net.classifier.weight)).double() for part in images.split(batch)])


Crowd = Sequence | Num[Tensor, "N features"] | Num[np.ndarray, "N features"]
OtherCrowd = Sequence | Num[Tensor, "M features"] | Num[np.ndarray, "M features"]
Training = Num[Tensor, "L C H W"] | Num[np.ndarray, "L C H W"]
Labels = Sequence | Integer[Tensor, "..."] | Integer[np.ndarray, "..."]


def frechet_distance(a: Crowd, b: OtherCrowd) -> float:
    """Frechet distance of the Gaussians with the means and covariances of the two sets (eq-frechet-distance).

    It is a squared distance, 0 for equal means and covariances. It is larger for fewer samples, so compare it with that
    of as many real images. With N <= 64 the covariance is singular; the formula still holds, with a larger bias.

    Args:
        a, b: features, at least two rows each.

    Raises:
        ValueError: fewer rows, other shapes, NaN or infinity.

    Source: Heusel et al. (2017), "GANs trained by a two time-scale update rule", equation 6, with other
    features than the FID.
    """
    a, b = _check_crowds(a=a, b=b)
    covariance_a, covariance_b = (torch.atleast_2d(crowd.T.cov()) for crowd in (a, b))
    values, vectors = torch.linalg.eigh(covariance_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # symmetric; rounding may make eigenvalues negative
    # The trace of the root of S_a S_b, from a symmetric matrix with the same eigenvalues.
    values = torch.linalg.eigvalsh(root @ covariance_b @ root)
    apart = (a.mean(0) - b.mean(0)).square().sum()
    both = covariance_a.trace() + covariance_b.trace() - 2 * values.clamp(min=0).sqrt().sum()
    return max(float(apart + both), 0.0)


def kernel_distance(a: Crowd, b: OtherCrowd) -> float:
    """Unbiased squared maximum mean discrepancy (MMD) of the two sets with a cubic kernel (eq-kernel-distance).

    Unlike the Frechet distance it depends on the third moments, and its expectation does not depend on N. For two sets
    from one distribution it is 0 on average, and so can be slightly negative.

    Args:
        a, b: features, at least two rows each.

    Raises:
        ValueError: fewer rows, other shapes, NaN or infinity.

    Source: Binkowski et al. (2018), "Demystifying MMD GANs", section 4, over all pairs at once
    instead of averaged over subsets.
    """
    a, b = _check_crowds(a=a, b=b)
    moments, equal = zip(*(_sum_feature_map(crowd) for crowd in (a, b)), strict=True)
    N, M = len(a), len(b)
    within = (moments[0] @ moments[0] - equal[0]) / (N * (N - 1)) + (moments[1] @ moments[1] - equal[1]) / (M * (M - 1))
    return float(within - 2 * (moments[0] @ moments[1]) / (N * M))


def _sum_feature_map(crowd: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the feature map of the kernel (x.y / d + 1)^3; the product of two sums is the kernel summed over all pairs.

    The map consists of 1, all x_i, all x_i x_j and all x_i x_j x_k, because (x.y)^3 sums x_i x_j x_k y_i y_j y_k.
    It takes d^3 numbers, and a time proportional to N instead of its square. The second result is the sum of k(x, x).
    """
    x = crowd / sqrt(crowd.shape[1])
    third = sum(part.T @ (part[:, :, None] * part[:, None]).flatten(1) for part in x.split(ROWS))
    sums = [x.new_tensor([len(x)]), sqrt(3) * x.sum(0), sqrt(3) * (x.T @ x).flatten(), third.flatten()]
    return torch.cat(sums), (x.square().sum(1) + 1).pow(3).sum()


def precision_recall(real: Crowd, generated: OtherCrowd, k: int = 3) -> tuple[float, float]:
    """The share of generated images that lie among real ones (eq-precision), and the reverse (eq-recall).

    A feature lies among a set if it is nearer to one of its members than that member's k-th neighbour in the set. Both
    shares depend on the number of samples, so compare sets of equal size.

    Args:
        real, generated: features, more than k rows each.
        k: the number of the neighbour, 1, 2, ...

    Returns:
        (precision, recall), each in 0..1.

    Raises:
        ValueError: too few rows for k, other shapes, NaN or infinity.

    Source: Kynkaanniemi et al. (2019), "Improved precision and recall metric", equations 1 and 2.
    """
    check_whole("k", k, 1)
    real, generated = _check_crowds(k + 1, real=real, generated=generated)
    return _measure_share(generated, real, k), _measure_share(real, generated, k)


def _measure_share(points: Tensor, crowd: Tensor, k: int) -> float:
    """The share of points inside any of the balls around the members of the crowd, up to their k-th neighbours."""
    radius = ball_radii(crowd, k)
    among = [(torch.cdist(part, crowd) <= radius).any(1) for part in points.split(ROWS)]
    return float(torch.cat(among).double().mean())


def ball_radii(crowd: Tensor, k: int) -> Tensor:
    """The distance of each member of a crowd, (N, d), from its k-th neighbour in it: the r_i of eq-among."""
    # k + 1, because a member of the crowd is its own nearest
    return torch.cat([torch.cdist(part, crowd).kthvalue(k + 1).values for part in crowd.split(ROWS)])


def _check_crowds(least: int = 2, **crowds: object) -> list[Tensor]:
    """Check the two sets of features, and return them in float64."""
    tables = {name: to_table(name, crowd) for name, crowd in crowds.items()}
    widths = {crowd.shape[1:] for crowd in tables.values()}
    for name, crowd in tables.items():
        if crowd.ndim != 2 or len(widths) > 1:
            shapes = " and ".join(str(tuple(each.shape)) for each in tables.values())
            fail(ValueError, name, "features of shape (N, d), with one d for both", shapes, "use features_of")
        if len(crowd) < least:
            fail(ValueError, name, f"at least {least} samples", f"{len(crowd)}", "draw more samples")
        if not torch.isfinite(crowd).all():
            bad = int((~torch.isfinite(crowd)).any(1).nonzero()[0])
            fail(ValueError, name, "finite features", f"NaN or infinity in row {bad}")
    return [crowd.double() for crowd in tables.values()]


def nearest(images: Float[Tensor, "N C H W"], training: Training) -> tuple[Float32[Tensor, "N"], Int64[Tensor, "N"]]:
    """Find the nearest training image of each image; a model that memorises its training images has distances near 0.

    Args:
        images: in [-1, 1].
        training: in [-1, 1], or uint8; a tensor or an array, which may be a memory map (`np.load(..., mmap_mode="r")`).

    Returns:
        Distances, the root mean square difference of the pixels (0..2), and indices into `training`.

    Raises:
        ValueError: images outside [-1, 1], NaN or infinity, or of another shape than the training images. TypeError:
        neither tensors nor arrays, or whole numbers other than uint8.
    """
    check_images("images", images)
    check_stored("training", training)
    if tuple(training.shape[1:]) != tuple(images.shape[1:]) or not len(training):
        fail(ValueError, "training", f"images of shape {tuple(images.shape[1:])}", f"{tuple(training.shape)}")
    flat = images.float().cpu().flatten(1)
    least, index = torch.full((len(images),), torch.inf), torch.zeros(len(images), dtype=torch.int64)
    for first in range(0, len(training), ROWS):
        distance, where = torch.cdist(flat, to_floats(training[first : first + ROWS]).flatten(1)).min(1)
        closer = distance < least
        least[closer], index[closer] = distance[closer], where[closer] + first
    # Computed again directly, because cdist rounds the distance of equal images to a number other than 0.
    there = index if isinstance(training, Tensor) else index.numpy()
    return (flat - to_floats(training[there]).flatten(1)).square().mean(1).sqrt(), index


def class_agreement(net: FeatureNet, images: Float[Tensor, "N 1 S S"], labels: Labels) -> float:
    """The share of images that the classifier assigns to the label that they were generated for.

    The classifier makes mistakes on held-out real images too, and fewer on images that are more typical than real ones.
    So a share above that of real images does not mean better images.

    Raises:
        ValueError: labels not one per image, or beyond the network's classes; images as in `features_of`.
    """
    seen = features_of(net, images)
    labels = check_label_values(labels, len(images), net.classes).to(seen.device)
    with torch.no_grad():
        guesses = net.classifier(seen.float()).argmax(1)
    return float((guesses == labels).double().mean())


def measure(
    net: FeatureNet,
    images: Float[Tensor, "N 1 S S"],
    reference: Float[Tensor, "M *rest"],
    training: Training,
    labels: Labels | None = None,
) -> dict[str, float]:
    """Compare generated images with held-out and training images: one row of the table.

    Args:
        net: from `load_features`.
        images: the images to be judged, in [-1, 1].
        reference: held-out real images, in [-1, 1], or their features, which saves time from row to row.
        training: the real images that the model was trained on, in [-1, 1] or uint8.
        labels: the labels that the images were generated for.

    Returns:
        frechet and kernel: the distances to the reference. precision and recall: those between equally many images of
        both. nearest: the 5 % quantile of the distances to the nearest training image. agreement: `class_agreement`,
        if there are labels.
    """
    seen = features_of(net, images)
    real = reference if getattr(reference, "ndim", 0) == 2 else features_of(net, reference)
    count = min(len(seen), len(real))
    precision, recall = precision_recall(real[:count], seen[:count])
    row = {
        "frechet": frechet_distance(seen, real),
        "kernel": kernel_distance(seen, real),
        "precision": precision,
        "recall": recall,
        "nearest": float(nearest(images, training)[0].quantile(0.05)),
    }
    return row if labels is None else row | {"agreement": class_agreement(net, images, labels)}


def floors(
    net: FeatureNet,
    reference: Float[Tensor, "M 1 S S"],
    training: Training,
    count: int,
    seed: int = 0,
    labels: Labels | None = None,
) -> dict[str, dict[str, float]]:
    """Compute the same numbers for images of known quality, as a scale to compare a model's numbers with.

    Args:
        net, reference, training: as in `measure`.
        count: how many images each row judges, 4 to as many as there are training images.
        seed: determines the choice of training images and the noise.
        labels: those of the training images; with them, each label is equally frequent, the rows have agreement, and
            there is one more row.

    Returns:
        A row of `measure` for each of: "real", a random choice of training images; the same "+ noise 0.1"; the same
        blurred by a 3x3 mean; with labels, "class means"; a Gaussian with the mean and covariance of the pixels; noise.
        In the row "real", nearest is that of held-out images, because training images have distance 0 to themselves.
    """
    training = to_tensor("training", training)
    check_whole("count", count, 4, len(training))  # each row needs a third neighbour
    generator = torch.Generator().manual_seed(check_whole("seed", seed, 0, 2**63 - 1))
    chosen = torch.randperm(len(training), generator=generator)
    if labels is not None:
        labels = check_label_values(labels, len(training), net.classes, every=True)
        # Labels in turn, as models are sampled: if their frequencies varied by chance, that would add to the distance.
        counted = nn.functional.one_hot(labels[chosen]).cumsum(0).gather(1, labels[chosen][:, None])[:, 0]
        chosen = chosen[counted.argsort(stable=True)]
    chosen = chosen[:count]
    real, known = to_floats(training[chosen]), None if labels is None else labels[chosen]

    def noise() -> Tensor:
        return torch.randn(real.shape, generator=generator)

    padded = nn.functional.pad(real, (1, 1, 1, 1), mode="replicate")
    rows = {
        "real": (real, known),
        "real + noise 0.1": ((real + 0.1 * noise()).clamp(-1, 1), known),
        "real, blurred": (nn.functional.avg_pool2d(padded, 3, stride=1), known),
    }
    if labels is not None:
        means = torch.stack([to_floats(training[labels == label]).mean(0) for label in range(net.classes)])
        rows["class means"] = (means[known], known)
    rows["pixel Gaussian"] = (_draw_pixel_gaussian(to_floats(training), noise()).clamp(-1, 1), None)
    rows["noise"] = (noise().clamp(-1, 1), None)
    seen = features_of(net, reference)
    table = {name: measure(net, images, seen, training, known) for name, (images, known) in rows.items()}
    table["real"]["nearest"] = float(nearest(reference[:count], training)[0].quantile(0.05))
    return table


def _draw_pixel_gaussian(images: Tensor, noise: Tensor) -> Tensor:
    """Transform noise from N(0, I) into a Gaussian with the mean and covariance of the images."""
    pixels = images.flatten(1)
    values, vectors = torch.linalg.eigh(pixels.T.cov().double())
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return (pixels.mean(0) + noise.flatten(1) @ root.float()).view_as(noise)
