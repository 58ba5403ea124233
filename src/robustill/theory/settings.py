"""What a simulation is made of: the patch data, the student, its training and its attack."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from robustill.errors import InputError, nearest

REGIMES = ("experiment", "theory")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a simulation; the defaults are the paper's experiment, with 300 test samples in place of 100.

    Attributes:
        regime: `"experiment"`: two logits of `relu(z)^3` filters, a sample a step, the noise lies on the signal patch
            too. `"theory"`: one odd-cubic margin, the whole training set a step, an exact number of unlearnable
            samples, none of them in the test set, no noise on the signal patch, which alone is attacked in training.
        dimension: Length d of a patch; `u` is its first axis, `v` its last.
        patches: Patches P per sample.
        train: Training samples.
        test: Test samples.
        alpha: Length of the signal.
        noise: Standard deviation of a patch's noise, which is orthogonal to `u` and `v`.
        filters: Filters per logit.
        init: Standard deviation of the initial weights.
        lr: Learning rate.
        steps: Training steps.
        eps: Linf radius of both attacks, in the units of the data.
        attack_steps: Steps of the test attack.
        evaluate_every: Steps between two evaluations; it does not change the trajectory.
    """

    regime: str = "experiment"
    dimension: int = 100
    patches: int = 4
    train: int = 200
    test: int = 300
    alpha: float = 5.0
    noise: float = 0.4
    filters: int = 80
    init: float = 0.01
    lr: float = 0.01
    steps: int = 4000
    eps: float = 0.5
    attack_steps: int = 20
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            InputError: One is outside its range.
        """
        if self.regime not in REGIMES:
            raise InputError(f"there is no regime {self.regime!r}", nearest(self.regime, REGIMES))
        for field in fields(self):
            if field.type != "str":
                _check_number(field.name, getattr(self, field.name), whole=field.type == "int")

    @classmethod
    def of_regime(cls, regime: str, **changes: Any) -> Settings:
        """Return a regime's own settings with `changes`.

        >>> Settings.of_regime("theory", steps=100)
        Settings(regime='theory', ... filters=40, init=0.01, lr=0.2, steps=100, ...)
        """
        own: dict[str, Any] = {"filters": 40, "lr": 0.2, "steps": 3000} if regime == "theory" else {}
        return cls(regime=regime, **own | changes)

    @property
    def theory(self) -> bool:
        """Whether this is the regime of the theorems."""
        return self.regime == "theory"


def _check_number(name: str, value: object, *, whole: bool) -> None:
    least = 0 if not whole else 3 if name == "dimension" else 1
    kind, said = (Integral, "an integer") if whole else (Real, "a finite number")
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value < math.inf:  # type: ignore[operator]
        raise InputError(f"{name} is {value!r}; it must be {said} of at least {least}")
