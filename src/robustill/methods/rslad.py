"""RSLAD: robust soft label adversarial distillation.

Paper: Zi, Zhao, Ma, Jiang, "Revisiting Adversarial Robustness Distillation: Robust Soft Labels Make Student Better",
    ICCV 2021, arXiv 2108.07969.
Inner: KL(T(x) || S(x'))
Outer: alpha KL(T(x) || S(x')) + (1 - alpha) KL(T(x) || S(x))
State: none
Differs: the released KL averages over classes too and is multiplied by 10 on CIFAR-100: batch-mean KL / 10 for any
    class count, translated by training.loss_scale = 0.1. RSLAD in SAAD's repository trains at eps 2/255: eps and step
    size are swapped there.
Settings: alpha 5/6; eps 8/255, step 2/255, 10 steps, Gaussian start; SGD 0.1, weight decay 2e-4, batch 128, 300 epochs,
    x0.1 after 215, 260 and 285 epochs.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import kl_div
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen


class RSLAD(AdversarialMethod):
    """The teacher's clean soft label everywhere: in the attack, at the adversarial point, at the clean one.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher: Robust teacher, frozen.
        alpha: Weight of the adversarial term, 0 to 1.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = RSLAD(student, teacher, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'nat']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        alpha: float = 5 / 6,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.teacher = student, Frozen(teacher)
        self.alpha, self.attack = alpha, attack

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        target = self.teacher(x)
        return lambda x_adv: kl_div(self.student(x_adv), target)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        target = self.teacher(x)
        adv = kl_div(self.student(x_adv), target)
        nat = kl_div(self.student(x), target)
        return Loss(self.alpha * adv + (1 - self.alpha) * nat, {"adv": adv, "nat": nat})
