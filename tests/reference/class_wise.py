"""The methods that treat classes differently: ABSLD's temperatures and Fair-ARD's weights, on plain floats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from tests.reference.attack import Pixels, pgd
from tests.reference.distilled import fixed
from tests.reference.losses import cross_entropy, kl, mean, rows

Counts = Iterable[tuple[int, float]]
"""Pairs of a label and a number, one for each example of an epoch."""


def absld(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    tau_adv: Sequence[float],
    tau_nat: Sequence[float],
    alpha: float,
) -> Tensor:
    """`alpha KL(T(x) / tau_adv[y] || S(x')) + (1 - alpha) KL(T(x) / tau_nat[y] || S(x))`."""
    attacked, clean, targets = rows(student(x_adv)), rows(student(x)), fixed(teacher, x)
    losses = []
    for i, label in enumerate(y.tolist()):
        adv = kl([z / tau_adv[label] for z in targets[i]], attacked[i])
        nat = kl([z / tau_nat[label] for z in targets[i]], clean[i])
        losses.append(alpha * adv + (1 - alpha) * nat)
    return mean(losses)


def class_means(values: Counts, classes: int) -> dict[int, float]:
    """Return the mean of each class that occurs."""
    found: dict[int, list[float]] = {c: [] for c in range(classes)}
    for label, value in values:
        found[label].append(value)
    return {c: sum(of) / len(of) for c, of in found.items() if of}


def absld_temperatures(
    tau: Sequence[float], risks: Counts, *, rate: float, low: float = 0.5, high: float = 5.0
) -> list[float]:
    """`clip(tau_c - rate g_c / max |g|)`, g the risk of a class less the mean of all; equal risks move nothing."""
    means = class_means(risks, len(tau))
    middle = sum(means.values()) / len(means)
    gaps = {c: value - middle for c, value in means.items()}
    largest = max(abs(gap) for gap in gaps.values())
    moved = list(tau)
    for c, gap in gaps.items():
        if largest > 0:
            moved[c] = min(max(tau[c] - rate * gap / largest, low), high)
    return moved


def fair_weights(survived: Counts, classes: int, *, beta: float, low: float, high: float) -> list[float]:
    """`(1 / (kappa_c + 1e-5))^beta`, scaled to the sum C, then clipped.

    The paper has balanced classes. Here an empty class is as strong as the others on average.
    """
    kappa = class_means(survived, classes)
    middle = sum(kappa.values()) / len(kappa)
    raw = [(1 / (kappa.get(c, middle) + 1e-5)) ** beta for c in range(classes)]
    return [min(max(value * classes / sum(raw), low), high) for value in raw]


def survived_steps(
    student: nn.Module,
    values: object,
    x: Tensor,
    start: Tensor,
    y: Tensor,
    *,
    eps: float,
    step_size: float,
    steps: int,
) -> list[int]:
    """Return for each image how many of the points an attack leaves, its start first, are still named rightly.

    `values` maps points `[B, ...]` to the list of what is maximised. The student must be in eval mode.
    """

    def points(images: list[Pixels]) -> Tensor:
        return torch.tensor(images, dtype=x.dtype).reshape(x.shape)

    def slope(images: list[Pixels]) -> list[Pixels]:
        at = points(images).requires_grad_()
        total = mean(values(at)) * len(x)  # type: ignore[operator]
        (found,) = torch.autograd.grad(total, at)
        return found.flatten(1).tolist()

    iterates = pgd(
        slope, x.flatten(1).tolist(), start.flatten(1).tolist(), eps=eps, step_size=step_size, steps=steps, norm="Linf"
    )
    counts = [0] * len(x)
    for images in iterates[:-1]:
        for i, z in enumerate(fixed(student, points(images))):
            counts[i] += int(max(z, key=Tensor.item) is z[int(y[i])])
    return counts


def fair_ard(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    weights: Sequence[float],
    alpha: float,
    t: float,
) -> Tensor:
    """ARD with every example of both terms weighed by its class."""
    attacked, clean, targets = rows(student(x_adv)), rows(student(x)), fixed(teacher, x)
    losses = []
    for i, label in enumerate(y.tolist()):
        soft = alpha * t * t * kl(targets[i], attacked[i], t)
        losses.append(weights[label] * (soft + (1 - alpha) * cross_entropy(clean[i], label)))
    return mean(losses)


def fair_rslad(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    weights: Sequence[float],
    alpha: float,
) -> Tensor:
    """RSLAD with every example of both terms weighed by its class."""
    attacked, clean, targets = rows(student(x_adv)), rows(student(x)), fixed(teacher, x)
    losses = []
    for i, label in enumerate(y.tolist()):
        both = alpha * kl(targets[i], attacked[i]) + (1 - alpha) * kl(targets[i], clean[i])
        losses.append(weights[label] * both)
    return mean(losses)


def fair_mtard(
    student: nn.Module,
    robust: nn.Module,
    natural: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    weights: Sequence[float],
    balance: Sequence[float],
) -> Tensor:
    """MTARD with its clean term on the clean teacher, and both terms weighed by the class."""
    attacked, clean = rows(student(x_adv)), rows(student(x))
    soft_adv, soft_nat = fixed(robust, x_adv), fixed(natural, x)
    losses = []
    for i, label in enumerate(y.tolist()):
        both = balance[0] * kl(soft_adv[i], attacked[i]) + balance[1] * kl(soft_nat[i], clean[i])
        losses.append(weights[label] * both)
    return mean(losses)
