"""A data set and a network whose behaviour under attack is known exactly."""

import pytest
import torch
from torch import Tensor, nn

from robustill.data import Data


class Brightness(nn.Module):
    """Two classes by the mean of the image; the margin of an image is |mean - 1/2|.

    The worst perturbation of size eps moves the mean by eps, so an image stays right if its margin exceeds eps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean((1, 2, 3)) - 0.5
        return self.scale * torch.stack([-level, level], 1)


def known_levels() -> tuple[Tensor, Tensor]:
    """Return 24 grey levels, none nearer to the border of eps 0.1 than 0.01, and labels of which 4 are wrong."""
    levels = torch.tensor([10, 40, 70, 95, 104, 110, 120, 126, 129, 136, 145, 150, 158, 170, 200, 250])
    levels = torch.cat([levels, levels[::2]])
    labels = (levels > 127).long()
    labels[::6] = 1 - labels[::6]
    return levels, labels


@pytest.fixture
def model() -> Brightness:
    return Brightness()


@pytest.fixture
def data() -> Data:
    levels, labels = known_levels()
    images = levels.to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    return Data.from_arrays((images, labels), (images, labels), validation=4, name="grey")


@pytest.fixture
def truth() -> dict[str, Tensor]:
    """Return what is right without an attack, and under any attack of radius 0.1."""
    levels, labels = known_levels()
    margin = (levels / 255 - 0.5).abs()
    clean = (levels > 127).long() == labels
    return {"clean": clean, "robust": clean & (margin > 0.1)}
