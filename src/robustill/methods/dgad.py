"""DGAD: dynamic guidance adversarial distillation.

Paper: Park, Min, "Dynamic Guidance Adversarial Distillation with Enhanced Teacher Knowledge", ECCV 2024,
    arXiv 2409.01627.
Inner: KL(T(x') || S(x')), gradient through both networks
Outer: KL(T^(x) || S(x)) if T is wrong on x else KL(T^(x') || S(x')), + beta |p_S(x') - p_S(x)|^2 / C
Variants: where T^ has the logits of the label and of the largest class swapped where T is wrong on that image.
State: none
Differs: the released code reweighs its two subsets by the configured batch size (wrong for the last batch, a division
    by zero where the teacher is always wrong), here each example counts once. Its MobileNetV2 branch multiplies the
    subsets' losses instead of adding them (legacy_mnv2).
Settings: beta 1; eps 8/255, step 2/255, 10 steps, Gaussian start; SGD 0.1, weight decay 5e-4, batch 128, 200 epochs,
    x0.1 after 100 and 150 epochs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import kl_div, probabilities, squared_distance
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen


class DGAD(AdversarialMethod):
    """Clean lessons where the teacher is wrong, adversarial ones elsewhere, and its mistakes corrected by a swap.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher: Robust teacher, frozen; differentiable with respect to its input.
        beta: Weight of the predictive consistency; nothing is detached in it.
        legacy_mnv2: The loss of the released MobileNetV2 branch.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = DGAD(student, teacher, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'consistency', 'nat', 'teacher_wrong']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        beta: float = 1.0,
        legacy_mnv2: bool = False,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.attack = student, Frozen(teacher), attack
        self.beta, self.legacy_mnv2 = beta, legacy_mnv2
        self.whole_batch = "DGAD's legacy_mnv2 multiplies means over the whole batch" if legacy_mnv2 else None

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: kl_div(self.student(x_adv), self.teacher(x_adv))

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        wrong = (self.teacher(x).argmax(1) != y).to(x.dtype)
        nat_logits, adv_logits = self.student(x), self.student(x_adv)
        nat = wrong * kl_div(nat_logits, corrected(self.teacher(x), y))
        adv = (1 - wrong) * kl_div(adv_logits, corrected(self.teacher(x_adv), y))
        consistency = squared_distance(probabilities(adv_logits), probabilities(nat_logits))
        taught = nat + adv
        if self.legacy_mnv2:
            right = (1 - wrong).mean()
            taught = 0.5 * (nat.mean() + right) * adv / right.clamp_min(1 / len(y))
        terms = {"nat": nat, "adv": adv, "consistency": consistency, "teacher_wrong": wrong}
        return Loss(taught + self.beta * consistency, terms)


def corrected(logits: Tensor, y: Tensor) -> Tensor:
    """Return logits `[B, C]` with the label's and the largest one swapped; they are the same where `y` leads."""
    top = logits.argmax(1, keepdim=True)
    label = y[:, None]
    largest, own = logits.gather(1, top), logits.gather(1, label)
    # Label first: where both are the same class, the second write puts its value back.
    return torch.scatter(torch.scatter(logits, 1, label, largest), 1, top, own)
