"""Exact intervals for shares of examples."""

from __future__ import annotations

from torch import Tensor


def clopper_pearson(right: Tensor, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Clopper-Pearson interval of the share of `right`, bool `[n]`: exact for any sample size."""
    from scipy.stats import binomtest

    low, high = binomtest(int(right.sum()), len(right)).proportion_ci(confidence, method="exact")
    return float(low), float(high)
