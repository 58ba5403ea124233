"""What each method minimises at given adversarial points, with the forwards in the order of the released code.

Every function takes networks `[B, ...] -> [B, C]`, images, adversarial images and labels, and returns a scalar.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tests.reference.losses import boosted_cross_entropy, cross_entropy, entropy, kl, mean, probabilities, rows


def _fixed(teacher: nn.Module, x: Tensor) -> list[list[Tensor]]:
    with torch.no_grad():
        return rows(teacher(x))


def _mean_cross_entropy(logits: list[list[Tensor]], y: Tensor) -> Tensor:
    return mean([cross_entropy(z, int(label)) for z, label in zip(logits, y, strict=True)])


def _mean_kl(targets: list[list[Tensor]], students: list[list[Tensor]], t: float = 1.0) -> Tensor:
    return mean([kl(p, q, t) for p, q in zip(targets, students, strict=True)])


def standard(student: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """CE(S(x), y)."""
    return _mean_cross_entropy(rows(student(x)), y)


def kd(student: nn.Module, teacher: nn.Module, x: Tensor, y: Tensor, *, alpha: float, t: float) -> Tensor:
    """Alpha t^2 KL(T(x; t) || S(x; t)) + (1 - alpha) CE(S(x), y)."""
    clean = rows(student(x))
    soft = t * t * _mean_kl(_fixed(teacher, x), clean, t)
    return alpha * soft + (1 - alpha) * _mean_cross_entropy(clean, y)


def pgd_at(student: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> Tensor:
    """CE(S(x'), y)."""
    return _mean_cross_entropy(rows(student(x_adv)), y)


def trades(student: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, *, beta: float) -> Tensor:
    """CE(S(x), y) + beta KL(S(x) || S(x')), gradient through both."""
    clean = rows(student(x))
    attacked = rows(student(x_adv))
    return _mean_cross_entropy(clean, y) + beta * _mean_kl(clean, attacked)


def mart(student: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, *, lam: float) -> Tensor:
    """BCE(S(x'), y) + lam KL(S(x) || S(x')) (1.0000001 - p_S(x)[y]), nothing detached."""
    clean = rows(student(x))
    attacked = rows(student(x_adv))
    boosted, weighted = [], []
    for i, label in enumerate(y.tolist()):
        boosted.append(boosted_cross_entropy(attacked[i], label))
        weighted.append(kl(clean[i], attacked[i]) * (1.0000001 - probabilities(clean[i])[label]))
    return mean(boosted) + lam * mean(weighted)


def ard(
    student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, *, alpha: float, t: float
) -> Tensor:
    """Alpha t^2 KL(T(x; t) || S(x'; t)) + (1 - alpha) CE(S(x), y)."""
    attacked = rows(student(x_adv))
    clean = rows(student(x))
    soft = alpha * t * t * _mean_kl(_fixed(teacher, x), attacked, t)
    return soft + (1 - alpha) * _mean_cross_entropy(clean, y)


def rslad(student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, *, alpha: float) -> Tensor:
    """Alpha KL(T(x) || S(x')) + (1 - alpha) KL(T(x) || S(x))."""
    attacked = rows(student(x_adv))
    clean = rows(student(x))
    label = _fixed(teacher, x)
    return alpha * _mean_kl(label, attacked) + (1 - alpha) * _mean_kl(label, clean)


def adaad(student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, *, alpha: float) -> Tensor:
    """Alpha KL(T(x') || S(x')) + (1 - alpha) KL(T(x) || S(x))."""
    clean = rows(student(x))
    attacked = rows(student(x_adv))
    return alpha * _mean_kl(_fixed(teacher, x_adv), attacked) + (1 - alpha) * _mean_kl(_fixed(teacher, x), clean)


def two_teachers(
    student: nn.Module, robust: nn.Module, natural: nn.Module, x: Tensor, x_adv: Tensor, tau: Sequence[float]
) -> tuple[Tensor, Tensor, float, float]:
    """Return L_adv, L_nat, H_adv, H_nat of (B-)MTARD; a temperature divides the logits of its teacher only."""
    attacked = rows(student(x_adv))
    clean = rows(student(x))
    label_adv = [[z / tau[0] for z in row] for row in _fixed(robust, x_adv)]
    label_nat = [[z / tau[1] for z in row] for row in _fixed(natural, x)]
    entropies = [mean([entropy(row) for row in label]).item() for label in (label_adv, label_nat)]
    return _mean_kl(label_adv, attacked), _mean_kl(label_nat, clean), entropies[0], entropies[1]
