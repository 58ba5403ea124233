"""IAD: introspective adversarial distillation, forms I and II.

Paper: Zhu, Yao, Han, Zhang, Liu, Niu, Zhou, Xu, Yang, "Reliable Adversarial Distillation with Unreliable Teachers",
    ICLR 2022.
Inner: CE(S(x'), y)
Outer: alpha (t^2 KL(T(x; t) || S(x'; t)) + (1 - a) KL(S(x) || S(x'))) + (1 - alpha) CE(S(x), y), a = p_T(x')_y^beta
Variants: that was form I. Form II, with a clean teacher N: (1 - alpha1 - alpha2) CE(S(x'), y)
    + alpha1 t^2 (a KL(T(x'; t) || S(x'; t)) + (1 - a) KL(S(x) || S(x'))) + alpha2 t^2 KL(N(x'; t) || S(x'; t)). The
    trust a is per example, and 1 before epoch `begin`.
State: none (the trust starts with an epoch)
Differs: the text of the paper weighs form I's teacher term by the trust, the released code does not (weigh_teacher);
    the released attack runs with batch norm in train mode, here in eval mode; its uniform start is not clipped to
    [0, 1], here it is; from epoch `begin` on form I runs the student on x twice, which moves batch norm further
    towards x, here once; its second learning-rate drop is lost.
Settings: beta 0.1; I: alpha 1, t 1, begin 60; II: alpha1 0.5, alpha2 0.25, begin 40; eps 8/255, step 2/255, 10 steps,
    uniform start; SGD 0.1, weight decay 2e-4, batch 128, 200 epochs, x0.1 after 100 and 150 epochs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, kl_div
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen


class IAD(AdversarialMethod):
    """Where the teacher is unsure of the label at x', the student trusts its own clean prediction instead.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher: Robust teacher, frozen.
        teacher_nat: Clean teacher, frozen; with it the form is II, without it I.
        alpha: Form I: weight of the soft terms, 0 to 1.
        alpha1: Form II: weight of the robust teacher and the student's own prediction.
        alpha2: Form II: weight of the clean teacher.
        temperature: Divides the logits of the teachers' terms.
        beta: Exponent of the trust.
        begin: 0-based epoch from which the trust counts; the published 60 (form I) or 40 (form II) when None.
        weigh_teacher: Form I: weigh the teacher's term by the trust.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher, teacher_nat = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(3))
    >>> method = IAD(student, teacher, teacher_nat, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['clean', 'hard', 'own', 'soft', 'trust']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        teacher_nat: nn.Module | None = None,
        *,
        alpha: float = 1.0,
        alpha1: float = 0.5,
        alpha2: float = 0.25,
        temperature: float = 1.0,
        beta: float = 0.1,
        begin: int | None = None,
        weigh_teacher: bool = False,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="uniform"),
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.attack = student, Frozen(teacher), attack
        self.teacher_nat = None if teacher_nat is None else Frozen(teacher_nat)
        self.alpha, self.alpha1, self.alpha2, self.temperature = alpha, alpha1, alpha2, temperature
        self.beta, self.weigh_teacher = beta, weigh_teacher
        self.begin = begin if begin is not None else 60 if teacher_nat is None else 40
        self.trusting = self.begin > 0

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.trusting = epoch < self.begin

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: cross_entropy(self.student(x_adv), y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        t = self.temperature
        adv, nat = self.student(x_adv), self.student(x)
        trust = torch.exp(-self.beta * cross_entropy(self.teacher(x_adv), y))
        trust = torch.ones_like(trust) if self.trusting else trust
        own = (1 - trust) * kl_div(adv, nat)
        if self.teacher_nat is None:
            soft = t**2 * kl_div(adv, self.teacher(x), temperature=t)
            soft = trust * soft if self.weigh_teacher else soft
            hard = cross_entropy(nat, y)
            total = self.alpha * (soft + own) + (1 - self.alpha) * hard
            return Loss(total, {"soft": soft, "own": own, "hard": hard, "trust": trust})
        soft = trust * kl_div(adv, self.teacher(x_adv), temperature=t)
        clean = t**2 * kl_div(adv, self.teacher_nat(x_adv), temperature=t)
        hard = cross_entropy(adv, y)
        total = (1 - self.alpha1 - self.alpha2) * hard + self.alpha1 * t**2 * (soft + own) + self.alpha2 * clean
        return Loss(total, {"soft": soft, "own": own, "clean": clean, "hard": hard, "trust": trust})
