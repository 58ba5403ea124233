"""Numbers over seeds: means with t intervals, and differences paired by seed with their tests."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

# 2^16 sign flips are all there are of 16 pairs; of more, as many are drawn.
_EXACT = 16


def spread(values: Sequence[float], confidence: float = 0.95) -> dict[str, Any]:
    """Return the mean, the standard deviation and the t interval of the mean; None where one value is too few.

    >>> spread([1.0, 2.0, 3.0])["interval"]
    [-0.4841..., 4.4841...]
    """
    from scipy.stats import t

    count, mean = len(values), statistics.fmean(values)
    if count < 2:
        return {"n": count, "mean": mean, "sd": None, "interval": None}
    sd = statistics.stdev(values)
    half = float(t.ppf((1 + confidence) / 2, count - 1)) * sd / math.sqrt(count)
    return {"n": count, "mean": mean, "sd": sd, "interval": [mean - half, mean + half]}


def told(found: Mapping[str, Any], *, scale: float = 1.0, digits: int = 2) -> str:
    """Return a `spread` as text: the mean, and the standard deviation where there is one.

    >>> told(spread([0.25, 0.75]), scale=100)
    '50.00 ± 35.36'
    >>> told(spread([0.25]))
    '0.25'
    """
    sd = "" if found["sd"] is None else f" ± {scale * found['sd']:.{digits}f}"
    return f"{scale * found['mean']:.{digits}f}{sd}"


def paired(values: Mapping[int, float], base: Mapping[int, float]) -> dict[str, Any] | None:
    """Return the mean difference `values - base` over the seeds that both have, its interval and two tests.

    Args:
        values: A number for each seed.
        base: Those of the baseline.

    Returns:
        `seeds`, `difference`, `sd`, `interval`, `t` and `p` of the paired t-test, `p_sign_flip` of the exact two-sided
        test that flips the signs of the differences (never below `2 / 2^n`); None without a common seed.

    >>> paired({0: 0.5, 1: 0.75, 2: 0.5}, {0: 0.25, 1: 0.25, 2: 0.5})["difference"]
    0.25
    """
    seeds = sorted(values.keys() & base.keys())
    if not seeds:
        return None
    differences = [values[seed] - base[seed] for seed in seeds]
    found = spread(differences)
    t, p = _t_test(found)
    return {
        "seeds": seeds,
        "difference": found["mean"],
        "sd": found["sd"],
        "interval": found["interval"],
        "t": t,
        "p": p,
        "p_sign_flip": sign_flip(differences),
    }


def sign_flip(differences: Sequence[float]) -> float:
    """Return the two-sided p of the mean difference when every difference might as well have the other sign.

    >>> sign_flip([1.0, 2.0, 3.0])
    0.25
    """
    import numpy as np

    count = len(differences)
    if count <= _EXACT:
        signs = np.array(list(itertools.product((1, -1), repeat=count)))
    else:
        signs = np.random.default_rng(0).choice((1, -1), (2**_EXACT, count))
        # What was seen is one of the possible cases.
        signs[0] = 1
    sums = np.abs(signs @ np.asarray(differences))
    # Equal but for rounding is as extreme.
    return float((sums >= sums[0] - 1e-12 * max(1.0, sums[0])).mean())


def _t_test(found: Mapping[str, Any]) -> tuple[float | None, float | None]:
    from scipy.stats import t as student

    # Differences that are equal but for rounding have no spread to test with.
    if found["sd"] is None or found["sd"] <= 1e-12 * max(1.0, abs(found["mean"])):
        return None, None
    t = found["mean"] / (found["sd"] / math.sqrt(found["n"]))
    return t, float(2 * student.sf(abs(t), found["n"] - 1))
