"""One pass over the images of a data set: colours, duplicates, and every image that cannot be read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch

from robustill.data.splits import Split
from robustill.data.statistics import Moments
from robustill.errors import RobustillError


@dataclass
class Scan:
    """What a pass over all images found.

    Args:
        moments: Of the training images.
        duplicates: Test images that are also training or validation images, pixel by pixel.
        unreadable: One message per image that cannot be read.
    """

    moments: Moments
    duplicates: int = 0
    unreadable: list[str] = field(default_factory=list)


def scan_images(splits: dict[str, Split]) -> Scan:
    """Read every image of "train", "validation" and "test" once; nothing but hashes is kept."""
    found = Scan(Moments.of_channels(splits["train"].shape[0]))
    seen: set[bytes] = set()
    for part, split in splits.items():
        for position in range(len(split)):
            try:
                image = split.images(torch.tensor([position]))[0].cpu()
            except RobustillError as problem:
                found.unreadable.append(str(problem))
                continue
            key = hashlib.blake2b(image.contiguous().numpy().tobytes(), digest_size=16).digest()
            if part == "test":
                found.duplicates += key in seen
            else:
                seen.add(key)
            if part == "train":
                found.moments.add(image)
    return found
