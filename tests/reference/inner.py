"""What each method's adversary maximises: one number for each example, with gradient to the attacked images.

Networks are in eval mode, as in an attack. `x_adv` requires grad where the gradient is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tests.reference.distilled import fixed
from tests.reference.losses import cross_entropy, kl, rows


def label(student: nn.Module, x_adv: Tensor, y: Tensor) -> list[Tensor]:
    """`CE(S(x'), y)`."""
    return [cross_entropy(z, c) for z, c in zip(rows(student(x_adv)), y.tolist(), strict=True)]


def fixed_target(
    student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, tau: Sequence[float] | None = None
) -> list[Tensor]:
    """`KL(T(x) / tau[y] || S(x'))`; the student itself as the teacher is the objective of TRADES."""
    found = []
    for target, z, c in zip(fixed(teacher, x), rows(student(x_adv)), y.tolist(), strict=True):
        found.append(kl([value / (tau[c] if tau else 1.0) for value in target], z))
    return found


def moving_teacher(student: nn.Module, teacher: nn.Module, x_adv: Tensor) -> list[Tensor]:
    """`KL(T(x') || S(x'))`, gradient through both."""
    return [kl(target, z) for target, z in zip(rows(teacher(x_adv)), rows(student(x_adv)), strict=True)]


def linear_teacher(
    student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, *, lam: float
) -> list[Tensor]:
    """`KL(t || S(x'))`, t = T(x) but `t_y = T_y(x) + lam <dT_y(x)/dx, x' - x>`, gradient through t as well."""
    at = x.clone().requires_grad_()
    opinions, students, found = rows(teacher(at)), rows(student(x_adv)), []
    for i, c in enumerate(y.tolist()):
        (slope,) = torch.autograd.grad(opinions[i][c], at, retain_graph=True)
        target = [value.detach() for value in opinions[i]]
        steps = zip(slope[i].flatten(), (x_adv - x)[i].flatten(), strict=True)
        for g, d in steps:
            target[c] = target[c] + lam * g * d
        found.append(kl(target, students[i]))
    return found
