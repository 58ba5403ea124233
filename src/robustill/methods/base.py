"""What a method is: an objective for the adversary, and a loss at the point it found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective, eval_mode
from robustill.models import AttackView

if TYPE_CHECKING:
    from robustill.data import Split


@dataclass
class Loss:
    """What a method returns: its per-example loss, reduced in this one place.

    Args:
        per_example: What to minimise, `[B]`, with its graph; a wrapper may weigh it before it is reduced.
        terms: Named parts to log, `[B]` or scalars; detached and averaged here, so that logging never holds a graph.

    >>> import torch
    >>> loss = Loss(torch.tensor([1.0, 3.0]), {"nat": torch.tensor([1.0, 3.0])})
    >>> float(loss.total), float(loss.terms["nat"])
    (2.0, 2.0)
    """

    per_example: Tensor
    terms: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        self.terms = {name: value.detach().mean() for name, value in self.terms.items()}

    @property
    def total(self) -> Tensor:
        """The scalar to minimise: the batch mean."""
        return self.per_example.mean()


class Method(nn.Module, ABC):
    """A training method, called on `(x, y)`.

    Trained networks are submodules, frozen teachers sit in `Frozen`, adaptive state is buffers: so `state_dict()` is
    the whole checkpoint of a method and `parameters()` is what the optimizers train.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.losses import cross_entropy
    >>> class Halved(Method):
    ...     def __init__(self, student):
    ...         super().__init__()
    ...         self.student = student
    ...     def forward(self, x, y):
    ...         loss = 0.5 * cross_entropy(self.student(x), y)
    ...         return Loss(loss, {"half": loss})
    >>> method = Halved(nn.Linear(2, 3))
    >>> method(torch.rand(4, 2), torch.tensor([0, 1, 2, 0])).per_example.shape
    torch.Size([4])
    """

    student: nn.Module
    fresh: ClassVar[tuple[str, ...]] = ()
    """Networks of the constructor that are trained from fresh weights along with the student."""
    whole_batch: str | None = None
    """Why the loss or the state needs the whole batch at once, if it does: then it is not cut into parts."""
    among_processes: bool = False
    """Whether that is taken over the shares of all processes (`methods.whole`): then several may learn the batch."""

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor) -> Loss:
        """Return the loss of a batch; x `[B, C, H, W]` in [0, 1], y `[B]`."""

    def begin_run(self, train: Split) -> None:
        """Called once before anything else, also where a run is resumed: these are the training images."""

    def expect(self, x: Tensor, rows: Tensor) -> None:
        """Called before each batch, or part of one: `x` shows the images at `rows`, int64 `[B]`, of the training split.

        Few methods need to know. `x` is the very tensor that the method is called on next, augmented or not.
        """

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        """Recompute what the schedule decides, before the first step of 0-based `epoch` of `epochs`.

        `lr_scale` is the learning rate still in force as a share of its peak, 1.0 during a warm-up. A run resumed
        inside an epoch calls this again.
        """

    def after_step(self) -> None:
        """Called once after each optimizer step."""

    def end_epoch(self) -> None:
        """Called exactly once after the last step of each epoch, however often the run was interrupted."""

    def trained(self) -> dict[str, nn.Module]:
        """Return the trained networks by name; each has an optimizer and a schedule of its own."""
        children = dict(self.named_children())
        return {name: child for name, child in children.items() if next(child.parameters(), None) is not None}

    def probe(self, x: Tensor, y: Tensor, attack: PGD, generator: torch.Generator) -> dict[str, Tensor]:
        """Return further verdicts `[B]` on validation images, logged as shares after each judged epoch."""
        return {}


class AdversarialMethod(Method):
    """A method that trains at the points an adversary found: `forward` is `outer` after `perturb`.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.losses import cross_entropy
    >>> class Plain(AdversarialMethod):
    ...     def __init__(self, student, attack):
    ...         super().__init__()
    ...         self.student, self.attack = student, attack
    ...     def inner(self, x, y):
    ...         return lambda x_adv: cross_entropy(self.student(x_adv), y)
    ...     def outer(self, x, x_adv, y):
    ...         loss = cross_entropy(self.student(x_adv), y)
    ...         return Loss(loss, {"adv": loss})
    >>> method = Plain(nn.Linear(2, 3), PGD(eps=0.1, step_size=0.05, steps=1))
    >>> method(torch.rand(4, 2), torch.tensor([0, 1, 2, 0])).per_example.shape
    torch.Size([4])
    """

    attack: PGD
    views: tuple[AttackView, ...] = ()
    """Faster forms of the trained networks, for the adversary alone."""

    @contextmanager
    def attacking(self) -> Iterator[None]:
        """Put all networks in eval mode and their views in place, for the time of an attack."""
        with ExitStack() as stack:
            stack.enter_context(eval_mode(self))
            for view in self.views:
                # The weights have moved since the last batch.
                view.refresh()
                stack.enter_context(view.in_place())
            yield

    @abstractmethod
    def inner(self, x: Tensor, y: Tensor) -> Objective:
        """Return what the adversary maximises; constants (a teacher on x) are computed here, once."""

    @abstractmethod
    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        """Return what training minimises at `x_adv` `[B, C, H, W]`."""

    def perturb(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the adversary's points `[B, C, H, W]`; all networks are in eval mode meanwhile."""
        with self.attacking():
            return self.attack(self.inner(x, y), x)

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        """Return the loss at the adversary's points."""
        return self.outer(x, self.perturb(x, y), y)
