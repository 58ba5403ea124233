"""Numbers of a data set, with intervals, from numbers of examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from robustill.evaluation.interval import clopper_pearson

SMALL = 30
"""Below so many images the intervals of a bootstrap are too narrow."""
_RESAMPLES, _AT_ONCE, _BINS = 1000, 50, 15


def share(verdicts: Tensor) -> dict[str, Any]:
    """Return the share of true verdicts, bool `[m]`, and its exact 95% interval."""
    if not len(verdicts):
        return {"share": None, "interval": None}
    return {"share": float(verdicts.double().mean()), "interval": list(clopper_pearson(verdicts))}


def accuracy(right: Tensor) -> dict[str, Any]:
    """Return `share` under the name that results have."""
    found = share(right)
    return {"accuracy": found["share"], "interval": found["interval"]}


def average(values: Tensor) -> dict[str, Any]:
    """Return the mean of `[m]` and its 95% interval by the bootstrap."""
    if not len(values):
        return {"mean": None, "interval": None}
    values = values.double()
    drawn = torch.cat([weights @ values for weights in _resamples(len(values))]) / len(values)
    return {"mean": float(values.mean()), "interval": _middle(drawn)}


def calibration_error(confidence: Tensor, right: Tensor) -> dict[str, Any]:
    """Return the expected calibration error over 15 bins of equal width, and its 95% interval by the bootstrap.

    With few images per bin it is too high, and so is its interval.

    Args:
        confidence: Largest probability, `[m]`.
        right: Whether the class it belongs to is right, bool `[m]`.
    """
    count = len(confidence)
    bins = (confidence.double() * _BINS).ceil().long().clamp(1, _BINS) - 1
    # Column b: by how much the images of bin b are right more often than they say.
    excess = torch.zeros(count, _BINS, dtype=torch.float64)
    excess[torch.arange(count), bins] = right.double() - confidence.double()
    drawn = torch.cat([(weights @ excess).abs().sum(1) for weights in _resamples(count)]) / count
    return {"error": float(excess.sum(0).abs().sum() / count), "interval": _middle(drawn)}


def _resamples(count: int) -> Iterator[Tensor]:
    """Yield how often each of `count` examples is drawn in some resamples, `[r, count]`; always the same draws."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(_RESAMPLES // _AT_ONCE):
        drawn = torch.randint(count, (_AT_ONCE, count), generator=generator)
        weights = torch.zeros(_AT_ONCE, count, dtype=torch.float64)
        yield weights.scatter_add_(1, drawn, torch.ones_like(weights))


def _middle(drawn: Tensor) -> list[float]:
    low, high = torch.quantile(drawn, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return [low, high]
