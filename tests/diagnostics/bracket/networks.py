"""Small networks for three-class images of 1x8x8: random, quickly trained, and one whose bracket is known exactly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustill.data import Data
from robustill.data.splits import to_unit


def random_network(seed: int, *, classes: int = 3, scale: float = 1.0) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(),
        nn.Linear(8, classes),
    )  # fmt: skip
    with torch.no_grad():
        network[-1].weight.mul_(scale)  # type: ignore[union-attr, operator]
    return network.eval()


def trained_network(data: Data, seed: int, steps: int = 40) -> nn.Module:
    network = random_network(seed)
    x, y = to_unit(data.train.images(torch.arange(len(data.train)))), data.train.labels
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    return network


class Brightness(nn.Module):
    """Two classes by the mean of the image, with logits -+ `slope` (mean - `border`)."""

    def __init__(self, slope: float, border: float) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[-slope / 16], [slope / 16]]).expand(2, 16))
            self.layer.bias.copy_(torch.tensor([slope * border, -slope * border]))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layer(x.flatten(1))
        return logits


def grey() -> Data:
    """Return 20 grey images of 1x4x4, brighter than a half or not; levels away from 0 and 1."""
    levels = torch.cat([torch.arange(40, 120, 8), torch.arange(136, 216, 8)])
    images = levels.to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    part = images, (levels > 127).long()
    return Data.from_arrays(part, part, validation=4, name="grey", class_names=("dark", "bright"))


class Divided(nn.Module):
    """The same tensors at another temperature."""

    def __init__(self, network: nn.Module, by: float) -> None:
        super().__init__()
        self.network, self.by = network, by

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) / self.by  # type: ignore[no-any-return]
