"""MTARD: multi-teacher adversarial robustness distillation, the conference form (loss balance only).

Paper: Zhao, Yu, Sun, Zhang, Wei, "Enhanced Accuracy and Robustness via Multi-Teacher Adversarial Distillation",
    ECCV 2022.
Inner: CE(S(x'), y)
Outer: w_adv KL(T_adv(x') || S(x')) + w_nat KL(T_nat(x) || S(x))
State: w_adv, w_nat and the losses of the first batch (normalisation loss balance, one step per batch)
Differs: the released code never saves the weights and first losses, so it cannot resume; its KL averages over classes
    too (translated by training.loss_scale = 0.1). Its CIFAR-10 script builds a WRN-34-10 for the clean teacher, whose
    file is a ResNet-56 and does not load; its CIFAR-100 script calls a module as if it were a function, a TypeError
    (read, not run), and gives its files the names of CIFAR-10's.
Settings: weight rate 0.025, x0.1 with the learning rate; eps 8/255, step 2/255, 10 steps, Gaussian start; otherwise as
    RSLAD. Teachers: TRADES WRN-34-10 and a clean ResNet-56 on CIFAR-10.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, kl_div
from robustill.methods.balance import LossBalance
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen


class MTARD(AdversarialMethod):
    """A robust teacher on adversarial and a clean teacher on clean images, weighted by their progress.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher_adv: Robust teacher, frozen; sees x'.
        teacher_nat: Clean teacher, frozen; sees x.
        weight_rate: Learning rate of the weights; multiplied by the schedule's decay.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher_adv, teacher_nat = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(3))
    >>> method = MTARD(student, teacher_adv, teacher_nat, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'nat', 'w_adv', 'w_nat']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher_adv: nn.Module,
        teacher_nat: nn.Module,
        *,
        weight_rate: float = 0.025,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.attack, self.weight_rate = student, attack, weight_rate
        self.teacher_adv, self.teacher_nat = Frozen(teacher_adv), Frozen(teacher_nat)
        self.balance = LossBalance(2, rate=weight_rate)

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.balance.rate = self.weight_rate * lr_scale

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: cross_entropy(self.student(x_adv), y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        adv = kl_div(self.student(x_adv), self.teacher_adv(x_adv))
        nat = kl_div(self.student(x), self.teacher_nat(x))
        if self.training:
            self.balance.update(torch.stack([adv.mean(), nat.mean()]))
        # A copy, because the balance moves its buffer in place while the graph holds the weights.
        w_adv, w_nat = self.balance.weights.clone()
        terms = {"adv": adv, "nat": nat, "w_adv": w_adv, "w_nat": w_nat}
        return Loss(w_adv * adv + w_nat * nat, terms)
