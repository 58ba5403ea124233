"""Random numbers as a function of (key, step): a row draws the same in any batch, and has no state to save."""

from __future__ import annotations

import torch
from torch import Tensor

# The constants of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) as signed 64-bit integers.
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_FIRST, _SECOND = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


def uniform(key: Tensor, step: Tensor, count: int) -> Tensor:
    """Return numbers in [0, 1), int64 `[B]`, int64 `[B]` -> float64 `[B, count]`.

    >>> one = uniform(torch.tensor([7, 8]), torch.tensor([3, 3]), 2)
    >>> bool((one[1:] == uniform(torch.tensor([8]), torch.tensor([3]), 2)).all())
    True
    """
    start = _mixed(key ^ _mixed(step + _GOLDEN))
    place = torch.arange(1, count + 1, device=key.device)
    bits = _mixed(start[:, None] + place * _GOLDEN)
    return _shifted(bits, 11).double().mul(2.0**-53)


def _mixed(z: Tensor) -> Tensor:
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, by: int) -> Tensor:
    """Shift as if unsigned: torch shifts the sign in."""
    shifted: Tensor = (z >> by) & (2 ** (64 - by) - 1)
    return shifted
