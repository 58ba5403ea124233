"""Hyperparameters chosen on the validation split: a seeded search whose trials are cells.

The search keeps no state of its own: it is replayed from its seed, and a trial that was finished before answers at
once.
"""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from robustill.errors import InputError, MissingExtraError, RecipeError
from robustill.recipe.files import flatten
from robustill.recipe.mistakes import explain
from robustill.study.cells import Cell, Cells
from robustill.study.folder import Store
from robustill.study.layers import Variant, label
from robustill.study.table import Range, SearchTable

if TYPE_CHECKING:
    import optuna

Axis = Range | tuple[Any, ...]


@dataclass(frozen=True)
class Trial:
    """One combination of hyperparameters, and how good its students were on the validation split.

    Args:
        number: From 0.
        settings: Values by dotted key.
        variant: The entry with them.
        cells: One for each seed, without an evaluation.
        value: Mean of the metric over the seeds; None if one failed.
    """

    number: int
    settings: dict[str, Any]
    variant: Variant
    cells: tuple[Cell, ...]
    value: float | None


def search(cells: Cells, store: Store, run: Callable[[Sequence[Cell]], None]) -> list[Trial]:
    """Run the trials of the study's `[search]` and return them in their order.

    Args:
        cells: Of the study.
        store: Where cells live.
        run: Runs cells that are not done yet.

    Raises:
        InputError: The study has no search.
        MissingExtraError: Optuna is not installed.
        RecipeError: A key or range of the space is impossible.
    """
    asked = cells.study.search
    if asked is None:
        raise InputError(f"{cells.study.name} has no table [search]", "it names a run and a space; see docs/studies.md")
    axes = space(asked, cells.study.name)
    found: list[Trial] = []
    study = _optuna(asked)
    while len(found) < asked.trials:
        count = min(asked.batch, asked.trials - len(found))
        drawn = [study.ask() for _ in range(count)]
        batch = [_trial(cells, asked, each, axes) for each in drawn]
        run([cell for trial in batch for cell in trial.cells])
        for each, trial in zip(drawn, batch, strict=True):
            value = _value(trial, store, asked.metric)
            study.tell(each, value, None if value is not None else _failed())
            found.append(Trial(trial.number, trial.settings, trial.variant, trial.cells, value))
    return found


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest value, the earliest of equals.

    Raises:
        InputError: All failed.
    """
    good = [trial for trial in trials if trial.value is not None]
    if not good:
        raise InputError("every trial of the search failed", "see failed.json and log.txt in their folders")
    return max(good, key=lambda trial: (trial.value, -trial.number))


def space(asked: SearchTable, where: str) -> dict[str, Axis]:
    """Return the axes of a search by dotted key.

    Raises:
        RecipeError: An axis is neither a list of choices nor a range that can be drawn from.
    """
    found: dict[str, Axis] = {}
    for key, value in _axes(asked.space).items():
        at = f"{where}: search.space.{key}"
        if isinstance(value, list | tuple) and value:
            found[key] = tuple(value)
        elif isinstance(value, dict):
            found[key] = _range(value, at)
        else:
            raise RecipeError(f"{at} = {value!r}: neither choices nor a range", "[0.5, 1.0] or {low = 0.5, high = 1.0}")
    if not found:
        raise RecipeError(f"{where}: search.space is empty", "method.alpha = {low = 0.5, high = 1.0}, say")
    return found


def _axes(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        inner = isinstance(value, dict) and not {"low", "high"} & value.keys()
        found |= _axes(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return found


def _range(value: dict[str, Any], where: str) -> Range:
    try:
        axis = Range.model_validate(value)
    except ValidationError as error:
        raise explain(error, Range, value, where) from error
    if axis.low >= axis.high or (axis.log and (axis.low <= 0 or axis.step is not None)):
        raise RecipeError(f"{where}: {flatten(value)}: no such range", "low < high; log needs low > 0 and no step")
    return axis


def _draw(trial: optuna.Trial, key: str, axis: Axis) -> Any:
    if isinstance(axis, tuple):
        # By place: choices may be lists and tables, which have no order and no hash.
        return axis[int(trial.suggest_categorical(key, tuple(range(len(axis)))))]
    if isinstance(axis.low, int) and isinstance(axis.high, int):
        return trial.suggest_int(key, axis.low, axis.high, step=int(axis.step or 1), log=axis.log)
    return trial.suggest_float(key, axis.low, axis.high, step=axis.step, log=axis.log)


def _trial(cells: Cells, asked: SearchTable, drawn: optuna.Trial, axes: dict[str, Axis]) -> Trial:
    run, settings = cells.study.runs[asked.run], {key: _draw(drawn, key, axis) for key, axis in axes.items()}
    variant = Variant(label(asked.run, settings), run, settings)
    found = tuple(cells.cell(variant, seed, measured=False) for seed in cells.seeds(variant))
    return Trial(drawn.number, settings, variant, found, None)


def _value(trial: Trial, store: Store, metric: str) -> float | None:
    scores = []
    for cell in trial.cells:
        trained = store.trained(cell)
        if trained is None:
            return None
        if metric not in trained["best"]:
            raise InputError(
                f"{cell.name} has no {metric} accuracy on a validation split", "set data.validation and selection.eps"
            )
        scores.append(float(trained["best"][metric]))
    return statistics.fmean(scores)


def _optuna(asked: SearchTable) -> optuna.Study:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("--search needs Optuna", "pip install 'robustill[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Several at once: trials of a batch keep away from one another. Optuna calls that experimental.
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        sampler = optuna.samplers.TPESampler(seed=asked.seed, constant_liar=asked.batch > 1)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _failed() -> Any:
    import optuna

    return optuna.trial.TrialState.FAIL
