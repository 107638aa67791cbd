"""Train the small feature network that compares images, ship its weights, and record its accuracy.

    python studies/train_features.py digits      seconds
    python studies/train_features.py fashion     about six minutes on one core

It is trained on the training images only, and measured on the held-out ones: the 10,000 test images of Fashion-MNIST,
or the held-out digits. Writes ddpm_lite/pretrained/features/NAME.safetensors and
book/results/features-NAME.json. With one thread and one seed, the same machine makes the same file.
"""

import argparse
import hashlib
import json
import time

import torch
import train_digits
from ship import ship

from ddpm_lite import load_digits, load_fashion_mnist
from ddpm_lite.evaluate import FEATURES, FeatureNet, features_of, load_features
from ddpm_lite.files import weights
from ddpm_lite.files.pixels import from_bytes

SEED = 0
EPOCHS = {"digits": 15, "fashion": 9}
BATCH, LR, DECAY = 128, 5e-3, 0.02
SHIFT = {"digits": 0, "fashion": 2}  # the most pixels that a batch is shifted by, against overfitting on clothes


def images_of(name, part):
    """Load images in [-1, 1] and labels; part is "train" or "test"."""
    if name == "digits":
        return load_digits(part)
    images, labels = load_fashion_mnist(part)
    return from_bytes(images), labels


def trained(name):
    """Train a classifier of the training images by Adam with a learning rate that rises and falls; no averaging."""
    torch.manual_seed(SEED)
    images, labels = images_of(name, "train")
    net = FeatureNet(images.shape[-1])
    steps = EPOCHS[name] * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=DECAY)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps, pct_start=0.2)
    for epoch in range(EPOCHS[name]):
        losses = []
        for chosen in torch.randperm(len(images)).split(BATCH):
            if len(chosen) < BATCH:
                continue  # the rest is left out until the next epoch
            scores = net.logits(shifted(images[chosen], SHIFT[name]))
            loss = torch.nn.functional.cross_entropy(scores, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            losses.append(loss.detach())
        print(f"epoch {epoch + 1} of {EPOCHS[name]}: loss {torch.stack(losses).mean():.4f}", flush=True)
    return net.eval()


def shifted(images, most):
    """Shift all images by the same few pixels, and fill the border with background."""
    down, right = torch.randint(2 * most + 1, (2,)).tolist()
    size = images.shape[-1]
    return torch.nn.functional.pad(images, 4 * [most], value=-1)[..., down : down + size, right : right + size]


@torch.no_grad()
def scale(net, images):
    """Scale the features so that their variances over these images add up to FEATURES; the logits do not change."""
    variance = features_of(net, images).var(0).sum() / FEATURES
    net.features[-2].weight /= variance.sqrt()
    net.features[-2].bias /= variance.sqrt()
    net.classifier.weight *= variance.sqrt()


@torch.no_grad()
def accuracy(net, images, labels):
    """Measure the share of images that the network labels correctly."""
    guesses = torch.cat([net.logits(part).argmax(1) for part in images.split(500)])
    return float((guesses == labels).double().mean())


def main():
    """Train, scale, ship, measure what was shipped, record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=EPOCHS)
    name = parser.parse_args().name
    torch.set_num_threads(1)
    start, cpu = time.perf_counter(), time.process_time()
    net = trained(name)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    scale(net, images_of(name, "train")[0])
    tensors = {key: value.half() if value.is_floating_point() else value for key, value in net.state_dict().items()}
    header = {"feature_net": json.dumps({"size": net.size, "classes": net.classes})}
    path = ship(f"features/{name}.safetensors", weights.pack_tensors(tensors, header))
    net, held_out = load_features(name), images_of(name, "test")  # in half precision, as it is shipped
    record = train_digits.circumstances(f"train_features.py {name}") | {
        "images": len(images_of(name, "train")[0]),
        "epochs": EPOCHS[name],
        "batch_size": BATCH,
        "lr": LR,
        "weight_decay": DECAY,
        "shift": SHIFT[name],
        "seed": SEED,
        "parameters": sum(p.numel() for p in net.parameters()),
        "features": FEATURES,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "accuracy_training": round(accuracy(net, *images_of(name, "train")), 4),
        "accuracy_held_out": round(accuracy(net, *held_out), 4),
        "held_out": len(held_out[0]),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
    }
    results = train_digits.RESULTS / f"features-{name}.json"
    results.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    print(f"{seconds:.0f} s, held out {record['accuracy_held_out']:.2%}; wrote {path.name} and {results.name}")


if __name__ == "__main__":
    main()
