"""The embedded data set: 1,797 handwritten digits of 8x8 pixels that ship with scikit-learn."""

from __future__ import annotations

import numpy as np
import torch

from robustill.data.sources import ArraySource, RawData

_TEST_IMAGES = 360


def read_digits() -> RawData:
    """Digits 0-9 in gray values 0..16, scaled to 0..255; 1,437 train and 360 test images, always the same ones."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.round(found.images * 255 / 16).astype(np.uint8)
    source = ArraySource(torch.from_numpy(pixels)[:, None], torch.from_numpy(found.target.astype(np.int64)))
    names = tuple("0123456789")
    return RawData("digits", "scikit-learn", source, None, names, holdout=_TEST_IMAGES)
