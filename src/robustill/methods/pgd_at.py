"""Adversarial training.

Paper: Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks",
    ICLR 2018, arXiv 1706.06083.
Inner: CE(S(x'), y)
Outer: CE(S(x'), y)
State: none
Differs: the widely inherited training loop leaves batch norm in train mode during the attack and computes weight
    gradients in each of its steps; here the attack runs in eval mode and leaves gradients alone.
Settings: eps 8/255, step 2/255, 10 steps, uniform start; SGD 0.1, momentum 0.9, weight decay 5e-4, batch 128,
    200 epochs, x0.1 after 100 and 150 epochs.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy
from robustill.methods.base import AdversarialMethod, Loss


class PGDAT(AdversarialMethod):
    """Cross-entropy at the points that maximise it.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> method = PGDAT(student, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv']
    """

    def __init__(
        self, student: nn.Module, *, attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="uniform")
    ) -> None:
        super().__init__()
        self.student, self.attack = student, attack

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: cross_entropy(self.student(x_adv), y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        adv = cross_entropy(self.student(x_adv), y)
        return Loss(adv, {"adv": adv})
