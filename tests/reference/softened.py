"""A softened teacher with loops: its soft label class by class, and two methods that learn from it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tests.reference.distilled import fixed
from tests.reference.losses import Row, kl, mean, probabilities, rows


def mixed(z: Row, lam: float, t: float = 1.0) -> list[Tensor]:
    """Return logits that read `(1 - lam) softmax(z / t) + lam / C` at temperature t."""
    return [t * torch.log((1 - lam) * p + lam / len(z)) for p in probabilities(z, t)]


def cooled(z: Row, least: float) -> list[Tensor]:
    """Return `z / tau` with the first tau of 1, 1.0001, 1.0002, ... that gives an entropy of `least` nats."""
    tau, plain = 1.0, [value.item() for value in z]
    while _entropy([value / tau for value in plain]) < least:
        tau *= 1.0001
    return [value / tau for value in z]


def _entropy(z: list[float]) -> float:
    weights = [math.exp(value - max(z)) for value in z]
    shares = [weight / sum(weights) for weight in weights]
    return -sum(p * math.log(p) for p in shares if p > 0)


def rslad(
    student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, *, chosen: Sequence[int], lam: float, alpha: float
) -> Tensor:
    """RSLAD with the soft labels of the chosen images mixed with the uniform one."""
    attacked, clean, losses = rows(student(x_adv)), rows(student(x)), []
    for i, z in enumerate(fixed(teacher, x)):
        target = mixed(z, lam) if i in chosen else z
        losses.append(alpha * kl(target, attacked[i]) + (1 - alpha) * kl(target, clean[i]))
    return mean(losses)


def rslad_inner(
    student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, *, chosen: Sequence[int], lam: float
) -> list[Tensor]:
    """`KL(q || S(x'))` with the softened q of the chosen images."""
    targets = [mixed(z, lam) if i in chosen else z for i, z in enumerate(fixed(teacher, x))]
    return [kl(target, z) for target, z in zip(targets, rows(student(x_adv)), strict=True)]


def ard(student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, *, lam: float, t: float) -> Tensor:
    """ARD of weight 1 whose soft label at temperature t is mixed, for all images."""
    attacked = rows(student(x_adv))
    student(x)
    return mean([t * t * kl(mixed(z, lam, t), a, t) for z, a in zip(fixed(teacher, x), attacked, strict=True)])


def adaad_inner(student: nn.Module, teacher: nn.Module, x_adv: Tensor, *, lam: float) -> list[Tensor]:
    """`KL(q(x') || S(x'))` with every q softened, gradient through both."""
    pairs = zip(rows(teacher(x_adv)), rows(student(x_adv)), strict=True)
    return [kl(mixed(target, lam), z) for target, z in pairs]


def adaad(student: nn.Module, teacher: nn.Module, x: Tensor, x_adv: Tensor, *, lam: float, alpha: float) -> Tensor:
    """AdaAD with every q softened."""
    clean, attacked = rows(student(x)), rows(student(x_adv))
    pairs = zip(fixed(teacher, x_adv), fixed(teacher, x), attacked, clean, strict=True)
    return mean([alpha * kl(mixed(a, lam), z) + (1 - alpha) * kl(mixed(c, lam), s) for a, c, z, s in pairs])
