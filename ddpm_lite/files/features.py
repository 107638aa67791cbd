"""The small classifiers in whose feature space images are compared; their weights come with the package."""

import json

from jaxtyping import Float32
from torch import Tensor, nn

from ddpm_lite._check import check_whole, fail
from ddpm_lite.files.weights import PRETRAINED, check_tensors, find_shipped

WIDTHS = (16, 32, 64)  # channels after each halving
FEATURES = 64


class FeatureNet(nn.Module):
    """A small classifier of grey images, whose last but one layer is the feature space.

    Args:
        size: height and width S of the images, >= 8.
        classes: the number of labels, >= 2.
    """

    def __init__(self, size: int, classes: int = 10):
        super().__init__()
        self.size = check_whole("size", size, 8)
        self.classes = check_whole("classes", classes, 2)
        layers = []
        for width, wider in zip((1, *WIDTHS[:-1]), WIDTHS, strict=True):
            layers += [nn.Conv2d(width, wider, 3, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
        left = size // 2 ** len(WIDTHS)
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTHS[-1] * left**2, FEATURES), nn.ReLU())
        self.classifier = nn.Linear(FEATURES, classes)

    def forward(self, images: Float32[Tensor, "N 1 S S"]) -> Float32[Tensor, "N 64"]:
        """Compute the features of images in [-1, 1].

        Raises:
            ValueError: images of another shape.
        """
        if tuple(images.shape[1:]) != (1, self.size, self.size):
            expected = f"a tensor of shape (N, 1, {self.size}, {self.size})"
            fail(ValueError, "images", expected, f"{tuple(images.shape)}", "use the feature network of this data set")
        return self.features(images)

    def logits(self, images: Float32[Tensor, "N 1 S S"]) -> Float32[Tensor, "N classes"]:
        """Compute the logit of each label."""
        return self.classifier(self(images))


def load_features(name: str) -> FeatureNet:
    """Open a feature network that comes with the package, after a check of its SHA-256, and freeze it.

    Args:
        name: "digits" (8x8) or "fashion" (28x28), the data set it was trained on.

    Raises:
        ValueError: no such network, or its file is not the one that was shipped.
    """
    from safetensors import safe_open

    names = sorted(path.stem for path in (PRETRAINED / "features").glob("*.safetensors"))
    if name not in names:
        fail(ValueError, "name", f"one of {names}", repr(name))
    with safe_open(find_shipped(f"features/{name}.safetensors"), framework="pt") as file:
        net = FeatureNet(**json.loads(file.metadata()["feature_net"]))
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    check_tensors(net.state_dict(), tensors)
    net.load_state_dict(tensors)
    return net.eval().requires_grad_(False)
