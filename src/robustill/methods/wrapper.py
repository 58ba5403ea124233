"""A method around a method: everything it does not change is the wrapped method's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective, eval_mode
from robustill.errors import InputError
from robustill.methods.base import AdversarialMethod, Loss, Method

if TYPE_CHECKING:
    from robustill.data import Split


class Wrapper(AdversarialMethod):
    """Base of methods such as `IGDM(RSLAD(...))`: forwards every call to `base`.

    Args:
        base: The method to wrap; it needs an adversary.

    Raises:
        InputError: `base` has none.

    >>> from torch import nn
    >>> from robustill.methods import IGDM, PGDAT
    >>> student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
    >>> IGDM(PGDAT(student), teacher).student is student
    True
    """

    def __init__(self, base: Method) -> None:
        super().__init__()
        if not isinstance(base, AdversarialMethod):
            what = type(self).__name__
            hint = "set awp.gamma = 0" if what == "AWP" else "wrap one that has, such as rslad"
            raise InputError(f"{what} needs a method with an adversary, {type(base).__name__} has none", hint)
        self.base = base

    @property
    def innermost(self) -> AdversarialMethod:
        """The method that all wrappers wrap."""
        return self.base.innermost if isinstance(self.base, Wrapper) else self.base

    @property
    def student(self) -> nn.Module:  # type: ignore[override]
        """The wrapped method's student."""
        return self.base.student

    @property
    def attack(self) -> PGD:
        """The wrapped method's attack."""
        return self.base.attack

    @attack.setter
    def attack(self, attack: PGD) -> None:
        self.base.attack = attack

    def begin_run(self, train: Split) -> None:
        self.base.begin_run(train)

    def expect(self, x: Tensor, rows: Tensor) -> None:
        self.base.expect(x, rows)

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.base.begin_epoch(epoch, lr_scale, epochs)

    def after_step(self) -> None:
        self.base.after_step()

    def end_epoch(self) -> None:
        self.base.end_epoch()

    def trained(self) -> dict[str, nn.Module]:
        """Return the wrapped method's trained networks, and its own."""
        own = super().trained()
        del own["base"]
        return self.base.trained() | own

    def probe(self, x: Tensor, y: Tensor, attack: PGD, generator: torch.Generator) -> dict[str, Tensor]:
        return self.base.probe(x, y, attack, generator)

    @contextmanager
    def attacking(self) -> Iterator[None]:
        """Put all networks in eval mode, and the wrapped method's views in place."""
        with eval_mode(self), self.base.attacking():
            yield

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return self.base.inner(x, y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        return self.base.outer(x, x_adv, y)

    def perturb(self, x: Tensor, y: Tensor) -> Tensor:
        return self.base.perturb(x, y)
