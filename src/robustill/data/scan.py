"""One pass over the images of a data set: colours, duplicates, and every image that cannot be read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robustill.data.splits import Split
from robustill.errors import RobustillError


@dataclass
class Moments:
    """Sums from which mean and standard deviation per channel follow; exact, as they are integers."""

    total: Tensor
    squares: Tensor
    pixels: int = 0

    @classmethod
    def of_channels(cls, channels: int) -> Moments:
        """No images yet."""
        return cls(torch.zeros(channels, dtype=torch.int64), torch.zeros(channels, dtype=torch.int64))

    def add(self, image: Tensor) -> None:
        """Count a uint8 image [C, H, W]."""
        values = image.to(torch.int64).flatten(1)
        self.total += values.sum(1)
        self.squares += (values * values).sum(1)
        self.pixels += values.shape[1]

    def mean(self) -> tuple[float, ...]:
        """Mean per channel, of pixels in [0, 1]."""
        return tuple((self.total.double() / max(self.pixels, 1) / 255).tolist())

    def std(self) -> tuple[float, ...]:
        """Standard deviation per channel, of pixels in [0, 1]."""
        pixels = max(self.pixels, 1)
        variance = self.squares.double() / pixels - (self.total.double() / pixels) ** 2
        return tuple((variance.clamp(min=0).sqrt() / 255).tolist())


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
