"""Mean and deviation per channel, for reports and for normalisation inside a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustill.data.splits import Split

_BATCH = 1024


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

    def add(self, images: Tensor) -> None:
        """Count uint8 images [C, H, W] or [B, C, H, W]."""
        values = images.long().movedim(-3, 0).flatten(1)
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


def channel_statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of all pixels of `split`, in units of [0, 1].

    A constant channel gets deviation 1, so that dividing by it is safe.
    """
    moments = Moments.of_channels(split.shape[0])
    for positions in torch.split(torch.arange(len(split)), _BATCH):
        moments.add(split.images(positions).cpu())
    return moments.mean(), tuple(std if std > 0 else 1.0 for std in moments.std())
