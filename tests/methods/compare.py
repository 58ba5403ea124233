"""What the tests of single methods share: two losses compared, and teachers that are right or wrong throughout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robustill.methods import Loss
from tests.methods.tiny import CLASSES, batch, gradients, nearby


def scene(size: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Return images, points near them and labels, in float64."""
    x, y = batch(size, dtype=torch.float64)
    return x, nearby(x), y


def agree(ours: Loss | Tensor, theirs: Loss | Tensor, *networks: nn.Module) -> None:
    """Assert that two losses have one value, and one gradient in each network."""
    a, b = (loss.total if isinstance(loss, Loss) else loss for loss in (ours, theirs))
    assert a.item() == pytest.approx(b.item(), rel=1e-9, abs=1e-12)
    for network in networks:
        expected = gradients(b, network)
        assert max(float(slope.abs().max()) for slope in expected) > 1e-6
        torch.testing.assert_close(gradients(a, network), expected, rtol=1e-7, atol=1e-11)


def knowing(shift: int = 0, scale: float = 10.0) -> nn.Module:
    """Return a linear network that names the brightest row of `batch`, or always the class `shift` further on."""
    network = nn.Linear(16, CLASSES)
    with torch.no_grad():
        network.bias.zero_()
        network.weight.zero_()
        for row in range(CLASSES):
            network.weight[(row + shift) % CLASSES, 4 * row : 4 * row + 4] = scale
    return nn.Sequential(nn.Flatten(), network)


def reached(network: nn.Module, total: Tensor) -> bool:
    """Return whether a gradient of `total` reaches the network."""
    return any(bool(slope.abs().max() > 0) for slope in gradients(total, network))
