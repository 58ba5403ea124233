"""LBGAT: learnable boundary guided adversarial training.

Paper: Cui, Liu, Wang, Jia, "Learnable Boundary Guided Adversarial Training", ICCV 2021.
Inner: KL(S(x) || S(x'))
Outer: |S(x') - G(x)|^2 / C + CE(G(x), y) + beta KL(S(x) || S(x'))
Variants: the distance is of logits; nothing is detached, so it moves the guide too.
State: the guide, trained from fresh weights (training.guides.guide; the student's optimizer settings when left out)
Differs: the clean prediction is computed once per attack instead of in every step.
Settings: beta 0 or 6; eps 0.031, step 0.007, 10 steps, Gaussian start; guide ResNet-18; SGD 0.1, weight decay 2e-4,
    batch 128, 100 epochs (the first at 0.02), x0.1 after 75 and 90 epochs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, kl_div, squared_distance
from robustill.methods.base import AdversarialMethod, Loss


class LBGAT(AdversarialMethod):
    """The student's adversarial logits are drawn to the clean logits of a guide that learns beside it.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        guide: Trained network that sees clean images only.
        beta: Weight of the TRADES term. With 0 the clean forward still runs and moves batch norm.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, guide = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = LBGAT(student, guide, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'boundary', 'guide']
    """

    fresh = ("guide",)

    def __init__(
        self,
        student: nn.Module,
        guide: nn.Module,
        *,
        beta: float = 6.0,
        attack: PGD = PGD(eps=0.031, step_size=0.007, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.guide, self.beta, self.attack = student, guide, beta, attack

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        with torch.no_grad():
            target = self.student(x)
        return lambda x_adv: kl_div(self.student(x_adv), target)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        adv_logits, nat_logits, guide_logits = self.student(x_adv), self.student(x), self.guide(x)
        boundary = squared_distance(adv_logits, guide_logits)
        guide = cross_entropy(guide_logits, y)
        adv = kl_div(adv_logits, nat_logits)
        return Loss(boundary + guide + self.beta * adv, {"boundary": boundary, "guide": guide, "adv": adv})
