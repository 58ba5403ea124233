"""Confidence bounds of a probability or a mean from samples, and how far Gaussian smoothing carries them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robustill.errors import InputError


def binomial_low(successes: Tensor, trials: int, alpha: float) -> Tensor:
    """Return the one-sided Clopper-Pearson lower bound of a probability.

    It exceeds the probability with a chance of `alpha` at most, whatever the probability is.

    Args:
        successes: int64 `[...]`, 0 to `trials`.
        trials: Number of independent samples.
        alpha: Chance of error, in (0, 1).

    Returns:
        float64 `[...]`, on the CPU.

    >>> bool((binomial_low(torch.tensor([100]), 100, 0.001) - 0.001 ** (1 / 100)).abs() < 1e-12)
    True
    """
    from scipy.special import betaincinv

    hits = successes.cpu().double()
    # The first argument must be positive; without a success the bound is 0.
    found = torch.from_numpy(betaincinv(hits.clamp_min(1).numpy(), (trials - hits + 1).numpy(), alpha))
    return torch.where(hits > 0, found, 0.0)


def binomial_high(successes: Tensor, trials: int, alpha: float) -> Tensor:
    """Return the one-sided Clopper-Pearson upper bound of a probability; arguments as `binomial_low`."""
    return 1 - binomial_low(trials - successes, trials, alpha)


def mean_margin(variance: Tensor, trials: int, alpha: float) -> Tensor:
    """Return by how much the mean of samples in [0, 1] may lie above the expectation.

    The smaller of Hoeffding's bound and the empirical Bernstein bound (Maurer and Pontil, COLT 2009, theorem 4), each
    at half of `alpha`, so that choosing costs nothing more. The same margin holds below, with a chance of its own.

    Args:
        variance: Unbiased sample variances `[...]`.
        trials: Number of independent samples.
        alpha: Chance of error of this one side, in (0, 1).
    """
    hoeffding = math.sqrt(math.log(2 / alpha) / (2 * trials))
    if trials < 2:
        return torch.full_like(variance, hoeffding)
    level = math.log(4 / alpha)
    return ((2 * level * variance / trials).sqrt() + 7 * level / (3 * (trials - 1))).clamp_max(hoeffding)


def carried(probability: Tensor, shift: float) -> Tensor:
    """Return `Phi(Phi^-1(p) + shift)` in float64, `[...] -> [...]`.

    For `g(x) = E F(x + N(0, sigma^2 I))` with F in [0, 1], `Phi^-1(g)` changes by `r / sigma` at most within an L2
    distance of r (Salman et al., NeurIPS 2019, lemma 2): so a shift of `-+ r / sigma` turns bounds at x into bounds at
    every point that near.
    """
    moved: Tensor = torch.special.ndtr(torch.special.ndtri(probability.double()) + shift)
    return moved


def check_radius(radius: float) -> None:
    """Raise `InputError` unless `radius` is a finite number of 0 or more."""
    if not 0 <= radius < math.inf:
        raise InputError(f"radius is {radius!r}", "give an L2 radius in pixel units, 0 or more")
