"""Cut the clothes that the tests look at from Fashion-MNIST's test set: its first 1,000 images, with their labels.

    python tests/fashion/cut.py    writes tests/fashion/held_out.npz; needs the data set, see `load_fashion_mnist`

`load_fashion_mnist` compares what it reads with the published SHA-256. Of the test set's two files these are, unpacked,
5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b (images) and
0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34 (labels). The licence lies beside this file.
"""

from pathlib import Path

import numpy as np

from ddpm_lite import load_fashion_mnist

FILE = Path(__file__).with_name("held_out.npz")

if __name__ == "__main__":
    images, labels = load_fashion_mnist("test")
    np.savez_compressed(FILE, images=images[:1000].numpy(), labels=labels[:1000].numpy().astype(np.uint8))
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")
