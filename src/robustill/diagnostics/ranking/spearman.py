"""Rank correlation of few points: exact where it can be."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import permutations
from math import factorial, isnan, nan, sqrt

import numpy as np
from numpy.typing import NDArray

Numbers = Sequence[float]
EXACT_UP_TO = 9
_ROUNDING = 1e-9


def spearman(a: Numbers, b: Numbers) -> float:
    """Return Spearman's coefficient, with mean ranks for ties; not a number where one side is constant.

    >>> spearman([1, 2, 3], [10, 30, 20])
    0.5
    """
    x, y = _centred(a), _centred(b)
    scale = sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else nan


def permutation_p(a: Numbers, b: Numbers, *, draws: int = 100_000, seed: int = 0) -> tuple[float, int, bool]:
    """Return the two-sided p-value of Spearman's coefficient, of how many permutations, and whether these are all.

    Up to nine points all n! orders are counted, beyond that `draws` random ones and the observed one.

    >>> permutation_p([1, 2, 3, 4], [1, 2, 3, 4])
    (0.08333333333333333, 24, True)
    """
    x, y = _centred(a), _centred(b)
    observed = abs(float(x @ y)) - _ROUNDING
    if len(x) <= EXACT_UP_TO:
        orders = _orders(len(x))
        extreme = int((np.abs(y[orders] @ x) >= observed).sum())
        return extreme / factorial(len(x)), len(orders), True
    generator = np.random.default_rng(seed)
    shuffled = generator.permuted(np.tile(y, (draws, 1)), axis=1)
    extreme = int((np.abs(shuffled @ x) >= observed).sum())
    return (extreme + 1) / (draws + 1), draws, False


def partial_spearman(a: Numbers, b: Numbers, given: Numbers) -> float:
    """Return the partial coefficient of `a` and `b` given a third variable; not a number where it is not defined.

    >>> partial_spearman([1, 2, 3, 4], [2, 1, 4, 3], given=[1, 3, 2, 4])
    1.0
    """
    ab, ac, bc = spearman(a, b), spearman(a, given), spearman(b, given)
    rest = (1 - ac**2) * (1 - bc**2)
    if isnan(rest) or rest <= _ROUNDING:
        return nan
    return max(-1.0, min(1.0, (ab - ac * bc) / sqrt(rest)))


@lru_cache(maxsize=1)
def _orders(n: int) -> NDArray[np.intp]:
    return np.array(list(permutations(range(n))), dtype=np.intp)


def _centred(values: Numbers) -> NDArray[np.float64]:
    """Return the ranks less their mean; equal values share the mean of their ranks."""
    found = np.asarray(values, dtype=np.float64)
    _, which, counts = np.unique(found, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - (counts - 1) / 2)[which]
    return ranks - (len(found) + 1) / 2
