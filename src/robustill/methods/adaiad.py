"""AdaIAD: AdaAD's adversary with IAD's trust in the teacher.

Paper: Huang et al., "Boosting Accuracy and Robustness of Student Models via Adaptive Adversarial Distillation",
    CVPR 2023.
Inner: KL(T(x') || S(x')), gradient through both networks
Outer: alpha (t^2 KL(T(x'; t) || S(x'; t)) + (1 - a) KL(S(x) || S(x'))) + (1 - alpha) CE(S(x), y), a = p_T(x')_y^beta
Variants: the trust a is per example, and 1 before epoch `begin`.
State: none (the trust starts with an epoch)
Differs: the released code runs the teacher on x' twice and computes the trust in a loop over the batch. It runs the
    student on x, x', x, and from epoch `begin` on once more on x, which moves batch norm further towards x; here on x
    and x'.
Settings: alpha 1, t 30, beta 0.1, begin 60; eps 8/255, step 2/255, 10 steps, Gaussian start; SGD 0.1, weight decay
    5e-4, batch 128, 200 epochs, x0.1 after 100 and 150 epochs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, kl_div
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen


class AdaIAD(AdversarialMethod):
    """The teacher at the point of largest disagreement, and the student's own clean prediction where it is unsure.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher: Robust teacher, frozen; differentiable with respect to its input.
        alpha: Weight of the soft terms, 0 to 1.
        temperature: Divides the logits of the teacher's term.
        beta: Exponent of the trust.
        begin: 0-based epoch from which the trust counts.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = AdaIAD(student, teacher, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['hard', 'own', 'soft', 'trust']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        alpha: float = 1.0,
        temperature: float = 30.0,
        beta: float = 0.1,
        begin: int = 60,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.attack = student, Frozen(teacher), attack
        self.alpha, self.temperature, self.beta, self.begin = alpha, temperature, beta, begin
        self.trusting = begin > 0

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.trusting = epoch < self.begin

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: kl_div(self.student(x_adv), self.teacher(x_adv))

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        t, target = self.temperature, self.teacher(x_adv)
        nat, adv = self.student(x), self.student(x_adv)
        trust = torch.exp(-self.beta * cross_entropy(target, y))
        trust = torch.ones_like(trust) if self.trusting else trust
        soft = t**2 * kl_div(adv, target, temperature=t)
        own = (1 - trust) * kl_div(adv, nat)
        hard = cross_entropy(nat, y)
        total = self.alpha * (soft + own) + (1 - self.alpha) * hard
        return Loss(total, {"soft": soft, "own": own, "hard": hard, "trust": trust})
