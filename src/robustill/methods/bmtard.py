"""B-MTARD: balanced multi-teacher adversarial robustness distillation, the journal form.

Paper: Zhao, Wang, Wei, "Mitigating Accuracy-Robustness Trade-off via Balanced Multi-Teacher Adversarial Distillation",
    TPAMI 2024, arXiv 2306.16170.
Inner: CE(S(x'), y)
Outer: sum_k w_k KL(T_k(x_k; tau_k) || S(x_k)), x_k = x' for robust and x for clean teachers
State: a weight, first loss and temperature per teacher; both balances take one step per batch, after the losses
    are formed with the old temperatures
Differs: the released code divides entropies by one another, which a very confident clean teacher turns into NaN for
    ever; here they are compared. Its adaptive state is never saved. Its KL averages over classes too
    (training.loss_scale = 0.1). It cannot run as published: two modules that it imports are missing, the paths of its
    teachers are empty, and there is no script for CIFAR-100.
Settings: weight rate 0.025 and temperature rate 0.001, both x0.1 with the learning rate; temperatures in [1, 10];
    otherwise as MTARD.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import cross_entropy, entropy, kl_div
from robustill.methods.balance import EntropyBalance, LossBalance
from robustill.methods.base import AdversarialMethod, Loss
from robustill.models import Frozen


class BMTARD(AdversarialMethod):
    """Robust and clean teachers with balanced temperatures (their knowledge) and weights (their progress).

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher_adv: Robust teacher, or several; frozen; see x'.
        teacher_nat: Clean teacher, or several; frozen; see x.
        weight_rate: Learning rate of the weights (0 switches the loss balance off).
        temperature_rate: Step of the temperatures (0 switches the entropy balance off, which is MTARD).
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher_adv, teacher_nat = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(3))
    >>> method = BMTARD(student, teacher_adv, teacher_nat, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['H_adv', 'H_nat', 'adv', 'nat', 'tau_adv', 'tau_nat', 'w_adv', 'w_nat']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher_adv: nn.Module | Sequence[nn.Module],
        teacher_nat: nn.Module | Sequence[nn.Module],
        *,
        weight_rate: float = 0.025,
        temperature_rate: float = 0.001,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.attack = student, attack
        self.teachers_adv, self.teachers_nat = _frozen(teacher_adv), _frozen(teacher_nat)
        self.names = [f"adv{k}" for k in range(len(self.teachers_adv))]
        self.names += [f"nat{k}" for k in range(len(self.teachers_nat))]
        if len(self.names) == 2:
            self.names = ["adv", "nat"]
        self.weight_rate, self.temperature_rate = weight_rate, temperature_rate
        self.losses = LossBalance(len(self.names), rate=weight_rate)
        self.entropies = EntropyBalance(len(self.names), rate=temperature_rate)

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.losses.rate = self.weight_rate * lr_scale
        self.entropies.rate = self.temperature_rate * lr_scale

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: cross_entropy(self.student(x_adv), y)

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        adv, nat = self.student(x_adv), self.student(x)
        pairs = [(adv, teacher(x_adv)) for teacher in self.teachers_adv]
        pairs += [(nat, teacher(x)) for teacher in self.teachers_nat]
        tau = self.entropies.temperatures.clone()
        targets = [logits / tau[k] for k, (_, logits) in enumerate(pairs)]
        losses = torch.stack([kl_div(pair[0], target) for pair, target in zip(pairs, targets, strict=True)])
        spread = torch.stack([entropy(target).mean() for target in targets])
        if self.training:
            self.entropies.update(spread)
            self.losses.update(losses.mean(1))
        weights = self.losses.weights.clone()
        terms: dict[str, Tensor] = {}
        for k, name in enumerate(self.names):
            terms |= {name: losses[k], f"w_{name}": weights[k], f"tau_{name}": tau[k], f"H_{name}": spread[k]}
        return Loss((weights[:, None] * losses).sum(0), terms)


def _frozen(teachers: nn.Module | Sequence[nn.Module]) -> nn.ModuleList:
    return nn.ModuleList(Frozen(t) for t in ([teachers] if isinstance(teachers, nn.Module) else teachers))
