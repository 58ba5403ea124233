"""Fair-ARD: fairness-aware reweighting of classes, around ARD or any other method with an adversary.

Paper: Yue, Mou, Wang, Zhao, "Revisiting Adversarial Robustness Distillation from the Perspective of Robust Fairness",
    NeurIPS 2023.
Inner: that of the wrapped method
Outer: w_y times the wrapped method's per-example loss
State: a weight per class, and the epoch's counts; w_c = kappa_c^-beta, rescaled to mean 1, then clipped to [5/6, 5/2],
    once per epoch, where kappa_c is the mean number of attack iterates still classified correctly
Differs: the released class mean assumes balanced classes; here it is over the class's examples, and a class without
    any keeps the mean of the others. The released Fair-MTARD teaches its clean term with the adversarial teacher, here
    it is MTARD's. Its loss balance sees weighted losses, here unweighted ones. The released attack around ARD has batch
    norm in train mode and a uniform start that is not clipped to [0, 1]; here it is in eval mode, and clipped.
Settings: beta 2; wrap ard, rslad, iad or mtard with their own settings, with Nesterov momentum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.methods.base import Loss, Method
from robustill.methods.whole import whole_sum
from robustill.methods.wrapper import Wrapper
from robustill.models import count_classes, observed


class FairARD(Wrapper):
    """Weighs classes up that the adversary breaks in few steps.

    Args:
        base: The method to wrap.
        beta: Exponent of the weights.
        low: Lowest weight.
        high: Highest weight.

    Raises:
        InputError: `base` has no adversary.
        ModelError: The student does not show its number of classes (no linear layer).

    >>> import torch
    >>> from torch import nn
    >>> from robustill.methods import RSLAD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = FairARD(RSLAD(student, teacher))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'lowest', 'nat']
    """

    weights: Tensor
    survived: Tensor
    count: Tensor

    def __init__(self, base: Method, *, beta: float = 2.0, low: float = 5 / 6, high: float = 5 / 2) -> None:
        super().__init__(base)
        self.beta, self.low, self.high = beta, low, high
        classes = count_classes(self.student)
        self.register_buffer("weights", torch.ones(classes))
        self.register_buffer("survived", torch.zeros(classes))
        self.register_buffer("count", torch.zeros(classes))
        self._steps: tuple[Tensor, Tensor] | None = None

    def perturb(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the wrapped method's points, and remember for each how many iterates were still right."""
        steps = torch.zeros_like(y, dtype=self.survived.dtype)
        with self.attacking(), observed(self.student) as calls:
            objective = self.inner(x, y)

            def counted(points: Tensor) -> Tensor:
                calls.clear()
                value = objective(points)
                # Restarts are compared without a gradient; those calls are no iterates.
                if torch.is_grad_enabled():
                    steps.add_(calls[0][1].argmax(1) == y)
                return value

            x_adv = self.attack(counted, x)
        self._steps = (x_adv, steps)
        return x_adv

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        loss = super().outer(x, x_adv, y)
        if self.training and self._steps is not None and self._steps[0] is x_adv:
            seen = torch.stack([self._steps[1], torch.ones_like(self._steps[1])])
            survived, count = whole_sum(self.count.new_zeros(2, len(self.count)).index_add_(1, y, seen))
            self.survived += survived
            self.count += count
        weight = self.weights[y]
        return Loss(weight * loss.per_example, {**loss.terms, "lowest": self.weights.min()})

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Take the weights of the next epoch from the counts of this one."""
        seen = self.count > 0
        if bool(seen.any()):
            kappa = self.survived / self.count.clamp_min(1)
            kappa = torch.where(seen, kappa, kappa[seen].mean())
            weights = (kappa + 1e-5) ** -self.beta
            self.weights.copy_((weights / weights.mean()).clamp(self.low, self.high))
        self.survived.zero_()
        self.count.zero_()
        super().end_epoch()
