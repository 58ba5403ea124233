"""What became of one simulated run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from robustill.theory.teachers import Teacher

_WINDOW = 3


@dataclass(frozen=True)
class Case:
    """One run: a teacher, the share of unlearnable samples, a seed.

    >>> from robustill.theory import Teacher
    >>> Case(Teacher("unsure", unlearnable=0.0), p_unlearnable=0.25, seed=0).seed
    0
    """

    teacher: Teacher
    p_unlearnable: float
    seed: int


@dataclass
class Outcome:
    """A run's measurements.

    Attributes:
        case: What was run.
        steps: The steps after which it was measured.
        curves: One value per step by name; None where there is no such sample.

    >>> from robustill.theory import Case, Teacher
    >>> Outcome(Case(Teacher("unsure", unlearnable=0.0), 0.25, 0)).steps
    []
    """

    case: Case
    steps: list[int] = field(default_factory=list)
    curves: dict[str, list[float | None]] = field(default_factory=dict)

    def add(self, step: int, values: dict[str, float | None]) -> None:
        """Add the measurements after `step`."""
        self.steps.append(step)
        for name, value in values.items():
            self.curves.setdefault(name, []).append(value)

    def of(self, case: Case) -> Outcome:
        """Return the same measurements as those of another case."""
        return Outcome(case, list(self.steps), {name: list(values) for name, values in self.curves.items()})

    @property
    def peak(self) -> float:
        """Highest robust test accuracy, of the moving average over three evaluations."""
        return max(moving_average(self._robust()))

    @property
    def final(self) -> float:
        """Robust test accuracy at the end, the mean of the last three of the moving average."""
        return mean(moving_average(self._robust())[-_WINDOW:])

    @property
    def gap(self) -> float:
        """What robust overfitting cost: `peak - final`."""
        return self.peak - self.final

    def last(self, name: str) -> float | None:
        """The last value of a curve."""
        return self.curves[name][-1]

    def to_json(self) -> dict[str, Any]:
        """Return the summary for `simulation.json`; margins without an end are None."""
        teacher = self.case.teacher
        margins = {"margin_unlearnable": teacher.unlearnable, "margin_learnable": teacher.learnable}
        return {
            "teacher": teacher.name,
            "p_unlearnable": self.case.p_unlearnable,
            "seed": self.case.seed,
            "peak": self.peak,
            "final": self.final,
            "gap": self.gap,
            **{name: self.last(name) for name in self.curves if name != "robust_test"},
            **{name: value if math.isfinite(value) else None for name, value in margins.items()},
            "entropy_unlearnable": teacher.entropy_unlearnable,
            "entropy_learnable": teacher.entropy_learnable,
        }

    def _robust(self) -> list[float]:
        return [value for value in self.curves["robust_test"] if value is not None]


def moving_average(values: list[float]) -> list[float]:
    """Return the mean of every three neighbours; of all values where there are fewer.

    >>> moving_average([0.0, 3.0, 6.0, 6.0]), moving_average([1.0, 2.0])
    ([3.0, 5.0], [1.5])
    """
    width = min(_WINDOW, len(values))
    return [mean(values[k : k + width]) for k in range(len(values) - width + 1)]


def mean(values: list[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)
