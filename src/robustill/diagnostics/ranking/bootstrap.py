"""Weighted means and their resampled values, many columns at once."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

_AT_ONCE = 50


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the means of the columns, `[n, K], [n] -> float64 [K]`; not a number where all weights are 0."""
    weights = weights.double()
    return (weights @ values.double()) / weights.sum()


def resampled_means(values: Tensor, weights: Tensor, resamples: int, seed: int) -> Tensor:
    """Return the weighted means of the columns in `resamples` draws of n examples, `[n, K], [n] -> float64 [R, K]`.

    Only examples of positive weight are drawn, with replacement. The draws are a function of `seed`, the number of
    such examples and `resamples` alone, so two calls on the same examples are paired.
    """
    at = (weights > 0).nonzero().flatten()
    weights = weights[at].double()
    columns = values[at].double() * weights[:, None]
    drawn = [(counts @ columns) / (counts @ weights)[:, None] for counts in _draws(len(at), resamples, seed)]
    return torch.cat(drawn) if drawn else torch.full((resamples, values.shape[1]), torch.nan, dtype=torch.float64)


def resampled_differences(values: Tensor, one: Tensor, other: Tensor, resamples: int, seed: int) -> Tensor:
    """Return the weighted means by `one` less those by `other`, `[n, K], [n], [n] -> float64 [R, K]`.

    For groups that share examples: both means are of one draw, from all examples that either counts. R is less than
    `resamples` by the draws that held none of a group.
    """
    at = ((one > 0) | (other > 0)).nonzero().flatten()
    columns, weights = values[at].double(), [each[at].double() for each in (one, other)]
    drawn = []
    for counts in _draws(len(at), resamples, seed):
        means = [(counts @ (columns * each[:, None])) / (counts @ each)[:, None] for each in weights]
        drawn.append(means[0] - means[1])
    found = torch.cat(drawn)
    return found[~found.isnan().any(1)]


def _draws(n: int, resamples: int, seed: int) -> Iterator[Tensor]:
    """Yield how often each of `n` examples is drawn, float64 `[r, n]`, of `resamples` draws in all."""
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, resamples if n else 0, _AT_ONCE):
        rows = min(_AT_ONCE, resamples - start)
        chosen = torch.randint(n, (rows, n), generator=generator)
        counts = torch.zeros(rows, n, dtype=torch.float64)
        yield counts.scatter_add_(1, chosen, torch.ones_like(counts))


def middle(drawn: Tensor, confidence: float = 0.95) -> tuple[Tensor, Tensor]:
    """Return the ends of the percentile intervals of the columns, `[R, K] -> [K], [K]`."""
    ends = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=drawn.dtype)
    low, high = torch.quantile(drawn, ends, dim=0)
    return low, high
