"""IGDM: indirect gradient distillation, around any method with an adversary.

Paper: Lee, Cho, Kim, "Indirect Gradient Matching for Adversarial Robust Distillation", ICLR 2025, arXiv 2312.03286.
Inner: that of the wrapped method
Outer: wrapped + alpha (e / E) KL(softmax(T(x + b d) - T(x - g d)) || softmax(S(x + b d) - S(x - g d)))
Variants: where d = x' - x.
State: that of the wrapped method (the ramp e / E follows the epochs, counted from 1)
Differs: the released ramp assumes 200 epochs. x - g d is not clipped to [0, 1], as released. Where b = 1, S(x') is that
    of the wrapped method. IGDM in SAAD's repository trains at eps 2/255: eps and step size are swapped there, in the
    original script they are not. Around AdaAD the release leaves out the clean forward, which moves batch norm alone.
Settings: alpha 1 on CIFAR-10, 10 on CIFAR-100, b = g = 1; otherwise as the wrapped method. Logits in bfloat16 have
    three digits and their differences fewer: prefer float32 for small radii. The teacher must be robust: with one that
    is not, the target is nearly one class, and a large alpha collapses the student (a warning says so).
"""

from __future__ import annotations

import warnings

from torch import Tensor, nn

from robustill.errors import InputError
from robustill.losses import kl_div, probabilities
from robustill.methods.base import Loss, Method
from robustill.methods.wrapper import Wrapper
from robustill.models import Frozen, observed

# Largest mean probability of the teacher's target at which its input gradient still has something to say.
_PEAKED = 0.9


class IGDM(Wrapper):
    """Matches how the logits of teacher and student change along the adversarial direction.

    Args:
        base: The method to wrap.
        teacher: Robust teacher, frozen; the wrapped method's own (`teacher`, else `teacher_adv`) when left out.
        alpha: Weight of the term at the end of the run.
        b: Length of the forward step along x' - x.
        g: Length of the backward step.

    Raises:
        InputError: `base` has no adversary, or no single frozen teacher to take over.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.methods import RSLAD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = IGDM(RSLAD(student, teacher), teacher)
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'igdm', 'nat']
    """

    def __init__(
        self, base: Method, teacher: nn.Module | None = None, *, alpha: float = 1.0, b: float = 1.0, g: float = 1.0
    ) -> None:
        super().__init__(base)
        own = getattr(self.innermost, "teacher", getattr(self.innermost, "teacher_adv", None))
        # The wrapped method's own, where it is the same network: its remembered answers serve both.
        same = teacher is None or (isinstance(own, Frozen) and own.network is teacher)
        found = own if same else Frozen(teacher)  # type: ignore[arg-type]
        if not isinstance(found, Frozen):
            what = type(self.innermost).__name__
            hint = "name one: teacher=..., in a recipe teachers.teacher"
            raise InputError(f"IGDM needs a teacher, and {what} has no single frozen one to take over", hint)
        self.teacher = found
        self.alpha, self.b, self.g = alpha, b, g
        self.ramp = 1.0
        self._peak: Tensor | float = 0.0
        self._batches = 0

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.ramp = (epoch + 1) / epochs
        super().begin_epoch(epoch, lr_scale, epochs)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        delta = x_adv - x
        ahead, behind = x_adv if self.b == 1 else x + self.b * delta, x - self.g * delta
        with observed(self.student) as calls:
            loss = super().outer(x, x_adv, y)
        known = [logits for points, logits in calls if points is ahead]
        change = (known[0] if known else self.student(ahead)) - self.student(behind)
        target = self.teacher(ahead) - self.teacher(behind)
        igdm = kl_div(change, target)
        self._peak = self._peak + probabilities(target).amax(1).mean().detach()
        self._batches += 1
        return Loss(loss.per_example + self.alpha * self.ramp * igdm, {**loss.terms, "igdm": igdm})

    def end_epoch(self) -> None:
        """Warn of a teacher whose logits change towards one class alone."""
        peak = float(self._peak) / max(self._batches, 1)
        self._peak, self._batches = 0.0, 0
        if peak > _PEAKED:
            warnings.warn(
                f"IGDM: the teacher's target puts {peak:.2f} on one class on average; its logits are not locally "
                "linear. Use a robust teacher, or lower alpha",
                stacklevel=2,
            )
        super().end_epoch()
