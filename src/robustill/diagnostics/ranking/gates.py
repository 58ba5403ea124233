"""Conditions that a teacher must meet before its entropy says anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robustill.errors import InputError


@dataclass(frozen=True)
class Measured:
    """What the gates look at.

    Args:
        robust: Robust accuracy on the learnable images, attacked itself.
        informative: Mean probability of the label on the learnable images.
        wrong: Share of the unlearnable images on which it is sure of another class.
    """

    robust: float
    informative: float
    wrong: float


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Thresholds (ours, tunable). Entropy ranks a teacher first that knows nothing, or is as sure of the wrong class.

    Args:
        robust: Least robust accuracy on the learnable images, as a share of the best candidate's.
        informative: Least mean probability of the label on the learnable images.
        wrong: Largest share of unlearnable images on which the teacher is confident of a wrong class.
        confident: A prediction whose largest probability is above this is confident.
        temperature: Divides the logits for these conditions; the scores are at the temperature of the distillation. At
            a high one nobody is sure of anything, so the thresholds would say nothing.

    Raises:
        InputError: A threshold outside [0, 1], or a temperature that is not above 0.

    >>> Gates(robust=0.8).informative
    0.5
    """

    robust: float = 0.9
    informative: float = 0.5
    wrong: float = 0.2
    confident: float = 0.9
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for name in ("robust", "informative", "wrong", "confident"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"the gate {name} is {getattr(self, name)!r}", "give a share between 0 and 1")
        if not self.temperature > 0:
            raise InputError(f"the gates' temperature is {self.temperature!r}", "give a number above 0")

    def failures(self, measured: Mapping[str, Measured]) -> dict[str, tuple[str, ...]]:
        """Return for each teacher why it is not ranked; empty: it is."""
        best = max((each.robust for each in measured.values()), default=0.0)
        found = {}
        for name, each in measured.items():
            reasons = []
            if each.robust < self.robust * best:
                reasons.append(
                    f"robust accuracy {100 * each.robust:.0f}% on the learnable images, the best has {100 * best:.0f}%"
                )
            if each.informative < self.informative:
                reasons.append(f"gives the label {each.informative:.2f} on the learnable images: uninformative")
            if each.wrong > self.wrong:
                reasons.append(f"sure of a wrong class on {100 * each.wrong:.0f}% of the unlearnable images")
            found[name] = tuple(reasons)
        return found
