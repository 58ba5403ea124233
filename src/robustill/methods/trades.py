"""TRADES: the trade-off between clean and robust error, as a loss.

Paper: Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan, "Theoretically Principled Trade-off between Robustness and Accuracy",
    ICML 2019, arXiv 1901.08573.
Inner: KL(S(x) || S(x')), S(x) fixed
Outer: CE(S(x), y) + beta KL(S(x) || S(x')), gradient through both sides
State: none
Differs: the released attack recomputes S(x) in every step and the released loss runs S(x) twice; here once each, so
    batch norm sees one clean and one adversarial batch per step instead of two and one.
Settings: beta 6; eps 0.031, step 0.007, 10 steps, Gaussian start; SGD 0.1, weight decay 2e-4, batch 128, 76 epochs,
    x0.1 after 74 epochs.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, kl_div
from robustill.methods.base import AdversarialMethod, Loss


class TRADES(AdversarialMethod):
    """Clean cross-entropy plus `beta` times the divergence from the clean to the adversarial prediction.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> method = TRADES(student, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'nat']
    """

    def __init__(
        self,
        student: nn.Module,
        *,
        beta: float = 6.0,
        attack: PGD = PGD(eps=0.031, step_size=0.007, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.beta, self.attack = student, beta, attack

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        target = self.student(x).detach()
        return lambda x_adv: kl_div(self.student(x_adv), target)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        nat_logits = self.student(x)
        nat = cross_entropy(nat_logits, y)
        # The target keeps its graph: the clean prediction is pulled towards the adversarial one as well.
        adv = kl_div(self.student(x_adv), nat_logits)
        return Loss(nat + self.beta * adv, {"nat": nat, "adv": adv})
