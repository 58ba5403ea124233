"""Means, intervals and tests over seeds, against numbers worked out by hand."""

import math

import pytest
from scipy.stats import ttest_rel

from robustill.study import paired, spread
from robustill.study.spread import sign_flip


def test_mean_deviation_and_interval() -> None:
    found = spread([0.50, 0.53, 0.56])
    # t(0.975, 2) = 4.302653; sd = 0.03; half = 4.302653 * 0.03 / sqrt(3) = 0.0745241.
    assert found["n"] == 3
    assert found["mean"] == pytest.approx(0.53)
    assert found["sd"] == pytest.approx(0.03)
    assert found["interval"] == pytest.approx([0.53 - 0.0745241, 0.53 + 0.0745241], abs=1e-6)
    assert spread([0.5]) == {"n": 1, "mean": 0.5, "sd": None, "interval": None}


def test_differences_are_paired_by_seed() -> None:
    values, base = {0: 0.52, 1: 0.61, 2: 0.70, 9: 0.0}, {2: 0.66, 0: 0.50, 1: 0.58, 5: 1.0}
    found = paired(values, base)
    assert found is not None
    # Differences 0.02, 0.03, 0.04: mean 0.03, sd 0.01, t = 0.03 / (0.01 / sqrt 3) = 5.19615.
    assert found["seeds"] == [0, 1, 2]
    assert found["difference"] == pytest.approx(0.03)
    assert found["sd"] == pytest.approx(0.01)
    assert found["t"] == pytest.approx(3 * math.sqrt(3))
    # For two degrees of freedom, P(|T| > t) = 1 - t / sqrt(t^2 + 2).
    assert found["p"] == pytest.approx(1 - found["t"] / math.sqrt(found["t"] ** 2 + 2))
    assert found["p"] == pytest.approx(ttest_rel([0.52, 0.61, 0.70], [0.50, 0.58, 0.66]).pvalue)
    assert found["interval"] == pytest.approx([0.03 - 0.0248414, 0.03 + 0.0248414], abs=1e-6)
    assert found["p_sign_flip"] == 2 / 8
    assert paired({0: 1.0}, {1: 1.0}) is None


def test_one_seed_and_equal_runs_have_no_t() -> None:
    one = paired({0: 0.6}, {0: 0.5})
    assert one is not None
    assert (one["interval"], one["t"], one["p"], one["p_sign_flip"]) == (None, None, None, 1.0)
    same = paired({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6})
    assert same is not None
    assert (same["difference"], same["p"], same["p_sign_flip"]) == (0.0, None, 1.0)


def test_all_sign_flips_are_counted() -> None:
    # Sums of +-1 +-2 +-4 are all different; |1 + 2 - 4| = 1 is exceeded or met by all 8.
    assert sign_flip([1, 2, -4]) == 1.0
    assert sign_flip([1, 1, 1, 1, 1]) == 2 / 32
    # |1 + 1 + 1 - 1| = 2: 2 cases give 4, 8 give 2, 6 give 0.
    assert sign_flip([1, 1, 1, -1]) == 10 / 16
    assert sign_flip([0.1 + 0.2, -0.3]) == 1.0
    many = sign_flip([1.0] * 15 + [-1.0] * 5)
    # Binomial(20, 1/2): P(at least 15 of one sign) = 2 * 21700 / 2^20.
    assert many == pytest.approx(2 * 21700 / 2**20, abs=3e-3)
    assert many == sign_flip([1.0] * 15 + [-1.0] * 5)


def test_differences_that_are_equal_but_for_rounding_have_no_t_test() -> None:
    found = paired({0: 0.3, 1: 0.8}, {0: 0.2, 1: 0.7})
    assert found is not None
    assert found["difference"] == pytest.approx(0.1)
    assert (found["t"], found["p"], found["p_sign_flip"]) == (None, None, 0.5)
