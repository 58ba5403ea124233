"""Teachers that are no independent points: families of them, and a bootstrap that draws whole families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, isnan

import numpy as np

from robustill.diagnostics.ranking.spearman import spearman

Families = Sequence[Sequence[str]]


def grouped(names: Sequence[str], families: Mapping[str, str] | None) -> list[list[str]]:
    """Return the teachers family by family; one without a family is one of its own."""
    found: dict[str, list[str]] = {}
    for name in names:
        key = f"family {families[name]}" if families and name in families else f"own {name}"
        found.setdefault(key, []).append(name)
    return list(found.values())


def of_families(values: Mapping[str, float], families: Families) -> dict[str, float]:
    """Return each family's mean under the name of its first teacher."""
    return {family[0]: fsum(values[name] for name in family) / len(family) for family in families}


def drawn_interval(
    scores: Mapping[str, float],
    outcomes: Mapping[str, float | Sequence[float]],
    families: Families,
    resamples: int,
    seed: int,
    *,
    of_means: bool = False,
) -> tuple[float, float] | None:
    """Return the 95% percentile interval of Spearman's coefficient; None where most draws have none.

    Args:
        scores: By teacher.
        outcomes: By teacher, one or one per seed.
        families: Drawn with replacement, all teachers of one together; then the seeds of each teacher.
        resamples: Draws.
        seed: Of the draws.
        of_means: A drawn family is one point, the mean of its teachers, and not one point per teacher.
    """
    rng, found = np.random.default_rng(seed), []
    for _ in range(resamples):
        chosen = [families[k] for k in rng.integers(len(families), size=len(families))]
        points = [[(scores[name], _drawn(outcomes[name], rng)) for name in family] for family in chosen]
        if of_means:
            points = [[(float(x), float(y))] for x, y in (np.mean(family, axis=0) for family in points)]
        rho = spearman(*zip(*(point for family in points for point in family), strict=True))
        if not isnan(rho):
            found.append(rho)
    if len(found) < resamples / 2:
        return None
    low, high = np.quantile(found, [0.025, 0.975]).tolist()
    return low, high


def _drawn(outcome: float | Sequence[float], rng: np.random.Generator) -> float:
    values = np.atleast_1d(outcome)
    return float(rng.choice(values, size=len(values)).mean())
