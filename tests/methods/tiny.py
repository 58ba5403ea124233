"""Small networks, a separable problem and a short attack for the tests of methods."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.methods import Method

CLASSES = 3
# Too short to reach the edge of the ball everywhere: what the random start was stays visible.
ATTACK = PGD(eps=0.1, step_size=0.03, steps=3, init="gaussian")


def linear(seed: int, classes: int = CLASSES) -> nn.Module:
    """Return a linear classifier of 1x4x4 images."""
    return _seeded(seed, lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, classes)))


def conv(seed: int) -> nn.Module:
    """Return a convolutional one without batch norm."""
    return _seeded(seed, lambda: _convolutional(nn.Identity()))


def conv_bn(seed: int) -> nn.Module:
    """Return a convolutional one with batch norm."""
    return _seeded(seed, lambda: _convolutional(nn.BatchNorm2d(4)))


def teacher(seed: int) -> nn.Module:
    """Return a network whose opinions differ visibly from a fresh student's."""
    network = conv_bn(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(2)
    return network


def batch(size: int = 6, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Return images `[size, 1, 4, 4]` whose brightest row names the class, and the labels."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(CLASSES, (size,), generator=generator)
    x = 0.4 * torch.rand(size, 1, 4, 4, generator=generator)
    x[torch.arange(size), 0, y] += 0.55
    return x.to(dtype), y


def nearby(x: Tensor, seed: int = 1) -> Tensor:
    """Return points within 0.1 of `x`, standing in for an adversary's."""
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x.dtype)
    return (x + 0.2 * noise - 0.1).clamp(0, 1)


def gradients(total: Tensor, network: nn.Module) -> list[Tensor]:
    """Return the gradient of `total` for every weight of `network`; zeros where none arrives."""
    weights = list(network.parameters())
    found = torch.autograd.grad(total, weights, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]


def twin(method: Method) -> Method:
    """Return an independent copy of a method and everything it holds."""
    return copy.deepcopy(method)


def _seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _convolutional(norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), norm, nn.Tanh(), nn.Flatten(), nn.Linear(64, CLASSES))
