"""A small network with a rugged loss, images, and a generator per example, for the tests of searches."""

import torch
from torch import Tensor, nn


def network(seed: int = 0, classes: int = 5, dtype: torch.dtype = torch.float64) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(64, classes)]
        model = nn.Sequential(*layers).to(dtype)
        # Steep enough that the best point of a small ball is not simply its corner.
        layers[0].weight.data.mul_(15)
        return model


def images(n: int = 12, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(5)).to(dtype)


def generators(n: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in range(n)]


def labelled(model: nn.Module, x: Tensor) -> Tensor:
    return model.eval()(x).argmax(1)
