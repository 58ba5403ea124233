"""Channel statistics of a split, for normalisation inside a network."""

from __future__ import annotations

import torch

from robustill.data.splits import Split

_BATCH = 1024


def channel_statistics(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel of all pixels of `split`, in units of [0, 1].

    A constant channel gets deviation 1, so that dividing by it is safe.
    """
    total = torch.zeros(split.shape[0], dtype=torch.float64)
    squares, count = torch.zeros_like(total), 0
    for x, _ in split.batches(_BATCH, device="cpu"):
        pixels = x.double().transpose(0, 1).flatten(1)
        total, squares, count = total + pixels.sum(1), squares + (pixels**2).sum(1), count + pixels.shape[1]
    mean = total / count
    std = (squares / count - mean**2).clamp_min(0).sqrt()
    std = torch.where(std > 0, std, torch.ones_like(std))
    return tuple(mean.tolist()), tuple(std.tolist())
