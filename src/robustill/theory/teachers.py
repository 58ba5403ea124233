"""Teachers of the simulation: a logit margin on the learnable and on the unlearnable samples, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from robustill.errors import InputError, nearest

SATURATED = 10.0
"""The margin of a teacher that is sure: 0.99995 on its class."""

MARGINS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0, -2.0, -10.0)
"""Margins on the unlearnable samples of the sweep; below 0, the teacher is on the wrong side."""

UNINFORMATIVE = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Margins on all samples of the sweep's teachers that know little."""


@dataclass(frozen=True)
class Teacher:
    """A teacher that gives the true class a logit of `unlearnable` or `learnable`, and the other class 0.

    Attributes:
        name: What tables and files call it.
        unlearnable: Margin on robustly unlearnable samples, from -inf to inf.
        learnable: Margin on all others.

    >>> Teacher("unsure", unlearnable=0.0)
    Teacher(name='unsure', unlearnable=0.0, learnable=10.0)
    """

    name: str
    unlearnable: float
    learnable: float = SATURATED

    @property
    def entropy_unlearnable(self) -> float:
        """Entropy of its answer on an unlearnable sample, in nats."""
        return entropy(self.unlearnable)

    @property
    def entropy_learnable(self) -> float:
        """Entropy of its answer on a learnable sample, in nats."""
        return entropy(self.learnable)


TEACHERS = {
    "hard": Teacher("hard", math.inf, math.inf),
    "confident": Teacher("confident", SATURATED),
    "uncertain": Teacher("uncertain", 0.0),
}


def find_teacher(name: str) -> Teacher:
    """Return the teacher `name`: hard, confident, uncertain, or a margin on the unlearnable samples.

    >>> find_teacher("uncertain").entropy_unlearnable
    0.6931471805599453
    >>> find_teacher("-2")
    Teacher(name='margin -2', unlearnable=-2.0, learnable=10.0)

    Raises:
        InputError: There is none of this name.
    """
    if name in TEACHERS:
        return TEACHERS[name]
    try:
        return with_margin(float(name))
    except ValueError as error:
        raise InputError(f"there is no teacher {name!r}", f"{nearest(name, TEACHERS)}, or a margin, e.g. 2") from error


def with_margin(margin: float) -> Teacher:
    """Return the teacher with this margin on unlearnable samples, sure of all others.

    Raises:
        InputError: The margin is not a finite number.
    """
    if not math.isfinite(margin):
        raise InputError(f"a teacher's margin is {margin}; it must be a finite number")
    known = (each for each in TEACHERS.values() if (each.unlearnable, each.learnable) == (margin, SATURATED))
    return next(known, Teacher(f"margin {margin:g}", margin))


def sweep(margins: Sequence[float] = MARGINS, uninformative: Sequence[float] = UNINFORMATIVE) -> list[Teacher]:
    """Return a teacher per margin on the unlearnable samples, and one per margin that it has everywhere.

    >>> [teacher.name for teacher in sweep(margins=(0.0, 2.0), uninformative=(0.5,))]
    ['uncertain', 'margin 2', 'everywhere 0.5']
    """
    for margin in uninformative:
        if not math.isfinite(margin):
            raise InputError(f"an uninformative teacher's margin is {margin}; it must be a finite number")
    return [*map(with_margin, margins), *(Teacher(f"everywhere {m:g}", m, m) for m in uninformative)]


def entropy(margin: float) -> float:
    """Return the entropy of two classes whose logits differ by `margin`, in nats.

    >>> round(entropy(2.0), 3), round(entropy(-2.0), 3), entropy(float("inf"))
    (0.365, 0.365, 0.0)
    """
    size = abs(margin)
    rest = math.exp(-size)
    # log(1 + e^-m) + m e^-m / (1 + e^-m), which keeps its digits for large margins.
    return math.log1p(rest) + (size * rest / (1 + rest) if rest else 0.0)
