"""Mean and deviation per channel."""

import torch

from robustill.data import TensorSplit
from robustill.data.statistics import channel_statistics


def test_channel_statistics_equal_those_of_all_pixels_at_once() -> None:
    images = torch.randint(0, 256, (1500, 3, 4, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, 2] = 51
    mean, std = channel_statistics(TensorSplit(images, torch.zeros(1500, dtype=torch.int64)))
    pixels = images.double().movedim(1, 0).flatten(1) / 255
    torch.testing.assert_close(torch.tensor(mean).double(), pixels.mean(1))
    torch.testing.assert_close(torch.tensor(std[:2]).double(), pixels.std(1, correction=0)[:2])
    assert std[2] == 1.0
