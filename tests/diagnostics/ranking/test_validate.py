"""What a ranking is worth, on outcomes written by hand."""

import json
from typing import Any

import pytest

from robustill.diagnostics.ranking import RankingValidation, spearman, validate_ranking
from robustill.errors import InputError

SCORES: dict[str, float | None] = {"a": 0.1, "b": 0.4, "c": 0.2, "d": 0.9, "e": 0.5, "f": 0.7}
OUTCOMES = {"a": 0.30, "b": 0.41, "c": 0.38, "d": 0.46, "e": 0.40, "f": 0.48}


def checked(*scores_and_outcomes: Any, **changes: Any) -> RankingValidation:
    return validate_ranking(*scores_and_outcomes, **{"resamples": 200, **changes})


def test_correlation_and_its_p() -> None:
    found = checked(SCORES, OUTCOMES)
    expected = spearman([s for s in SCORES.values() if s is not None], list(OUTCOMES.values()))
    assert found.score.rho == pytest.approx(expected)
    assert found.score.rho == pytest.approx(1 - 6 * 4 / (6 * 35))
    assert (found.score.exact, found.score.permutations, found.score.teachers) == (True, 720, 6)
    assert found.score.p is not None
    assert 2 / 720 <= found.score.p < 0.05
    assert found.interval is not None
    assert found.interval[0] < expected <= found.interval[1] <= 1


def test_regret_is_what_the_best_student_has_more() -> None:
    assert checked(SCORES, OUTCOMES).score.regret == pytest.approx(0.48 - 0.46)
    assert checked(SCORES, OUTCOMES, larger_is_better=False).score.regret == pytest.approx(0.46 - 0.30)
    best_first: dict[str, float | None] = {**SCORES, "f": 1.0}
    assert checked(best_first, OUTCOMES).score.regret == 0
    two_first: dict[str, float | None] = {**SCORES, "f": 0.9}
    assert checked(two_first, OUTCOMES).score.regret == pytest.approx(0.01)


def test_regret_is_of_the_teacher_that_the_ranking_puts_first() -> None:
    # Tied ones go by their robust accuracy, so the first need not have the highest score.
    found = checked(SCORES, OUTCOMES, first="e", families={"d": "x", "f": "x"})
    assert found.score.regret == pytest.approx(0.48 - 0.40)
    assert found.families is not None
    assert found.families.regret == pytest.approx(0), "families go by the mean of their scores"
    assert found.score.rho == checked(SCORES, OUTCOMES).score.rho
    assert checked(SCORES, OUTCOMES, first="e", larger_is_better=False).score.regret == pytest.approx(0.40 - 0.30)
    baseline = checked(SCORES, OUTCOMES, first="e", baselines={"itself": SCORES}).baselines["itself"]
    assert baseline.regret == pytest.approx(0.48 - 0.46), "a baseline has no ranking"
    for bad in ("g", "a"):
        with pytest.raises(InputError, match=f"'{bad}' is to be first, but has no score"):
            checked({**SCORES, "a": None}, OUTCOMES, first=bad)


def test_a_dropped_teacher_counts_for_the_regret_but_not_for_the_correlation() -> None:
    gated: dict[str, float | None] = {**SCORES, "f": None}
    found = checked(gated, OUTCOMES)
    assert (found.dropped, found.score.teachers) == (("f",), 5)
    assert found.score.regret == pytest.approx(0.48 - 0.46)
    assert found.score.rho == pytest.approx(spearman([0.1, 0.4, 0.2, 0.9, 0.5], [0.30, 0.41, 0.38, 0.46, 0.40]))


def test_leave_one_out() -> None:
    found = checked(SCORES, OUTCOMES)
    every = []
    for left in SCORES:
        names = [name for name in SCORES if name != left]
        every.append(spearman([SCORES[n] or 0.0 for n in names], [OUTCOMES[n] for n in names]))
    assert found.leave_one_out == (pytest.approx(min(every)), pytest.approx(max(every)))


def test_baselines_and_partial_correlation() -> None:
    baselines = {"robust_accuracy": dict(OUTCOMES), "constant": dict.fromkeys(OUTCOMES, 1.0), "none": {"a": None}}
    found = checked(SCORES, OUTCOMES, baselines=baselines)  # type: ignore[arg-type]
    assert found.baselines["robust_accuracy"].rho == pytest.approx(1)
    assert found.baselines["robust_accuracy"].regret == 0
    assert found.baselines["constant"].rho is None
    assert found.baselines["constant"].p is None
    assert found.baselines["none"].regret is None
    assert found.partial is None, "given the outcome itself, nothing is left"
    other = {"a": 0.5, "b": 0.1, "c": 0.6, "d": 0.2, "e": 0.4, "f": 0.3}
    given = checked(SCORES, OUTCOMES, robust_accuracy=other)
    assert given.partial is not None
    assert given.partial != pytest.approx(given.score.rho)


def test_seeds_widen_the_interval() -> None:
    scores = {str(k): float(k) for k in range(8)}
    narrow = checked(scores, {name: [s, s] for name, s in scores.items()})
    wide = checked(scores, {name: [s - 4, s + 4] for name, s in scores.items()})
    assert narrow.score.rho == wide.score.rho == pytest.approx(1)
    assert narrow.interval is not None
    assert wide.interval is not None
    assert narrow.interval[0] == pytest.approx(1)
    assert wide.interval[0] < 0.9


def test_families_are_one_point_each() -> None:
    # Within a family the scores are right, between families they are of no use.
    scores = {f"{f}{k}": 10.0 * (f == "y") + k for f in "xyz" for k in range(3)}
    outcomes = {f"{f}{k}": 10.0 * (f == "z") + k for f in "xyz" for k in range(3)}
    families = {name: name[0] for name in scores}
    alone, together = checked(scores, outcomes), checked(scores, outcomes, families=families)
    assert alone.families is None
    assert together.families is not None
    assert (together.families.teachers, together.families.permutations) == (3, 6)
    assert together.families.rho == pytest.approx(spearman([1, 11, 1], [1, 1, 11]))
    assert alone.interval is not None
    assert together.interval is not None
    assert together.interval[1] - together.interval[0] > alone.interval[1] - alone.interval[0]
    assert any("3 independent" in note for note in together.notes)
    assert together.leave_one_out is not None
    assert together.leave_one_out != alone.leave_one_out
    assert alone.families_interval is None


def test_the_interval_of_families_is_that_of_their_means() -> None:
    # Within a family the order is wrong, between families right: means agree in every draw, teachers never do.
    scores = {f"{f}{k}": 10.0 * "uvwxyz".index(f) - k for f in "uvwxyz" for k in range(3)}
    outcomes = {f"{f}{k}": 10.0 * "uvwxyz".index(f) + k for f in "uvwxyz" for k in range(3)}
    found = checked(scores, outcomes, families={name: name[0] for name in scores})
    assert found.families is not None
    assert (found.families.rho, found.families_interval) == (pytest.approx(1), (pytest.approx(1), pytest.approx(1)))
    assert found.interval is not None
    assert found.interval[1] < 1
    noisy = {name: [value - 20, value + 20] for name, value in outcomes.items()}
    wider = checked(scores, noisy, families={name: name[0] for name in scores})
    assert wider.families_interval is not None
    assert wider.families_interval[0] < 0.95


def test_families_of_one_have_the_interval_of_teachers() -> None:
    found = checked(SCORES, OUTCOMES, families={name: f"only {name}" for name in SCORES})
    assert found.families_interval == found.interval


def test_equal_outcomes_are_tied_in_any_order() -> None:
    # Summed in turn, the first three make 0.6000000000000001 and the others 0.6.
    seeds = {"a": [0.1, 0.2, 0.3], "b": [0.3, 0.2, 0.1]}
    assert sum(seeds["a"]) != sum(seeds["b"])
    outcomes: dict[str, Any] = {"c": [0.05] * 3, **seeds, "d": [0.9] * 3}
    scores = {"c": 0.0, "a": 0.1, "b": 0.2, "d": 0.3}
    assert checked(scores, outcomes).score.rho == spearman([0, 1, 2, 3], [0, 1, 1, 3])
    three = {f"{name}{k}": value for name, row in outcomes.items() for k, value in enumerate(row)}
    found = checked({name: scores[name[0]] for name in three}, three, families={name: name[0] for name in three})
    assert found.families is not None
    assert found.families.rho == spearman([0, 1, 2, 3], [0, 1, 1, 3])


def test_few_teachers_are_told_so() -> None:
    scores = {name: SCORES[name] for name in "abcd"}
    assert any("no order is significant" in note for note in checked(scores, OUTCOMES).notes)


def test_the_same_seed_gives_the_same_numbers_as_plain_json() -> None:
    one, other = (checked(SCORES, OUTCOMES, families={"a": "x", "b": "x"}).to_json() for _ in range(2))
    assert one == other
    assert json.loads(json.dumps(one, allow_nan=False)) == one


def test_mistakes() -> None:
    with pytest.raises(InputError, match="'g' has a score but no outcome"):
        checked({**SCORES, "g": 1.0}, OUTCOMES)
    with pytest.raises(InputError, match="needs 3"):
        checked({"a": 1.0, "b": 2.0, "c": None}, OUTCOMES)
    with pytest.raises(InputError, match="score of teacher 'a'"):
        checked({**SCORES, "a": float("nan")}, OUTCOMES)
    nan = {"a": float("nan"), "b": 1.0, "c": 2.0, "d": 1.5, "e": None}
    with pytest.raises(InputError, match="the robust accuracy of teacher 'a' is nan"):
        checked(SCORES, OUTCOMES, robust_accuracy=nan)
    for name in ("nll", "robust_accuracy"):
        with pytest.raises(InputError, match=f"the {name} of teacher 'a' is nan"):
            checked(SCORES, OUTCOMES, baselines={name: nan}, robust_accuracy=OUTCOMES)
    for bad in (float("inf"), []):
        with pytest.raises(InputError, match="outcome of teacher 'a'"):
            checked(SCORES, {**OUTCOMES, "a": bad})
