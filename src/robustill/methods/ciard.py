"""CIARD: cyclic iterative adversarial robustness distillation.

Paper: Lu et al., ICCV 2025, arXiv 2509.12633.
Inner: CE(S(x'), y)
Outer: w_adv KL(T_adv(x'; tau_adv) || S(x')) + w_nat KL(T_nat(x; tau_nat) || S(x)) - w_push KL(T_nat(x') || S(x'; 5))
Variants: the pushing term is the mean over examples with T_nat wrong at x', brought by w_push, a power of ten, to the
    order of the smaller loss. From epoch `begin` the robust teacher itself learns CE(T_adv(x'), y).
State: the robust teacher, with an optimizer and a schedule of its own (training.guides.teacher_adv); the weights, first
    losses and temperatures of B-MTARD
Differs: a released form leaves the loss balance without effect (balance = false). It lowers the balances' rates at each
    step of epoch 215, runs the robust teacher in train mode before it learns (its batch norm drifts), and cannot resume
    it. Its rates follow their cosines once per epoch, counted from 1; here they fall at every step, up to one epoch
    later. Its KL averages over classes too (training.loss_scale = 0.1). That scales the teacher's cross-entropy as
    well; a learning rate x10 and a weight decay x0.1 undo it. The rate alone would make the decay ten times too strong.
Settings: begin 50; student SGD 0.1, weight decay 2e-4, batch 128, 300 epochs, cosine after 150 epochs; teacher SGD
    1e-4, momentum 0.1, weight decay 2e-4, cosine after 50 epochs; otherwise as B-MTARD. Without
    training.guides.teacher_adv the robust teacher learns at the student's rate and forgets its robustness: on digits,
    five epochs, three seeds, its PGD-20 accuracy fell from 48 % to between 23 and 26 %; with it, it stayed at 48 %. The
    pushing term has no lower bound: watch it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, entropy, kl_div
from robustill.methods.balance import EntropyBalance, LossBalance
from robustill.methods.base import AdversarialMethod, Loss
from robustill.methods.whole import whole_mean, whole_size
from robustill.models import Frozen


class CIARD(AdversarialMethod):
    """B-MTARD that pushes the student away from the clean teacher's mistakes, with a robust teacher that goes on.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher_adv: Robust teacher, trained further; sees x'.
        teacher_nat: Clean teacher, frozen; sees x, and x' for the pushing term.
        begin: 0-based epoch from which the robust teacher learns.
        balance: Balance the two losses; off: weights 1, as released.
        push_temperature: Divides the student's logits in the pushing term.
        weight_rate: Learning rate of the weights; multiplied by the schedule's decay.
        temperature_rate: Step of the temperatures; multiplied by the schedule's decay.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher_adv, teacher_nat = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(3))
    >>> method = CIARD(student, teacher_adv, teacher_nat, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'nat', 'push', 'tau_adv', 'tau_nat', 'w_adv', 'w_nat', 'w_push']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher_adv: nn.Module,
        teacher_nat: nn.Module,
        *,
        begin: int = 50,
        balance: bool = True,
        push_temperature: float = 5.0,
        weight_rate: float = 0.025,
        temperature_rate: float = 0.001,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.attack = student, attack
        self.teacher_adv, self.teacher_nat = teacher_adv.requires_grad_(True).eval(), Frozen(teacher_nat)
        self.begin, self.balance, self.push_temperature = begin, balance, push_temperature
        self.weight_rate, self.temperature_rate = weight_rate, temperature_rate
        self.losses = LossBalance(2, rate=weight_rate)
        self.entropies = EntropyBalance(2, rate=temperature_rate)
        self.learning = begin <= 0

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.losses.rate, self.entropies.rate = self.weight_rate * lr_scale, self.temperature_rate * lr_scale
        self.learning = epoch >= self.begin
        self.teacher_adv.train(self.training and self.learning)

    def train(self, mode: bool = True) -> CIARD:
        """Set the mode; the robust teacher stays in eval mode as long as it does not learn."""
        super().train(mode)
        self.teacher_adv.train(mode and self.learning)
        return self

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: cross_entropy(self.student(x_adv), y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        nat_logits, adv_logits = self.student(x), self.student(x_adv)
        with torch.set_grad_enabled(self.learning and torch.is_grad_enabled()):
            robust = self.teacher_adv(x_adv)
        tau = self.entropies.temperatures.clone()
        targets = (robust.detach() / tau[0], self.teacher_nat(x) / tau[1])
        losses = torch.stack([kl_div(adv_logits, targets[0]), kl_div(nat_logits, targets[1])])
        if self.training:
            self.entropies.update(torch.stack([entropy(target).mean() for target in targets]))
            self.losses.update(losses.mean(1))
        weights = self.losses.weights.clone() if self.balance else torch.ones_like(self.losses.weights)
        push, w_push = self._push(adv_logits, x_adv, y, whole_mean(losses.mean(1)))
        total = (weights[:, None] * losses).sum(0) - w_push * push
        terms = {"adv": losses[0], "nat": losses[1], "push": push, "w_push": w_push}
        terms |= {"w_adv": weights[0], "w_nat": weights[1], "tau_adv": tau[0], "tau_nat": tau[1]}
        if self.learning:
            terms["teacher"] = cross_entropy(robust, y)
            total = total + terms["teacher"]
        return Loss(total, terms)

    def _push(self, adv_logits: Tensor, x_adv: Tensor, y: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pushing term `[B]`, whose mean is over the clean teacher's mistakes, and its weight."""
        mistaken = self.teacher_nat(x_adv)
        wrong = (mistaken.argmax(1) != y).to(losses.dtype)
        share = whole_mean(wrong.mean())
        push = wrong * kl_div(adv_logits / self.push_temperature, mistaken) / share.clamp_min(1 / whole_size(len(y)))
        size = torch.stack([*losses, whole_mean(push.mean())]).clamp_min(1e-12).log10().floor()
        # No mistakes, no term: its weight would be a power of ten without a meaning.
        return push, torch.where(share > 0, 10 ** (size[:2].min() - size[2]), 0)
