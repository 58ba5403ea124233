"""Does a ranking of teachers predict what their students become: correlation, regret, and what else would have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, isfinite, isnan
from typing import Any

import numpy as np

from robustill.diagnostics.ranking.families import drawn_interval, grouped, of_families
from robustill.diagnostics.ranking.spearman import partial_spearman, permutation_p, spearman
from robustill.errors import InputError, nearest

Outcome = float | Sequence[float]


@dataclass(frozen=True)
class Correlation:
    """Of one score with the outcomes; numbers are None where they are not defined.

    Args:
        teachers: How many have the score.
        rho: Spearman's coefficient.
        p: Its two-sided permutation p-value.
        permutations: How many orders were counted.
        exact: Whether these are all.
        regret: Best outcome of any teacher less that of the teacher that the ranking puts first; where no ranking does,
            that of the highest score (the mean, if several).
    """

    teachers: int
    rho: float | None
    p: float | None
    permutations: int
    exact: bool
    regret: float | None


@dataclass(frozen=True)
class RankingValidation:
    """How well a ranking predicts.

    Args:
        score: The ranking's own correlation.
        interval: 95% bootstrap interval of rho over teachers (or families), and over the seeds of each.
        partial: Rho given the teachers' robust accuracy.
        leave_one_out: Lowest and highest rho without one of the teachers (or families).
        families: The correlation of the means of families, where some were given: teachers of one family (checkpoints
            of a run, temperatures of a network) are no independent points.
        families_interval: 95% bootstrap interval of that one, over families and over the seeds of each teacher.
        dropped: Teachers that have an outcome and no score: they failed a gate. They count for the regret.
        baselines: The same correlation of what else one might rank by, on all teachers.
        notes: What to keep in mind.

    >>> outcomes = {name: [value, value + 0.01] for name, value in (("a", 0.5), ("b", 0.6), ("c", 0.7), ("d", 0.8))}
    >>> found = validate_ranking({"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}, outcomes, resamples=50)
    >>> found.score.rho, found.partial
    (-1.0, None)
    """

    score: Correlation
    interval: tuple[float, float] | None
    partial: float | None
    leave_one_out: tuple[float, float] | None
    families: Correlation | None
    families_interval: tuple[float, float] | None
    dropped: tuple[str, ...]
    baselines: dict[str, Correlation] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain containers."""
        return {
            "schema": 1,
            **vars(self.score),
            "interval": None if self.interval is None else list(self.interval),
            "partial_given_robust_accuracy": self.partial,
            "leave_one_out": None if self.leave_one_out is None else list(self.leave_one_out),
            "families": None if self.families is None else vars(self.families),
            "families_interval": None if self.families_interval is None else list(self.families_interval),
            "dropped": list(self.dropped),
            "baselines": {name: vars(each) for name, each in self.baselines.items()},
            "notes": list(self.notes),
        }


def validate_ranking(
    scores: Mapping[str, float | None],
    outcomes: Mapping[str, Outcome],
    *,
    baselines: Mapping[str, Mapping[str, float | None]] | None = None,
    robust_accuracy: Mapping[str, float | None] | None = None,
    families: Mapping[str, str] | None = None,
    first: str | None = None,
    larger_is_better: bool = True,
    resamples: int = 2000,
    draws: int = 100_000,
    seed: int = 0,
) -> RankingValidation:
    """Compare scores of teachers with what their students became.

    Args:
        scores: By teacher, larger promises more; None: it was not ranked.
        outcomes: By teacher: its student's robust accuracy, or one per seed. Report the last epoch's first; gaps
            between best and last with `larger_is_better=False`.
        baselines: Other scores by name, each by teacher (`Ranking.baselines()`).
        robust_accuracy: Of the teachers, for the partial correlation; `baselines["robust_accuracy"]` when None.
        families: By teacher, the family that it belongs to.
        first: The teacher that the ranking puts first, `ranking.ranked[0].name`: of tied ones not always the one with
            the highest score, which it is when None. Decides the regret of the score; families and baselines go by
            their highest.
        larger_is_better: Of the outcomes; decides the regret.
        resamples: Bootstrap draws.
        draws: Permutations for more than nine teachers.
        seed: Of both.

    Raises:
        InputError: Fewer than three teachers have both, an outcome is missing, a number is not finite, or `first` has
            no score.

    >>> outcomes = {"a": [0.5, 0.52], "b": [0.6, 0.61], "c": [0.7, 0.69], "d": [0.8, 0.81]}
    >>> found = validate_ranking({"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}, outcomes, resamples=50)
    >>> found.score.rho
    1.0
    """
    means = {name: _mean(name, each) for name, each in outcomes.items()}
    ranked = _ranked(scores, means, first)
    for name, table in (*(baselines or {}).items(), ("robust accuracy", robust_accuracy or {})):
        _check_finite(name, table)
    sign = 1.0 if larger_is_better else -1.0
    blocks = grouped(list(ranked), families)
    given = robust_accuracy if robust_accuracy is not None else (baselines or {}).get("robust_accuracy")
    return RankingValidation(
        score=_correlation(ranked, means, sign, draws, seed, first),
        interval=drawn_interval(ranked, outcomes, blocks, resamples, seed),
        partial=_partial(ranked, means, given),
        leave_one_out=_without_one(ranked, means, blocks),
        families=_correlation(of_families(ranked, blocks), of_families(means, blocks), sign, draws, seed)
        if families else None,
        families_interval=drawn_interval(ranked, outcomes, blocks, resamples, seed, of_means=True)
        if families else None,
        dropped=tuple(name for name in means if name not in ranked),
        baselines={name: _correlation(_known(table, means), means, sign, draws, seed)
                   for name, table in (baselines or {}).items()},
        notes=_notes(len(ranked), len(blocks)),
    )  # fmt: skip


def _ranked(scores: Mapping[str, float | None], means: Mapping[str, float], first: str | None) -> dict[str, float]:
    """Return the scores of the teachers that have one."""
    for name in scores:
        if name not in means:
            raise InputError(f"teacher {name!r} has a score but no outcome", "leave it out, or give its student's")
    ranked = {name: value for name, value in scores.items() if value is not None}
    if len(ranked) < 3:
        raise InputError(f"{len(ranked)} teachers have a score; a rank correlation needs 3", "6 or more for a finding")
    _check_finite("score", ranked)
    if first is not None and first not in ranked:
        raise InputError(f"{first!r} is to be first, but has no score", nearest(first, ranked))
    return ranked


def _known(scores: Mapping[str, float | None], means: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in scores.items() if value is not None and name in means}


def _correlation(
    scores: Mapping[str, float],
    means: Mapping[str, float],
    sign: float,
    draws: int,
    seed: int,
    first: str | None = None,
) -> Correlation:
    a, b = list(scores.values()), [means[name] for name in scores]
    rho = _none(spearman(a, b)) if len(a) > 1 else None
    p, count, exact = permutation_p(a, b, draws=draws, seed=seed) if rho is not None else (None, 0, True)
    regret = None
    if a:
        best = max(sign * value for value in means.values())
        chosen = [name for name, value in scores.items() if value == max(a)] if first is None else [first]
        regret = best - sum(sign * means[name] for name in chosen) / len(chosen)
    return Correlation(len(a), rho, p, count, exact, regret)


def _partial(
    scores: Mapping[str, float], means: Mapping[str, float], given: Mapping[str, float | None] | None
) -> float | None:
    known = {name: value for name, value in (given or {}).items() if value is not None and name in scores}
    if len(known) < 4:
        return None
    names = list(known)
    return _none(partial_spearman([scores[n] for n in names], [means[n] for n in names], list(known.values())))


def _without_one(
    scores: Mapping[str, float], means: Mapping[str, float], blocks: Sequence[Sequence[str]]
) -> tuple[float, float] | None:
    found = []
    for block in blocks:
        names = [name for name in scores if name not in block]
        rho = spearman([scores[n] for n in names], [means[n] for n in names]) if len(names) > 2 else float("nan")
        if not isnan(rho):
            found.append(rho)
    return (min(found), max(found)) if found else None


def _notes(teachers: int, blocks: int) -> tuple[str, ...]:
    independent = min(teachers, blocks)
    notes = []
    if independent < 5:
        notes.append(f"with {independent} independent teachers no order is significant at 5%, two-sided")
    elif independent < 8:
        notes.append(f"{independent} independent teachers: few; aim at 8 to 12")
    return tuple(notes)


def _mean(name: str, outcome: Outcome) -> float:
    values = np.atleast_1d(np.asarray(outcome, dtype=np.float64))
    if values.ndim != 1 or not len(values) or not bool(np.isfinite(values).all()):
        raise InputError(f"the outcome of teacher {name!r} is {outcome!r}", "give a number, or one per seed")
    # Exactly summed, so that equal outcomes in another order of seeds are tied.
    return fsum(values) / len(values)


def _check_finite(what: str, scores: Mapping[str, float | None]) -> None:
    for name, value in scores.items():
        if value is not None and not isfinite(value):
            raise InputError(f"the {what} of teacher {name!r} is {value!r}", "leave it out: None")


def _none(value: float) -> float | None:
    return None if isnan(value) else value
