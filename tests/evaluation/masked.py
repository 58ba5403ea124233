"""Honest networks, and ways to hide their weakness from gradient attacks, for the tests of checks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.data import Data
from robustill.methods import PGDAT, Standard
from robustill.models import build_model
from robustill.training import Settings, train

_TRAINED: dict[str, nn.Module] = {}


def trained(kind: str, data: Data) -> nn.Module:
    """Return a network trained on the tiny data, `"standard"` or `"pgd-at"`, right everywhere with margins of 20-30."""
    if kind not in _TRAINED:
        torch.manual_seed(0)
        net = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
        method = Standard(net) if kind == "standard" else PGDAT(net, attack=PGD(eps=0.1, step_size=0.025, steps=10))
        epochs = {"standard": 40, "pgd-at": 20}[kind]
        settings = Settings.model_validate({"epochs": epochs, "batch_size": 16, "optimizer": {"lr": 0.05}})
        train(method, data, settings, progress=False)
        _TRAINED[kind] = net.eval()
    return _TRAINED[kind]


def images(data: Data) -> tuple[Tensor, Tensor]:
    """Return the test images in [0, 1] and their labels."""
    return data.test.images(torch.arange(len(data.test))).float() / 255, data.test.labels


def generators(n: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(1000 * seed + i) for i in range(n)]


class Wrapped(nn.Module):
    """A network with something before it and something behind it."""

    def __init__(
        self,
        net: nn.Module,
        *,
        before: Callable[[Tensor], Tensor] = lambda x: x,
        behind: Callable[[Tensor], Tensor] = lambda logits: logits,
    ) -> None:
        super().__init__()
        self.net, self.before, self.behind = net, before, behind

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(self.net(self.before(x)))


def coarse(x: Tensor) -> Tensor:
    """Round to five grey levels; the gradient is zero."""
    return (4 * x).round() / 4


def noisy(x: Tensor) -> Tensor:
    return x + 0.05 * torch.randn_like(x)
