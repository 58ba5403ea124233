"""ABSLD: anti-bias soft label distillation, RSLAD with a teacher temperature per class.

Paper: Zhao, Duan, Wang, Wei, "Improving Adversarial Robust Fairness via Anti-Bias Soft Label Distillation",
    NeurIPS 2024.
Inner: KL(T(x; tau_adv[y]) || S(x'))
Outer: alpha KL(T(x; tau_adv[y]) || S(x')) + (1 - alpha) KL(T(x; tau_nat[y]) || S(x))
State: two temperatures per class, and the epoch's class risks R_c = mean CE; tau_c moves by -rate g_c / max |g| within
    [0.5, 5] once per epoch, g = R - mean R (a harder class gets a sharper label)
Differs: the released targets share memory, so that both temperatures act on both terms, here each on its own; its class
    risks are sums, which balanced classes make the same thing; equal risks give it NaN, here no change; a class without
    examples keeps its temperatures. Its KL averages over classes too (training.loss_scale = 0.1). It ends in a
    NameError when it first saves, after epoch 10. A drop of its rate acts on the temperatures at the end of the epoch
    before it, here at the end of the first epoch with it.
Settings: alpha 5/6, rate 0.1, x0.1 with the learning rate; otherwise as RSLAD.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, kl_div
from robustill.methods.base import AdversarialMethod, Loss
from robustill.methods.whole import whole_sum
from robustill.models import Frozen, count_classes


class ABSLD(AdversarialMethod):
    """RSLAD whose soft labels are sharpened for classes that are hard, and smoothed for easy ones.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher: Robust teacher, frozen.
        alpha: Weight of the adversarial term, 0 to 1.
        rate: Largest move of a temperature per epoch; multiplied by the schedule's decay.
        low: Lowest temperature.
        high: Highest temperature.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = ABSLD(student, teacher, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'nat', 'tau_adv', 'tau_nat']
    """

    temperatures: Tensor
    risks: Tensor
    count: Tensor

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        alpha: float = 5 / 6,
        rate: float = 0.1,
        low: float = 0.5,
        high: float = 5.0,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.attack = student, Frozen(teacher), attack
        self.alpha, self.rate, self.low, self.high = alpha, rate, low, high
        self.decay, classes = 1.0, count_classes(student)
        # Row 0: adversarial, row 1: clean.
        self.register_buffer("temperatures", torch.ones(2, classes))
        self.register_buffer("risks", torch.zeros(2, classes))
        self.register_buffer("count", torch.zeros(classes))

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.decay = lr_scale

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        target = self.teacher(x) / self.temperatures[0, y][:, None]
        return lambda x_adv: kl_div(self.student(x_adv), target)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        adv_logits, nat_logits = self.student(x_adv), self.student(x)
        adv_target, nat_target = (self.teacher(x) / tau[y][:, None] for tau in self.temperatures)
        adv, nat = kl_div(adv_logits, adv_target), kl_div(nat_logits, nat_target)
        if self.training:
            self._note(torch.stack([cross_entropy(adv_logits, y), cross_entropy(nat_logits, y)]).detach(), y)
        tau = self.temperatures.mean(1)
        return Loss(
            self.alpha * adv + (1 - self.alpha) * nat, {"adv": adv, "nat": nat, "tau_adv": tau[0], "tau_nat": tau[1]}
        )

    def _note(self, risks: Tensor, y: Tensor) -> None:
        seen = torch.cat([risks.to(self.risks.dtype), torch.ones_like(risks[:1], dtype=self.risks.dtype)])
        sums = whole_sum(self.risks.new_zeros(3, len(self.count)).index_add_(1, y, seen))
        self.risks += sums[:2]
        self.count += sums[2]

    @torch.no_grad()
    def end_epoch(self) -> None:
        """Move the temperatures by the class risks of this epoch."""
        seen = self.count > 0
        if bool(seen.any()):
            risks = self.risks / self.count.clamp_min(1)
            gap = torch.where(seen, risks - risks[:, seen].mean(1, keepdim=True), 0)
            # Risks that are equal to rounding are equal: a difference of 1e-7 must not move a temperature by `rate`.
            widest = gap.abs().amax(1, keepdim=True)
            move = torch.where(widest > 1e-6 * risks.amax(1, keepdim=True), gap / widest.clamp_min(1e-12), 0)
            moved = self.temperatures - self.rate * self.decay * move
            self.temperatures.copy_(moved.clamp(self.low, self.high))
        self.risks.zero_()
        self.count.zero_()
