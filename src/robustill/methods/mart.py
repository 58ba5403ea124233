"""MART: misclassification-aware adversarial training.

Paper: Wang, Zou, Yi, Bailey, Ma, Gu, "Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
    ICLR 2020.
Inner: CE(S(x'), y)
Outer: BCE(S(x'), y) + lam KL(S(x) || S(x')) (1 - S(x)_y), nothing detached
State: none
Settings: lam 5 (6 for WideResNet); eps 0.031, step 0.007, 10 steps, Gaussian start; ResNet-18: SGD 0.01, weight decay
    3.5e-3, batch 128, 120 epochs, x0.1 after 74, 89 and 99 epochs.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import boosted_cross_entropy, cross_entropy, mart
from robustill.methods.base import AdversarialMethod, Loss


class MART(AdversarialMethod):
    """Boosted cross-entropy, and a divergence that weighs more where the clean prediction is wrong.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> method = MART(student, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['bce', 'total']
    """

    def __init__(
        self,
        student: nn.Module,
        *,
        lam: float = 5.0,
        attack: PGD = PGD(eps=0.031, step_size=0.007, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.lam, self.attack = student, lam, attack

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: cross_entropy(self.student(x_adv), y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        nat_logits = self.student(x)
        adv_logits = self.student(x_adv)
        total = mart(adv_logits, nat_logits, y, lam=self.lam)
        return Loss(total, {"bce": boosted_cross_entropy(adv_logits, y), "total": total})
