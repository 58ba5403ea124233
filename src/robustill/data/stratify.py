"""Stratified choice: hold out images so that each class keeps its share."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robustill.data.order import Purpose, random_stream
from robustill.errors import InputError


def held_out_count(share: float | int, n: int, what: str = "validation") -> int:
    """How many of `n` images a share (a float below 1) or a number (an int) holds out.

    A share above zero holds out at least one image.

    Raises:
        InputError: Negative, not a number, a share of 1 or more, or nothing would be left.

    >>> held_out_count(0.1, 1000), held_out_count(250, 1000), held_out_count(0, 1000)
    (100, 250, 0)
    """
    if isinstance(share, bool) or not isinstance(share, int | float | np.integer | np.floating):
        raise InputError(f"{what} is {share!r}; give a share such as 0.1 or a number of images")
    if not share >= 0:
        raise InputError(f"{what} is {share}; it cannot be negative or NaN")
    if isinstance(share, int | np.integer):
        count = int(share)
    elif share < 1:
        count = max(round(float(share) * n), 1 if share > 0 else 0)
    else:
        raise InputError(f"{what} is the share {share}; a share is below 1", "give an int for a number of images")
    if count >= n:
        raise InputError(f"{what}={share} holds out {count} of {n} images; nothing would be left")
    return count


def stratified(labels: Tensor, count: int, seed: int, purpose: Purpose) -> tuple[Tensor, Tensor]:
    """Split positions into the rest and `count` chosen ones, `[n - count]` and `[count]`, both ascending.

    The number chosen of each class is its exact share rounded up or down; a class keeps its last image as long as
    the others have more to give.
    """
    classes = labels.cpu().numpy()
    present, sizes = np.unique(classes, return_counts=True)
    random = random_stream(seed, purpose)
    chosen = np.zeros(len(classes), dtype=bool)
    for label, quota in zip(present, _quotas(sizes, count), strict=True):
        chosen[random.permutation(np.flatnonzero(classes == label))[:quota]] = True
    rest, held = np.flatnonzero(~chosen), np.flatnonzero(chosen)
    return torch.from_numpy(rest.astype(np.int64)), torch.from_numpy(held.astype(np.int64))


def _quotas(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Largest-remainder shares of `count` in proportion to `sizes`, in exact integer arithmetic."""
    total = int(sizes.sum())
    quotas, remainders = np.divmod(sizes.astype(np.int64) * count, total)
    would_empty = quotas + 1 >= sizes
    ranking = np.lexsort((-remainders, remainders == 0, would_empty))
    quotas[ranking[: count - int(quotas.sum())]] += 1
    return quotas
