"""AKD2: labels, a robust and a clean teacher, all at the adversarial point.

Paper: Chen, Zhang, Liu, Chang, Wang, "Robust Overfitting May Be Mitigated by Properly Learned Smoothening", ICLR 2021;
    the name is that of its descendants (IAD, PeerAiD).
Inner: CE(S(x'), y)
Outer: (1 - lam1 - lam2) CE(S(x'), y) + lam1 t^2 KL(T_adv(x'; t) || S(x'; t)) + lam2 t^2 KL(T_nat(x'; t) || S(x'; t))
State: none
Differs: weights as in IAD's released baseline; the released attack runs with batch norm in train mode, here in eval
    mode; its uniform start is not clipped to [0, 1], here it is; its second learning-rate drop is lost.
Settings: lam1 0.5, lam2 0.25, t 1, with SWA (training.average); eps 8/255, step 2/255, 10 steps, uniform start; SGD
    0.1, weight decay 2e-4, batch 128, 200 epochs, x0.1 after 100 and 150 epochs.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, kl_div
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen


class AKD2(AdversarialMethod):
    """Adversarial training smoothed by two teachers that see what the student sees.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher_adv: Robust teacher, frozen.
        teacher_nat: Clean teacher, frozen.
        lam1: Weight of the robust teacher.
        lam2: Weight of the clean teacher; with both 0 this is PGD-AT.
        temperature: Divides the logits of the soft terms.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher_adv, teacher_nat = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(3))
    >>> method = AKD2(student, teacher_adv, teacher_nat, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['clean', 'hard', 'robust']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher_adv: nn.Module,
        teacher_nat: nn.Module,
        *,
        lam1: float = 0.5,
        lam2: float = 0.25,
        temperature: float = 1.0,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="uniform"),
    ) -> None:
        super().__init__()
        self.student, self.attack = student, attack
        self.teacher_adv, self.teacher_nat = Frozen(teacher_adv), Frozen(teacher_nat)
        self.lam1, self.lam2, self.temperature = lam1, lam2, temperature

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: cross_entropy(self.student(x_adv), y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        t = self.temperature
        adv = self.student(x_adv)
        hard = cross_entropy(adv, y)
        robust = t**2 * kl_div(adv, self.teacher_adv(x_adv), temperature=t)
        clean = t**2 * kl_div(adv, self.teacher_nat(x_adv), temperature=t)
        total = (1 - self.lam1 - self.lam2) * hard + self.lam1 * robust + self.lam2 * clean
        return Loss(total, {"hard": hard, "robust": robust, "clean": clean})
