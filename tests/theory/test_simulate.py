"""A batch of runs is each run alone, and the paper's dichotomy is there."""

from typing import Any

import numpy as np
import pytest

from robustill.errors import InputError, NonFiniteLossError
from robustill.theory import Case, Outcome, Settings, Teacher, find_teacher, grid, simulate, sweep
from robustill.theory import batch as batch_module

SHORT = Settings(steps=400, evaluate_every=100, train=60, test=40, filters=10)


def run(*args: object, **options: object) -> list[Outcome]:
    return simulate(*args, workers=1, progress=False, **options)  # type: ignore[arg-type]


def curve(outcome: Outcome, name: str = "robust_test") -> list[float]:
    values = [value for value in outcome.curves[name] if value is not None]
    assert len(values) == len(outcome.steps)
    return values


@pytest.mark.parametrize("regime", ["experiment", "theory"])
def test_a_run_in_a_batch_is_the_run_alone(regime: str) -> None:
    config = Settings(regime=regime, steps=400, evaluate_every=100, train=60, test=40, filters=10, lr=0.02)
    cases = [*grid(seeds=(0, 4), p_unlearnable=(0.1, 0.3)), Case(Teacher("odd", -1.0, 2.0), 0.2, 7)]
    together = run(cases, config)
    for k in (0, 5, 12):
        (alone,) = run([cases[k]], config)
        assert alone.steps == together[k].steps == [0, 100, 200, 300, 400]
        for name, values in alone.curves.items():
            # An accuracy moves by one of 40 samples where a margin is 0 up to rounding.
            tolerance = 0.03 if name.startswith(("robust", "clean")) else 1e-3
            assert together[k].curves[name] == pytest.approx(values, abs=tolerance), name
    ends = {outcome.curves["signal"][-1] for outcome in together}
    assert len(ends) == len(cases), "the cases differ"


def test_the_evaluation_interval_does_not_change_the_trajectory() -> None:
    cases = grid([find_teacher("confident")], [0.15], [0, 1])
    often, seldom = run(cases, SHORT), run(cases, Settings(**{**vars(SHORT), "evaluate_every": 200}))
    for fine, coarse in zip(often, seldom, strict=True):
        assert coarse.steps == [0, 200, 400]
        for name, values in coarse.curves.items():
            assert fine.curves[name][::2] == values, name


def test_workers_do_not_change_results() -> None:
    cases = grid(seeds=(0,))
    one, three = (simulate(cases, SHORT, workers=n, progress=False) for n in (1, 3))
    assert [each.curves for each in one] == [each.curves for each in three]


def test_cases_that_cannot_be_told_apart_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = batch_module.draw_batch

    def counting(cases: list[Case], config: Settings) -> batch_module.Batch:
        drawn.append(len(cases))
        return draw(cases, config)

    monkeypatch.setattr(batch_module, "draw_batch", counting)
    # Without unlearnable samples, what a teacher says of them reaches no student.
    cases = grid([Teacher("a", 4.0, 2.0), Teacher("b", -1.0, 2.0), Teacher("c", 4.0, 3.0)], [0.0, 0.3], [1])
    a, a_some, b, b_some, c, _ = outcomes = run(cases, SHORT)
    assert drawn[0] == 5
    assert [each.case for each in outcomes] == cases
    assert a.curves == b.curves == run([cases[2]], SHORT)[0].curves
    assert a.curves is not b.curves
    assert a.curves["signal"] != c.curves["signal"]
    assert a_some.curves["signal"] != b_some.curves["signal"]


def test_the_last_step_is_always_measured() -> None:
    config = Settings(**{**vars(SHORT), "steps": 130})
    assert run(grid(seeds=(0,)), config)[0].steps == [0, 100, 130]


def test_confident_labels_overfit_and_uncertain_ones_do_not() -> None:
    config = Settings(evaluate_every=400)
    outcomes = run(grid(p_unlearnable=(0.15,)), config)
    hard, confident, uncertain = outcomes[:3], outcomes[3:6], outcomes[6:]
    for teacher in (hard, confident):
        for each in teacher:
            assert max(curve(each)) - curve(each)[-1] > 0.5
            assert curve(each, "noise_unlearnable")[-1] > 1
            assert curve(each, "robust_train_unlearnable")[-1] > 0.9
            assert curve(each, "clean_test")[-1] > 0.85, "overfitting is robust overfitting only"
    for each in uncertain:
        assert max(curve(each)) - curve(each)[-1] < 0.02
        assert curve(each, "noise_unlearnable")[-1] < 0.3
        assert curve(each, "robust_test_learnable")[-1] > 0.98
        assert curve(each, "residual_unlearnable")[-1] < 0.02
    signals = [sum(curve(each, "signal")[-1] for each in teacher) / 3 for teacher in (hard, confident, uncertain)]
    assert max(signals) < 1.15 * min(signals)


def test_without_unlearnable_samples_nothing_overfits() -> None:
    for each in run(grid(p_unlearnable=(0.0,), seeds=(0, 1)), Settings(evaluate_every=1000)):
        assert curve(each)[1:] == pytest.approx([1, 1, 1, 1], abs=0.02)
        assert set(each.curves["noise_unlearnable"]) == {None}


def test_the_wrong_side_harms_at_the_same_entropy() -> None:
    right, wrong = (Teacher(str(margin), margin) for margin in (2.0, -2.0))
    assert right.entropy_unlearnable == wrong.entropy_unlearnable
    outcomes = run(grid([right, wrong], [0.15], [0]), Settings(evaluate_every=2000))
    assert curve(outcomes[0])[-1] > 0.3
    assert curve(outcomes[1])[-1] < 0.05


def test_the_theorems_setting() -> None:
    outcomes = run(grid(p_unlearnable=(0.02,), seeds=(0,)), Settings.of_regime("theory", steps=2000, test=100))
    for each, (last, low, high) in zip(outcomes, [(0, 1, 3), (0, 1, 3), (1, 0, 0.3)], strict=True):
        assert max(curve(each)) > 0.95
        assert curve(each)[-1] == pytest.approx(last, abs=0.02)
        assert low < curve(each, "noise_unlearnable")[-1] < high


def test_what_cannot_be_simulated() -> None:
    with pytest.raises(InputError, match="nothing to simulate"):
        run([], SHORT)
    with pytest.raises(InputError, match=r"p_unlearnable is 1\.5"):
        run(grid(p_unlearnable=(1.5,)), SHORT)
    with pytest.raises(InputError, match="workers is 0"):
        simulate(grid(), SHORT, workers=0)
    with pytest.raises(NonFiniteLossError, match=r"teacher hard, p_unlearnable 0\.15, seed 3 diverged before step"):
        run(grid([find_teacher("hard")], [0.15], [3]), Settings(**{**vars(SHORT), "lr": 1e6}))
    with pytest.raises(InputError, match="no regime 'theroy'"):
        Settings(regime="theroy")
    with pytest.raises(InputError, match="steps is 0"):
        Settings(steps=0)
    with pytest.raises(InputError, match="lr is nan"):
        Settings(lr=float("nan"))
    with pytest.raises(InputError, match="dimension is 2; it must be an integer of at least 3"):
        Settings(dimension=2)
    with pytest.raises(InputError, match=r"no teacher 'confidant'\n.*did you mean 'confident'"):
        find_teacher("confidant")
    with pytest.raises(InputError, match="margin is inf"):
        sweep([float("inf")])
    with pytest.raises(InputError, match="margin is nan"):
        sweep([], [float("nan")])


@pytest.mark.parametrize(
    "values", [{"eps": 0}, {"eps": 0.0}, {"lr": 1}, {"noise": np.float32(0.5)}, {"test": np.int64(5)}]
)
def test_a_number_may_be_of_any_type_that_its_setting_holds(values: dict[str, Any]) -> None:
    (name,) = values
    assert getattr(Settings(**values), name) == values[name]


@pytest.mark.parametrize(
    "values", [{"steps": 2.5}, {"train": True}, {"eps": True}, {"patches": "4"}, {"alpha": "5"}, {"filters": 2.0}]
)
def test_a_number_of_another_type_than_its_setting_is_refused(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(InputError, match=f"{name} is {values[name]!r}; it must be "):
        Settings(**values)
