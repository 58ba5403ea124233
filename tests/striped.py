"""Small images whose class anybody sees."""

from typing import Any

import numpy as np

from robustill.data import Data


def striped(train: int, test: int, **options: Any) -> Data:
    """Return images of 1x8x8 and three classes, named by a bright third of the image; a fifth is for validation."""
    generator = np.random.default_rng(0)

    def part(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(n) % 3
        images = generator.integers(0, 90, (n, 1, 8, 8))
        for k, label in enumerate(labels):
            images[k, 0, 3 * label : 3 * label + 2] += 150
        return images.astype(np.uint8), labels.astype(np.int64)

    return Data.from_arrays(part(train), part(test), validation=0.2, **options)
