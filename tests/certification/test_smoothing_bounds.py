"""Confidence bounds: coverage by enumeration of every outcome, and the lemma against integrals."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from robustill.certification.smoothing_bounds import binomial_high, binomial_low, carried, mean_margin
from robustill.errors import InputError


def chances(n: int, p: float) -> Tensor:
    """Return the probability of each number of successes, `[n + 1]`."""
    return torch.tensor([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)], dtype=torch.float64)


@pytest.mark.parametrize("n", [1, 7, 30])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.3])
def test_clopper_pearson_covers_for_every_probability(n: int, alpha: float) -> None:
    successes = torch.arange(n + 1)
    low, high = binomial_low(successes, n, alpha), binomial_high(successes, n, alpha)
    for p in np.linspace(0.005, 0.995, 100):
        assert float(chances(n, p)[low > p].sum()) <= alpha + 1e-12
        assert float(chances(n, p)[high < p].sum()) <= alpha + 1e-12
    # It is the tightest of its kind: at the bound itself the chance of so many successes is alpha.
    for k in range(1, n + 1):
        assert float(chances(n, float(low[k]))[k:].sum()) == pytest.approx(alpha, rel=1e-9)
        assert float(chances(n, float(high[n - k]))[: n - k + 1].sum()) == pytest.approx(alpha, rel=1e-9)
    assert float(low[0]) == 0
    assert float(high[n]) == 1


@pytest.mark.parametrize("n", [2, 20, 400])
@pytest.mark.parametrize("alpha", [0.01, 0.2])
def test_means_of_coin_flips_are_covered(n: int, alpha: float) -> None:
    mean = torch.arange(n + 1, dtype=torch.float64) / n
    margin = mean_margin(mean * (1 - mean) * n / (n - 1), n, alpha)
    for p in np.linspace(0.01, 0.99, 99):
        assert float(chances(n, p)[mean - margin > p].sum()) <= alpha
        assert float(chances(n, p)[mean + margin < p].sum()) <= alpha


def test_margins_are_the_tighter_of_both_forms() -> None:
    n, alpha = 10_000, 0.002
    none, most = mean_margin(torch.tensor([0.0, 0.25], dtype=torch.float64), n, alpha)
    # ln 2000 = 7.6009, ln 1000 = 6.9078
    assert float(none) == pytest.approx(7 * math.log(2000) / (3 * 9999))
    assert float(most) == pytest.approx(math.sqrt(math.log(1000) / 20_000))
    assert float(mean_margin(torch.zeros(1), 1, alpha)) == pytest.approx(math.sqrt(math.log(1000) / 2))


def smoothed(f: np.ufunc, at: float, sigma: float) -> float:
    """Return `E f(at + N(0, sigma^2))` by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    return float(weights @ f(at + sigma * nodes) / math.sqrt(2 * math.pi))


@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_the_lemma_bounds_integrals_at_shifted_points(sigma: float) -> None:
    functions = [lambda t: 0.5 + 0.5 * np.sin(3 * t), lambda t: 1 / (1 + np.exp(-2 * t)), lambda t: np.exp(-(t**2))]
    for f in functions:
        for at in (-0.7, 0.0, 0.4):
            here = torch.tensor(smoothed(f, at, sigma), dtype=torch.float64)
            for r in (0.1, 0.5, 1.2):
                low, high = float(carried(here, -r / sigma)), float(carried(here, r / sigma))
                there = [smoothed(f, at + step, sigma) for step in np.linspace(-r, r, 21)]
                assert low - 1e-9 <= min(there)
                assert max(there) <= high + 1e-9


def test_the_lemma_is_exact_for_a_half_space() -> None:
    at = torch.linspace(-2, 2, 9, dtype=torch.float64)
    g = torch.special.ndtr(at / 0.5)
    torch.testing.assert_close(carried(g, 0.3 / 0.5), torch.special.ndtr((at + 0.3) / 0.5))
    ends = torch.tensor([0.0, 1.0])
    assert carried(ends, 3.0).tolist() == carried(ends, -3.0).tolist() == [0, 1]


def test_a_wrong_radius() -> None:
    from robustill.certification.smoothing_bounds import check_radius

    for radius in (-0.1, math.inf, math.nan):
        with pytest.raises(InputError, match="radius is"):
            check_radius(radius)
