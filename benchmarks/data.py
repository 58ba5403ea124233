"""Batches of an epoch with random crop and flip: robustill's against a per-image data set in PyTorch's DataLoader.

    python benchmarks/data.py [--images 20000] [--batch 128] [--json FILE]

The baseline crops, flips and converts image by image, as data sets with transforms do; both in this process.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from rows import row, show, write
from torch.utils.data import DataLoader, Dataset

from robustill.data import Augment, Data


class PerImage(Dataset):
    """CIFAR-like images with the usual transforms, one at a time."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        image = torch.from_numpy(self.images[index]).float() / 255
        image = torch.nn.functional.pad(image, (4, 4, 4, 4))
        top, left = torch.randint(9, (2,)).tolist()
        image = image[:, top : top + 32, left : left + 32]
        return (image.flip(2) if torch.rand(()) < 0.5 else image), self.labels[index]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (options.images, 3, 32, 32), dtype=np.uint8)
    labels = draws.integers(0, 10, options.images)
    labels[:10] = np.arange(10)
    ours = Data.from_arrays(
        (images, labels), (images[:10], labels[:10]), validation=0, augment=Augment(crop=4, flip=True)
    )
    theirs = DataLoader(PerImage(images, labels), batch_size=options.batch, shuffle=True)
    seconds = {"theirs": [], "ours": []}
    for epoch in range(options.rounds):
        for name, batches in (("theirs", theirs), ("ours", ours.batches(epoch, batch_size=options.batch))):
            began, count = time.perf_counter(), 0
            for x, _ in batches:
                count += len(x)
            assert count == options.images
            seconds[name].append(time.perf_counter() - began)
    found = row("crop and flip, 3x32x32", seconds["theirs"], seconds["ours"], images=options.images)
    show(found)
    write([found], options.json)


if __name__ == "__main__":
    main()
