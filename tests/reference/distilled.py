"""What the further methods with frozen teachers minimise at given adversarial points.

Every function takes networks `[B, ...] -> [B, C]`, images, adversarial images and labels, and returns a scalar.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tests.reference.losses import Row, cross_entropy, entropy, kl, mean, probabilities, rows


def fixed(teacher: nn.Module, x: Tensor) -> list[list[Tensor]]:
    """Return the rows of a teacher that is not trained."""
    with torch.no_grad():
        return rows(teacher(x))


def trust(opinion: Row, label: int, beta: float, begun: bool) -> float:
    """`p_T(x')[y]^beta` once the warm-up is over, 1 before."""
    return probabilities(opinion)[label].item() ** beta if begun else 1.0


def iad_one(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    alpha: float,
    t: float,
    beta: float,
    begun: bool,
    weigh_teacher: bool = False,
) -> Tensor:
    """`alpha t^2 KL(T(x; t) || S(x'; t)) + alpha (1 - a) KL(S(x) || S(x')) + (1 - alpha) CE(S(x), y)`.

    The paper multiplies the first term by the trust a, the released code does not. Nothing of the student is detached.
    """
    attacked, clean = rows(student(x_adv)), rows(student(x))
    targets, opinions = fixed(teacher, x), fixed(teacher, x_adv)
    losses = []
    for i, label in enumerate(y.tolist()):
        a = trust(opinions[i], label, beta, begun)
        guided = alpha * t * t * kl(targets[i], attacked[i], t) * (a if weigh_teacher else 1.0)
        own = alpha * (1 - a) * kl(clean[i], attacked[i])
        losses.append(guided + own + (1 - alpha) * cross_entropy(clean[i], label))
    return mean(losses)


def iad_two(
    student: nn.Module,
    robust: nn.Module,
    natural: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    alpha1: float,
    alpha2: float,
    t: float,
    beta: float,
    begun: bool,
) -> Tensor:
    """`(1-a1-a2) CE(x') + a1 t^2 (a KL(Tr || S)(x') + (1-a) KL(S(x) || S(x'))) + a2 t^2 KL(Tn || S)(x')`."""
    attacked, clean = rows(student(x_adv)), rows(student(x))
    opinions, others = fixed(robust, x_adv), fixed(natural, x_adv)
    losses = []
    for i, label in enumerate(y.tolist()):
        a = trust(opinions[i], label, beta, begun)
        mixed = a * kl(opinions[i], attacked[i], t) + (1 - a) * kl(clean[i], attacked[i])
        hard = (1 - alpha1 - alpha2) * cross_entropy(attacked[i], label)
        losses.append(hard + alpha1 * t * t * mixed + alpha2 * t * t * kl(others[i], attacked[i], t))
    return mean(losses)


def akd(
    student: nn.Module,
    teachers: Sequence[nn.Module],
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    lam: float,
    t: float,
    clean_target: bool,
) -> Tensor:
    """`-sum_c ((1 - lam) [c = y] + lam p_T(x'; t)_c) log p_S(x')_c`; several teachers: the mean of probabilities."""
    attacked = rows(student(x_adv))
    opinions = [fixed(teacher, x if clean_target else x_adv) for teacher in teachers]
    losses = []
    for i, label in enumerate(y.tolist()):
        soft = [probabilities(opinion[i], t) for opinion in opinions]
        parts = []
        for c in range(len(attacked[i])):
            wanted = (1 - lam) * float(c == label) + lam * mean([p[c] for p in soft])
            parts.append(wanted * cross_entropy(attacked[i], c))
        losses.append(mean(parts) * len(parts))
    return mean(losses)


def akd2(
    student: nn.Module,
    robust: nn.Module,
    natural: nn.Module,
    x_adv: Tensor,
    y: Tensor,
    *,
    lam1: float,
    lam2: float,
    t: float,
) -> Tensor:
    """`(1 - l1 - l2) CE(S(x'), y) + l1 t^2 KL(Tr || S)(x'; t) + l2 t^2 KL(Tn || S)(x'; t)`."""
    attacked = rows(student(x_adv))
    first, second = fixed(robust, x_adv), fixed(natural, x_adv)
    losses = []
    for i, label in enumerate(y.tolist()):
        soft = lam1 * kl(first[i], attacked[i], t) + lam2 * kl(second[i], attacked[i], t)
        losses.append((1 - lam1 - lam2) * cross_entropy(attacked[i], label) + t * t * soft)
    return mean(losses)


def adaiad(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    alpha: float,
    t: float,
    beta: float,
    begun: bool,
) -> Tensor:
    """`A t^2 KL(T(x'; t) || S(x'; t)) + A (1 - a) KL(S(x) || S(x')) + (1 - A) CE(S(x), y)`."""
    clean, attacked, opinions = rows(student(x)), rows(student(x_adv)), fixed(teacher, x_adv)
    losses = []
    for i, label in enumerate(y.tolist()):
        a = trust(opinions[i], label, beta, begun)
        guided = t * t * kl(opinions[i], attacked[i], t) + (1 - a) * kl(clean[i], attacked[i])
        losses.append(alpha * guided + (1 - alpha) * cross_entropy(clean[i], label))
    return mean(losses)


def _right_on_clean(z: Row, label: int) -> list[Tensor]:
    """Swap the label's value with the largest."""
    return _swapped(z, label, _arg_max(z))


def _right_on_attacked(z: Row, label: int) -> list[Tensor]:
    """Swap the label's value with the largest other one where that is larger."""
    others = [c for c in range(len(z)) if c != label]
    rival = max(others, key=lambda c: z[c].item())
    return _swapped(z, label, rival) if z[label].item() < z[rival].item() else list(z)


def _swapped(z: Row, one: int, other: int) -> list[Tensor]:
    found = list(z)
    found[one], found[other] = z[other], z[one]
    return found


def _arg_max(z: Row) -> int:
    return max(range(len(z)), key=lambda c: z[c].item())


def dgad(
    student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, *, beta: float, legacy: bool = False
) -> Tensor:
    """Where the teacher is wrong on x: KL on x, elsewhere KL on x', corrected labels; plus the squared distance.

    `legacy` is the released MobileNet script: `0.5 (n/B L_st + (B - n)/B) L_at` with the means over the two parts.
    """
    clean, attacked = rows(student(x)), rows(student(x_adv))
    targets, opinions = fixed(teacher, x), fixed(teacher, x_adv)
    natural, adversarial, distances = [], [], []
    for i, label in enumerate(y.tolist()):
        if _arg_max(targets[i]) == label:
            adversarial.append(kl(_right_on_attacked(opinions[i], label), attacked[i]))
        else:
            natural.append(kl(_right_on_clean(targets[i], label), clean[i]))
        pairs = zip(probabilities(attacked[i]), probabilities(clean[i]), strict=True)
        distances.append(mean([(p - q) ** 2 for p, q in pairs]))
    size = len(y)
    l_st, l_at = (mean(part) if part else torch.zeros((), dtype=x.dtype) for part in (natural, adversarial))
    share = len(natural) / size
    guided = 0.5 * (share * l_st + (1 - share)) * l_at if legacy else share * l_st + (1 - share) * l_at
    return guided + beta * mean(distances)


def indirect(
    student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, *, b: float = 1.0, g: float = 1.0
) -> list[Tensor]:
    """IGDM: `KL(T(x + b d) - T(x - g d) || S(x + b d) - S(x - g d))` of each example, `d = x' - x`, nothing clipped."""
    ahead, behind = x + b * (x_adv - x), x - g * (x_adv - x)
    sides = [(rows(student(ahead)), rows(student(behind))), (fixed(teacher, ahead), fixed(teacher, behind))]
    found = []
    for i in range(len(x)):
        own, wanted = ([u - v for u, v in zip(plus[i], minus[i], strict=True)] for plus, minus in sides)
        found.append(kl(wanted, own))
    return found


def renyi(z: Row, order: float) -> float:
    """`log(sum_c p_c^order) / (1 - order)`; of order 1 Shannon's entropy."""
    if order == 1:
        return entropy(z).item()
    return math.log(sum(p.item() ** order for p in probabilities(z))) / (1 - order)


def saad(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    *,
    igdm: float,
    beta: float,
    scale: float,
    order: float,
    ramp: float,
) -> Tensor:
    """`w (KL(T(x') || S(x')) + igdm e/E IGDM) + beta (1 - w^) KL(T(x) || S(x))`, w from the teacher's entropy on x'."""
    attacked, clean = rows(student(x_adv)), rows(student(x))
    targets, opinions = fixed(teacher, x), fixed(teacher, x_adv)
    slopes = indirect(student, teacher, x, x_adv)
    entropies = [renyi(opinion, order) for opinion in opinions]
    weights = [max(0.0, scale * (h - min(entropies))) for h in entropies]
    low, high = min(weights), max(weights)
    losses = []
    for i, w in enumerate(weights):
        relative = (w - low) / (high - low) if high > low else 0.0
        hard = w * (kl(opinions[i], attacked[i]) + igdm * ramp * slopes[i])
        losses.append(hard + beta * (1 - relative) * kl(targets[i], clean[i]))
    return mean(losses)
