"""Objectives with known answers, and small networks, for the tests of attacks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robustill.attacks import Objective


def linear(weight: Tensor) -> Objective:
    """Return `x' -> w . x'`."""
    return lambda x_adv: (x_adv.double().flatten(1) * weight.double().flatten()).sum(1)


def wavy(seed: int = 0) -> Objective:
    """Return an objective with many local maxima."""
    generator = torch.Generator().manual_seed(seed)
    scale = 10 + 30 * torch.rand(16, generator=generator, dtype=torch.float64)
    return lambda x_adv: torch.sin(x_adv.double().flatten(1) * scale).sum(1)


def images(size: int, seed: int = 0, *, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return float64 images `[size, 1, 4, 4]` with values in [low, high]."""
    noise = torch.rand(size, 1, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return low + (high - low) * noise


def classifier(seed: int = 0, *, hidden: int = 12, classes: int = 3) -> nn.Sequential:
    """Return a smooth float64 network of images `[B, 1, 4, 4]` with batch norm and dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = (nn.Linear(16, hidden), nn.BatchNorm1d(hidden), nn.Tanh(), nn.Dropout(0.5), nn.Linear(hidden, classes))
        return nn.Sequential(nn.Flatten(), *layers).double()


class Counted:
    """An objective that keeps the points it was asked about, and whether a gradient was wanted there."""

    def __init__(self, objective: Callable[[Tensor], Tensor]) -> None:
        self.objective = objective
        self.points: list[Tensor] = []
        self.wanted: list[bool] = []

    def __call__(self, x_adv: Tensor) -> Tensor:
        self.points.append(x_adv.detach().clone())
        self.wanted.append(x_adv.requires_grad)
        return self.objective(x_adv)
