"""Shared fixtures: a small data set, and one thread so that results do not depend on the machine."""

import signal

import numpy as np
import pytest
import torch

from robustill.data import Data

torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a background job of a script starts; tests of interrupts would wait for one that never comes.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def tiny_data() -> Data:
    """120 training and 40 test images, 1x8x8, three classes: a bright third of the image names the class."""
    generator = np.random.default_rng(0)

    def part(n: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(n) % 3
        images = generator.integers(0, 90, (n, 1, 8, 8))
        for k, label in enumerate(labels):
            images[k, 0, 3 * label : 3 * label + 2] += 150
        return images.astype(np.uint8), labels.astype(np.int64)

    return Data.from_arrays(part(120), part(40), validation=0.2, class_names=["top", "middle", "bottom"])
