"""Training attacks that grow: few steps while the student is easy to attack, all of them at the end.

As in curriculum adversarial training (Cai et al., IJCAI 2018, arXiv 1805.04807), by the number of steps, and in equal
shares of the epochs. The way that an attack can go stays the same: fewer steps are as much longer, up to the radius.
"""

from __future__ import annotations

import dataclasses

from robustill.errors import InputError
from robustill.methods.base import AdversarialMethod, Method


class Growth:
    """The training attacks of a method, from `first` steps in the first epoch to their own number in the last.

    Raises:
        InputError: The method has no adversary, or one with fewer steps.
    """

    def __init__(self, method: Method, first: int | None) -> None:
        self.first = first
        self.grown = [(m, m.attack) for m in method.modules() if isinstance(m, AdversarialMethod)] if first else []
        if first and not self.grown:
            raise InputError("first_attack_steps is set, but the method has no adversary", "leave it out")
        for _, attack in self.grown:
            if first and attack.steps < first:
                raise InputError(
                    f"first_attack_steps = {first}, but the attack has {attack.steps} steps",
                    "attacks grow: raise attack.steps, or lower first_attack_steps",
                )

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Give each adversary the steps of 0-based `epoch` of `epochs`."""
        for method, attack in self.grown:
            assert self.first is not None
            steps = _steps(self.first, attack.steps, epoch, epochs)
            size = min(attack.step_size * attack.steps / steps, max(attack.eps, attack.step_size))
            method.attack = dataclasses.replace(attack, steps=steps, step_size=size)

    def end(self) -> None:
        """Give each adversary its own attack back: the method may be trained again, or go on after an interruption."""
        for method, attack in self.grown:
            method.attack = attack


def _steps(first: int, last: int, epoch: int, epochs: int) -> int:
    """Return the steps in 0-based `epoch`: each number for equally long, or, in a short run, equally far apart."""
    if epochs > last - first:
        return first + epoch * (last - first + 1) // epochs
    return first + epoch * (last - first) // (epochs - 1) if epochs > 1 else last
