"""Random numbers of the data: every draw is a function of a seed and of what it is for, never of a global state."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from robustill.errors import InputError

_MAX_SEED = 2**63


class Purpose(IntEnum):
    """What random numbers are drawn for; each purpose has a stream of its own."""

    ORDER = 1
    AUGMENT = 2
    VALIDATION = 3
    LIMIT_TRAIN = 4
    LIMIT_TEST = 5
    TEST = 6
    WATCHED = 7
    PLACEBO = 8


def random_stream(seed: int, purpose: Purpose, *key: int) -> np.random.RandomState:
    """A generator of its own for `(seed, purpose, *key)`.

    The parts are mixed, not added, so neighbouring seeds and epochs share nothing. `RandomState` is the numpy
    generator whose stream is frozen between versions: a split drawn today is the split drawn in five years.

    Raises:
        InputError: `seed` is not an integer in [0, 2**63).
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < _MAX_SEED:
        raise InputError(f"seed is {seed!r}; it must be an integer from 0 to 2**63 - 1")
    sequence = np.random.SeedSequence(int(seed), spawn_key=(int(purpose), *key))
    return np.random.RandomState(np.random.MT19937(sequence))


def epoch_order(n: int, seed: int, epoch: int) -> Tensor:
    """The order in which an epoch visits `n` images: a permutation of 0..n-1, int64 [n].

    >>> epoch_order(5, seed=0, epoch=0).sort().values
    tensor([0, 1, 2, 3, 4])
    """
    return torch.from_numpy(random_stream(seed, Purpose.ORDER, epoch).permutation(n).astype(np.int64))
