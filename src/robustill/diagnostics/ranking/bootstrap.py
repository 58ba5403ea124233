"""Weighted means and their resampled values, many columns at once."""

from __future__ import annotations

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
    generator = torch.Generator().manual_seed(seed)
    at = (weights > 0).nonzero().flatten()
    weights, n = weights[at].double(), len(at)
    columns = values[at].double() * weights[:, None]
    drawn = []
    for start in range(0, resamples if n else 0, _AT_ONCE):
        rows = min(_AT_ONCE, resamples - start)
        chosen = torch.randint(n, (rows, n), generator=generator)
        counts = torch.zeros(rows, n, dtype=torch.float64)
        counts.scatter_add_(1, chosen, torch.ones_like(counts))
        drawn.append((counts @ columns) / (counts @ weights)[:, None])
    return torch.cat(drawn) if drawn else torch.full((resamples, values.shape[1]), torch.nan, dtype=torch.float64)


def middle(drawn: Tensor, confidence: float = 0.95) -> tuple[Tensor, Tensor]:
    """Return the ends of the percentile intervals of the columns, `[R, K] -> [K], [K]`."""
    ends = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=drawn.dtype)
    low, high = torch.quantile(drawn, ends, dim=0)
    return low, high
