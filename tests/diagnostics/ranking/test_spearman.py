"""Rank correlation against enumeration by hand and against scipy."""

from itertools import permutations
from math import isnan

import numpy as np
import pytest
from scipy.stats import spearmanr

from robustill.diagnostics.ranking import partial_spearman, permutation_p, spearman

TIED = [([1, 2, 2, 3], [4, 1, 1, 0]), ([0.5, 0.5, 0.5, 1, 2], [3, 3, 1, 2, 2]), ([5, 1, 3, 2, 4], [1, 2, 3, 4, 5])]


@pytest.mark.parametrize(("a", "b"), TIED)
def test_against_scipy(a: list[float], b: list[float]) -> None:
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_random_ones_against_scipy() -> None:
    draws = np.random.default_rng(0)
    for n in range(3, 30):
        a, b = draws.integers(0, 6, n), draws.integers(0, 6, n)
        if len(set(a)) > 1 and len(set(b)) > 1:
            assert spearman(a.tolist(), b.tolist()) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_a_constant_has_no_correlation() -> None:
    assert isnan(spearman([1, 1, 1], [1, 2, 3]))


def by_hand(a: list[float], b: list[float]) -> float:
    observed = abs(spearmanr(a, b).statistic)
    every = [abs(spearmanr(a, [b[k] for k in order]).statistic) for order in permutations(range(len(b)))]
    return sum(each >= observed - 1e-9 for each in every) / len(every)


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [([1, 2, 3, 4], [10, 20, 30, 40], 2 / 24), ([1, 2, 3, 4], [20, 10, 30, 40], 8 / 24), ([1, 2, 3], [1, 2, 3], 2 / 6)],
)
def test_exact_p_of_few_points(a: list[float], b: list[float], p: float) -> None:
    found, count, exact = permutation_p(a, b)
    assert found == pytest.approx(p)
    assert (count, exact) == (24 if len(a) == 4 else 6, True)
    assert found == pytest.approx(by_hand(a, b))


@pytest.mark.parametrize(("a", "b"), TIED)
def test_exact_p_with_ties(a: list[float], b: list[float]) -> None:
    assert permutation_p(a, b)[0] == pytest.approx(by_hand(a, b))


def test_five_points_in_order() -> None:
    assert permutation_p([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])[0] == pytest.approx(2 / 120)


def test_beyond_nine_points_permutations_are_drawn() -> None:
    a, b = list(range(10)), [0, 2, 1, 4, 3, 5, 9, 6, 8, 7]
    p, count, exact = permutation_p(a, b, draws=20_000)
    assert (count, exact) == (20_000, False)
    assert permutation_p(a, b, draws=20_000)[0] == p
    assert permutation_p(a[:9], [*range(8), 8])[2] is True
    noisy = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]
    # The t approximation is good enough for ten points in the middle of the range.
    assert permutation_p(a, noisy, draws=20_000)[0] == pytest.approx(spearmanr(a, noisy).pvalue, abs=0.03)
    assert permutation_p(a, a, draws=100)[0] == pytest.approx(1 / 101)


def test_partial_correlation_is_that_of_the_residuals() -> None:
    draws = np.random.default_rng(1)
    c = draws.normal(size=12)
    a, b = c + draws.normal(size=12), c + draws.normal(size=12)
    ranks = [np.argsort(np.argsort(each)).astype(float) for each in (a, b, c)]
    design = np.stack([np.ones(12), ranks[2]], 1)
    left, right = (r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in ranks[:2])
    expected = float(np.corrcoef(left, right)[0, 1])
    assert partial_spearman(a.tolist(), b.tolist(), c.tolist()) == pytest.approx(expected)
    assert isnan(partial_spearman(a.tolist(), b.tolist(), a.tolist()))
