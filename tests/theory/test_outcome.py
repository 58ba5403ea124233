"""Summaries, entropies and rank correlations, from curves written by hand."""

import json
import math

import pytest

from robustill.theory import Case, Outcome, Settings, Teacher, find_teacher, rank_correlations, record, sweep


def outcome(teacher: Teacher, final: float, seed: int = 0) -> Outcome:
    found = Outcome(Case(teacher, 0.15, seed))
    for step, robust in enumerate((0.0, 0.9, 0.9, 0.9, final, final, final, final, final)):
        found.add(step, {"robust_test": robust, "signal": 2.0, "noise_unlearnable": None})
    return found


def test_peak_final_and_gap() -> None:
    found = Outcome(Case(find_teacher("hard"), 0.15, 0))
    for step, robust in enumerate((0.0, 0.6, 0.9, 0.3, 0.6, 0.0)):
        found.add(step, {"robust_test": robust})
    # The moving average is .5, .6, .6, .3.
    assert (found.peak, found.final, found.gap) == pytest.approx((0.6, 0.5, 0.1))


def test_entropy_is_that_of_two_classes() -> None:
    for margin in (0.0, 0.5, -2.0, 3.0, 10.0):
        p = 1 / (1 + math.exp(-margin))
        exact = -p * math.log(p) - (1 - p) * math.log(1 - p)
        assert Teacher("t", margin).entropy_unlearnable == pytest.approx(exact)
        assert Teacher("t", 0.0, margin).entropy_learnable == pytest.approx(exact)
    assert find_teacher("hard").entropy_unlearnable == 0
    assert Teacher("t", 1e4).entropy_unlearnable == 0


def test_the_sweep_names_known_teachers() -> None:
    names = [teacher.name for teacher in sweep([0.0, 10.0, -2.0], [0.5])]
    assert names == ["uncertain", "confident", "margin -2", "everywhere 0.5"]


def test_rank_correlations_by_group() -> None:
    finals = {"0": 0.9, "1": 0.8, "2": 0.4, "4": 0.1}
    right = [outcome(find_teacher(margin), final) for margin, final in finals.items()]
    assert rank_correlations(right)["entropy"] == 1
    wrong = [*right, outcome(find_teacher("-1"), 0.0)]
    assert rank_correlations(wrong)["entropy"] == 1
    # Ranks of entropy 5, 3.5, 2, 1, 3.5 against 5, 4, 3, 2, 1.
    assert rank_correlations(wrong)["entropy_with_wrong"] == pytest.approx(5.5 / 95**0.5, abs=1e-5)
    blank = [*wrong, outcome(Teacher("everywhere 0", 0.0, 0.0), 0.0)]
    found = rank_correlations(blank)
    assert found["entropy_with_wrong"] == pytest.approx(5.5 / 95**0.5, abs=1e-5)
    with_all, contrast = found["entropy_with_all"], found["contrast_with_all"]
    assert with_all is not None
    assert contrast is not None
    # Ranks 5.5, 3.5, 2, 1, 3.5, 5.5 (contrast 6, 4.5, 3, 2, 4.5, 1) against 6, 5, 4, 3, 1.5, 1.5.
    assert (with_all, contrast) == pytest.approx((1.5 / (16.5 * 17) ** 0.5, 11.25 / 17), abs=1e-5)
    assert set(rank_correlations(right[:2]).values()) == {None}


def test_the_record_holds_each_run_once() -> None:
    uncertain, hard, some = (
        outcome(t, 0.5) for t in (find_teacher("uncertain"), find_teacher("hard"), Teacher("m", 1))
    )
    found = record([hard, uncertain], [uncertain, some], Settings(), 3.0)
    json.dumps(found, allow_nan=False)
    assert [run["teacher"] for run in found["runs"]] == ["hard", "uncertain", "m"]
    assert found["runs"][0]["margin_unlearnable"] is None
    assert found["grid"] == {"teachers": ["hard", "uncertain"], "p_unlearnable": [0.15]}
    assert found["sweep"]["teachers"] == ["uncertain", "m"]
    keys = {"teacher", "p_unlearnable", "seed", "peak", "final", "gap", "signal", "noise_unlearnable"}
    assert keys <= set(found["runs"][0])
    assert found["curves"][2]["robust_test"][-1] == 0.5
    assert found["settings"]["dimension"] == 100
    assert record([hard], [], Settings())["sweep"] is None
