"""Shared fixtures: a small data set, and one thread so that results do not depend on the machine."""

import signal

import pytest
import torch

from robustill.data import Data
from tests.striped import striped

torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a background job of a script starts; tests of interrupts would wait for one that never comes.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def tiny_data() -> Data:
    """120 training and 40 test images, 1x8x8, three classes: a bright third of the image names the class."""
    return striped(120, 40, class_names=["top", "middle", "bottom"])
