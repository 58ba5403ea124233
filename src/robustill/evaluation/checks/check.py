"""One check: what was measured, whether it fired, and what that means in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """What one check found.

    Args:
        name: Such as `"randomised"` or `"square-beats-gradients"`.
        fired: Whether there is something to worry about.
        value: What was measured, in plain containers for JSON; every number is finite.
        says: What was seen, what it means and what to do, for a person.

    >>> Check("randomised", False, {"runs": 4}, "The logits are the same each time.").fired
    False
    """

    name: str
    fired: bool
    value: dict[str, Any]
    says: str

    def to_json(self) -> dict[str, Any]:
        """Return what `evaluation.json` holds."""
        return {"name": self.name, "fired": self.fired, "value": self.value, "says": self.says}


def enough(found: int, of: int, *, percent: int, least: int = 1) -> bool:
    """Return whether `found` is at least `least` and at least `percent` percent of `of`, exactly.

    >>> [enough(found, 60, percent=5, least=2) for found in (2, 3)]
    [False, True]
    """
    return found >= least and 100 * found >= percent * of
