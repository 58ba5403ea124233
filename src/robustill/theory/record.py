"""A simulation as JSON: its runs, their curves, and what the sweep of teachers says of entropy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from robustill.theory.outcome import Outcome
from robustill.theory.settings import Settings
from robustill.theory.teachers import SATURATED

CAVEAT = (
    "the adversary of training moves only the signal's coordinate, that of the test all: this shows robust overfitting "
    "under a mismatch of threat models, not of PGD adversarial training"
)
_DIGITS = 6


def record(
    grid: Sequence[Outcome], swept: Sequence[Outcome], settings: Settings, seconds: float | None = None
) -> dict[str, Any]:
    """Return the content of `simulation.json`.

    Args:
        grid: Runs of the dynamics.
        swept: Runs of the sweep of teachers; may repeat some of `grid`.
        settings: What they were run with.
        seconds: How long it took.

    >>> from robustill.theory import Case, Settings, Teacher, simulate
    >>> settings = Settings(dimension=10, train=8, test=8, filters=4, steps=2, attack_steps=2, evaluate_every=1)
    >>> cases = [Case(Teacher(name, unlearnable=logit), 0.25, 0) for name, logit in (("unsure", 0.0), ("sure", 10.0))]
    >>> outcomes = simulate(cases, settings, workers=1, progress=False)
    >>> record(outcomes, [], settings)["grid"]
    {'teachers': ['unsure', 'sure'], 'p_unlearnable': [0.25]}
    """
    known = {each.case for each in grid}
    outcomes = [*grid, *(each for each in swept if each.case not in known)]
    return {
        "schema": 1,
        "caveat": CAVEAT,
        "settings": asdict(settings),
        "grid": {
            "teachers": _unique(each.case.teacher.name for each in grid),
            "p_unlearnable": _unique(each.case.p_unlearnable for each in grid),
        },
        "sweep": _sweep(swept) if swept else None,
        "seconds": seconds,
        "runs": [_rounded(each.to_json()) for each in outcomes],
        "curves": [_curves(each) for each in outcomes],
    }


def rank_correlations(swept: Sequence[Outcome]) -> dict[str, float | None]:
    """Return Spearman's coefficient of a teacher's entropy with the final robust accuracy, a point per run.

    `entropy` is that on the unlearnable samples, over the teachers that are sure of the learnable ones and on the right
    side of the unlearnable; `entropy_with_wrong` adds those on the wrong side, `entropy_with_all` also those that know
    little of any sample, and `contrast_with_all` takes the entropy on the unlearnable less that on the learnable ones.
    None where there are fewer than three points or no two different ones.

    >>> from robustill.theory import Case, Settings, Teacher, simulate
    >>> settings = Settings(dimension=10, train=8, test=8, filters=4, steps=2, attack_steps=2, evaluate_every=1)
    >>> cases = [Case(Teacher(name, unlearnable=logit), 0.25, 0) for name, logit in (("unsure", 0.0), ("sure", 10.0))]
    >>> outcomes = simulate(cases, settings, workers=1, progress=False)
    >>> list(rank_correlations(outcomes))
    ['entropy', 'entropy_with_wrong', 'entropy_with_all', 'contrast_with_all']
    """
    sure = [each for each in swept if each.case.teacher.learnable >= SATURATED]
    right = [each for each in sure if each.case.teacher.unlearnable >= 0]
    return {
        "entropy": _spearman(right),
        "entropy_with_wrong": _spearman(sure),
        "entropy_with_all": _spearman(swept),
        "contrast_with_all": _spearman(swept, contrast=True),
    }


def _sweep(swept: Sequence[Outcome]) -> dict[str, Any]:
    return {
        "teachers": _unique(each.case.teacher.name for each in swept),
        "p_unlearnable": swept[0].case.p_unlearnable,
        "spearman": rank_correlations(swept),
    }


def _spearman(outcomes: Sequence[Outcome], contrast: bool = False) -> float | None:
    from scipy.stats import spearmanr

    teachers = [each.case.teacher for each in outcomes]
    scores = [t.entropy_unlearnable - (t.entropy_learnable if contrast else 0.0) for t in teachers]
    finals = [each.final for each in outcomes]
    if len(finals) < 3 or len(set(scores)) < 2 or len(set(finals)) < 2:
        return None
    return round(float(spearmanr(scores, finals).statistic), _DIGITS)


def _curves(outcome: Outcome) -> dict[str, Any]:
    case = outcome.case
    head = {"teacher": case.teacher.name, "p_unlearnable": case.p_unlearnable, "seed": case.seed}
    return {**head, "steps": outcome.steps, **{name: list(map(_round, v)) for name, v in outcome.curves.items()}}


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {key: _round(value) for key, value in values.items()}


def _round(value: Any) -> Any:
    return round(value, _DIGITS) if isinstance(value, float) else value


def _unique(values: Any) -> list[Any]:
    return list(dict.fromkeys(values))
