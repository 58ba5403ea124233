"""Random crop and flip of a whole batch at once, on the device that holds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from robustill.errors import InputError


@dataclass(frozen=True)
class Augment:
    """What is done to training images; the default does nothing.

    Args:
        crop: Zero padding in pixels on each side, before a random crop back to the image's size (0: no crop).
        flip: Mirror each image left to right with probability one half.

    Raises:
        InputError: `crop` is not an integer of 0 or more.

    >>> Augment(crop=4, flip=True)
    Augment(crop=4, flip=True)
    """

    crop: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.crop, bool) or not isinstance(self.crop, int) or self.crop < 0:
            raise InputError(f"augment crop is {self.crop!r}; it must be a number of pixels, 0 or more")
        if not isinstance(self.flip, bool):
            raise InputError(f"augment flip is {self.flip!r}; it must be true or false")

    def __str__(self) -> str:
        parts = [f"crop {self.crop}"] if self.crop else []
        return " + ".join([*parts, "flip"] if self.flip else parts) or "none"

    def check(self, shape: tuple[int, int, int]) -> None:
        """Raise `InputError` when a crop could show nothing of an image of `shape` (C, H, W)."""
        if self.crop >= min(shape[1:]) and self.crop > 0:
            raise InputError(
                f"augment crop {self.crop} could move {shape[1]}x{shape[2]} images out of sight; use a smaller one"
            )

    def apply(self, images: Tensor, random: np.random.RandomState, own: tuple[Tensor, int] | None = None) -> Tensor:
        """Augment a batch: `[B, C, H, W] -> [B, C, H, W]`, any dtype and device.

        The random numbers come from the CPU, so the result does not depend on the device. Where `images` are only some
        of a batch, `own` says at which positions they are, int64 `[B]`, and how many the batch has: each is augmented
        as it is in the whole batch.
        """
        if not self.crop and not self.flip:
            return images
        batch, channels, height, width = images.shape
        at, drawn = (slice(None), batch) if own is None else (own[0].numpy(), own[1])
        # Drawn in any case, so that switching the crop on or off leaves the flips as they are.
        flips = random.random_sample(drawn)[at] < 0.5
        top, left = random.randint(0, 2 * self.crop + 1, size=(2, drawn))[:, at]
        rows = top[:, None] + np.arange(height)
        columns = left[:, None] + np.arange(width)
        if self.flip:
            columns = np.where(flips[:, None], columns[:, ::-1], columns)
        padded = pad(images, [self.crop] * 4) if self.crop else images
        flat = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
        index = torch.from_numpy(flat.reshape(batch, 1, -1)).to(images.device).expand(-1, channels, -1)
        return padded.flatten(2).gather(2, index).view(batch, channels, height, width)
