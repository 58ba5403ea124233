"""Faithful distillation (our formulation): closeness to the teacher, attacked from below and certified from above.

Paper: after Lamb, Brunel, Kumar, Torr, Eiras et al., "Faithful Knowledge Distillation", arXiv 2306.04431, whose
    aim this is: a student as confident as its teacher around each image, verifiably. The formulas here are ours.
Inner: KL(T(x') || S(x')), gradient through both networks; with confidence = true |S(x')_y - T(x')_y|
Outer: (1 - lam) KL(T(x) || S(x)) + lam KL(T(x') || S(x')) + b C, C >= |S(x'')_y - T(x)_y| for every x'' near x
Variants: S and T are probabilities in C. Its radius rises from 0 to cert_eps and b from 0 to beta during `ramp`, after
    `warmup`, both shares of the run. With `joint` C bounds |S(x'')_y - T(x'')_y|, which takes a teacher that can be
    bounded itself; that is at most the former and |T(x'')_y - T(x)_y| together, and the latter no student can change.
    With `surrogate` C = tanh(d / 4), d being the most by which the log odds of y may differ.
State: the steps of this epoch and of an epoch (the rise goes step by step, from the second epoch on)
Differs: no code of the paper is known. The bounds are of the student in eval mode: batch norm enters with its running
    statistics, so that networks without it are the better choice.
Settings: lam 5/6, beta 1/2, ramp over half of the run; eps 0.1 for the attack and 0.05 for the certificate on
    Fashion-MNIST. bounds = "ibp" takes a small part of the time. In single short runs it certified as much as
    crown-ibp, surrogate certified less, and joint a little more where the teacher had been trained to be certified.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.losses import kl_div, probabilities
from robustill.methods.base import AdversarialMethod, Loss
from robustill.methods.ramp import Ramp, Ramped
from robustill.methods.worst_case import confidence_gap
from robustill.models import Frozen


class FaithfulDistillation(Ramped, AdversarialMethod):
    """Teacher and student compared where they differ most, and a bound of how much they can differ anywhere.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`, of operations whose bounds are known.
        teacher: Robust teacher, frozen; differentiable with respect to its input.
        lam: Weight of the adversarial term, 0 to 1.
        beta: Weight of the certified term at the end.
        cert_eps: Radius of the certified term, in units of [0, 1]; the attack's when left out.
        warmup: Share of the run before the certified term.
        ramp: Share of the run during which its radius and weight rise.
        confidence: Attack the confidence in the label instead of the divergence.
        bounds: By linear bounds with intervals for the inner layers, "crown-ibp", or by intervals alone, "ibp".
        joint: Compare with the teacher's bounds instead of its clean prediction.
        surrogate: Bound the gap by `tanh(b / 4)`, b being the most by which the log odds of y differ.
        attack: Training attack.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.attacks import PGD
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = FaithfulDistillation(student, teacher, attack=PGD(eps=0.1, step_size=0.05, steps=1))
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['adv', 'cert', 'nat']
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        lam: float = 5 / 6,
        beta: float = 0.5,
        cert_eps: float | None = None,
        warmup: float = 0.0,
        ramp: float = 0.5,
        confidence: bool = False,
        bounds: Literal["ibp", "crown-ibp"] = "crown-ibp",
        joint: bool = False,
        surrogate: bool = False,
        attack: PGD = PGD(eps=8 / 255, step_size=2 / 255, steps=10, init="gaussian"),
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.attack = student, Frozen(teacher), attack
        self.lam, self.beta, self.cert_eps, self.confidence = lam, beta, cert_eps, confidence
        self.bounds, self.joint, self.surrogate = bounds, joint, surrogate
        self.rise = Ramp(warmup, ramp)

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        if self.confidence:
            return lambda x_adv: _gap(self.student(x_adv), self.teacher(x_adv), y)
        return lambda x_adv: kl_div(self.student(x_adv), self.teacher(x_adv))

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        adv_logits, nat_logits = self.student(x_adv), self.student(x)
        adv, nat = kl_div(adv_logits, self.teacher(x_adv)), kl_div(nat_logits, self.teacher(x))
        beta, eps = self.rise.value * self.beta, self.rise.value * self._radius
        cert = self._certified(x, y, eps) if beta and eps else _gap(nat_logits, self.teacher(x), y)
        return Loss((1 - self.lam) * nat + self.lam * adv + beta * cert, {"adv": adv, "nat": nat, "cert": cert})

    def _certified(self, x: Tensor, y: Tensor, eps: float) -> Tensor:
        how = (self.bounds, self.attack.norm)
        return confidence_gap(self.student, self.teacher, x, y, eps, *how, joint=self.joint, surrogate=self.surrogate)

    @property
    def _radius(self) -> float:
        return self.attack.eps if self.cert_eps is None else self.cert_eps


def _gap(student: Tensor, teacher: Tensor, y: Tensor) -> Tensor:
    """Return by how much two confidences in the label differ, `[B]`."""
    ours, theirs = (probabilities(logits).gather(1, y[:, None]).squeeze(1) for logits in (student, teacher))
    return (ours - theirs).abs()
