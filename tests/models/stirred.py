"""Networks whose batch norms matter, and what they compute in eval mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks.modes import eval_mode
from robustill.models import build_model

SMALL = {"num_classes": 4, "shape": (3, 8, 8), "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}
X = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def stirred(network: nn.Module) -> nn.Module:
    """Give every batch norm statistics and weights that matter."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.running_mean is not None:
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.05, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.3)
    return network


def small(name: str = "resnet18", **arguments: Any) -> nn.Module:
    return stirred(build_model(name, **{**SMALL, "width": 4, **arguments}))


def plain() -> nn.Sequential:
    layers = [nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4)]
    head = [nn.BatchNorm2d(8, affine=False), nn.ReLU(), nn.Flatten(), nn.Linear(128, 16), nn.BatchNorm1d(16)]
    return stirred(nn.Sequential(*layers, *head, nn.ReLU(), nn.Linear(16, 4)))  # type: ignore[return-value]


def logits(network: nn.Module, x: Tensor) -> Tensor:
    with eval_mode(network), torch.no_grad():
        return network(x)  # type: ignore[no-any-return]


def gradient(network: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    with eval_mode(network):
        return torch.autograd.grad(network(x).logsumexp(1).sum(), x)[0]


def assert_equal(view: nn.Module, network: nn.Module, x: Tensor = X) -> None:
    torch.testing.assert_close(view(x), logits(network, x), rtol=1e-4, atol=1e-5)


class Block(nn.Module):
    """A convolution and its batch norm, used as `kind` says."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.other, self.head = nn.BatchNorm2d(3), nn.Linear(192, 4)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv(x)
        if self.kind == "output used twice":
            out = out + self.norm(out)
        elif self.kind == "two norms":
            out = self.norm(out) * self.other(out)
        elif self.kind == "layer called twice":
            out = self.norm(self.conv(self.other(out)))
        elif self.kind == "norm called twice":
            out = self.norm(self.norm(out).relu())
        elif self.kind == "untraceable":
            out = self.norm(out)
        elif self.kind == "weight read":
            out = self.norm(out) * self.conv.weight.mean() + self.norm.weight.sum()
        return self.head(out.view(len(x) if self.kind == "untraceable" else x.size(0), -1))  # type: ignore[no-any-return]


class Shift(nn.Module):
    """A normalisation as foreign code writes it, which computes with its buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((1, 1, 1, 1), 0.75))
        self.register_buffer("std", torch.full((1, 1, 1, 1), 0.01))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.std.reciprocal()  # type: ignore[operator,no-any-return]


def hooked(network: nn.Module) -> nn.Module:
    list(network.modules())[3].register_forward_hook(lambda module, inputs, output: 2 * output)
    return network
