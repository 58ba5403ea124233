"""HAT: helper-based adversarial training.

Paper: Rade, Moosavi-Dezfooli, "Reducing Excessive Margin to Achieve a Better Accuracy vs. Robustness Trade-off",
    ICLR 2022.
Inner: KL(S(x) || S(x'))
Outer: CE(S(x), y) + beta KL(S(x) || S(x')) + gamma CE(S(x + h (x' - x)), argmax T_nat(x'))
State: none
Differs: nothing known; x + h (x' - x) is not clipped to [0, 1], as released.
Settings: h 2, beta 2.5, gamma 0.5; eps 8/255, step 2/255, 10 steps, Gaussian start; SGD with Nesterov momentum, one
    cycle to 0.21, weight decay 5e-4, batch 128, 50 epochs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, kl_div
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen


class HAT(AdversarialMethod):
    """TRADES with helper examples beyond the ball, labelled as a clean network labels the adversarial ones.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher_nat: Clean network, frozen; only its class at x' is used.
        beta: Weight of the TRADES term.
        gamma: Weight of the helper examples.
        h: Length of their perturbation, in adversarial ones.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher_nat = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = HAT(student, teacher_nat, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'helper', 'nat']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher_nat: nn.Module,
        *,
        beta: float = 2.5,
        gamma: float = 0.5,
        h: float = 2.0,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.teacher_nat, self.attack = student, Frozen(teacher_nat), attack
        self.beta, self.gamma, self.h = beta, gamma, h

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        with torch.no_grad():
            target = self.student(x)
        return lambda x_adv: kl_div(self.student(x_adv), target)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        y_helper = self.teacher_nat(x_adv).argmax(1)
        nat_logits, adv_logits = self.student(x), self.student(x_adv)
        helper = cross_entropy(self.student(x + self.h * (x_adv - x)), y_helper)
        nat, adv = cross_entropy(nat_logits, y), kl_div(adv_logits, nat_logits)
        return Loss(nat + self.beta * adv + self.gamma * helper, {"nat": nat, "adv": adv, "helper": helper})
