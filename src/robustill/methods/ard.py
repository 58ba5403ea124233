"""ARD: adversarially robust distillation.

Paper: Goldblum, Fowl, Feizi, Goldstein, "Adversarially Robust Distillation", AAAI 2020, arXiv 1905.09747.
Inner: CE(S(x'), y)
Outer: alpha t^2 KL(T(x; t) || S(x'; t)) + (1 - alpha) CE(S(x), y)
State: none
Differs: the released KL averages over classes too (a factor 1/C: a uniform one for alpha = 1, translated by
    training.loss_scale); its attack runs with batch norm in train mode, here in eval mode; its uniform start is not
    clipped to [0, 1], here it is; its second learning-rate drop changes nothing, here both drops act. It
    prints clean and robust accuracy under each other's label.
Settings: t 30, alpha 1; eps 8/255, step 2/255, 10 steps, uniform start; SGD 0.1, weight decay 2e-4, batch 128 (256 on
    CIFAR-100), 200 epochs, x0.1 after 100 and 150 epochs.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, kl_div
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen


class ARD(AdversarialMethod):
    """The teacher's clean soft label, taught at the student's own adversarial points.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher: Robust teacher, frozen.
        alpha: Weight of the soft term, 0 to 1. With 1 the clean forward still runs: it moves batch norm, as released.
        temperature: Divides both logits.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = ARD(student, teacher, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'nat']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        alpha: float = 1.0,
        temperature: float = 30.0,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="uniform"),
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.attack = student, Frozen(teacher), attack
        self.alpha, self.temperature = alpha, temperature

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: cross_entropy(self.student(x_adv), y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        t = self.temperature
        adv = t**2 * kl_div(self.student(x_adv), self.teacher(x), temperature=t)
        nat = cross_entropy(self.student(x), y)
        return Loss(self.alpha * adv + (1 - self.alpha) * nat, {"adv": adv, "nat": nat})
