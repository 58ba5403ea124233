"""Noisy images of a few templates, and a network trained on them, to compare attacks with other libraries'."""

import torch
from torch import Tensor, nn

from robustill.losses import cross_entropy


def noisy_templates(size: int, seed: int, *, classes: int, noise: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    templates = torch.rand(classes, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    y = torch.randint(classes, (size,), generator=generator)
    added = noise * torch.randn(size, 1, 6, 6, generator=generator)
    return (0.25 + 0.5 * templates[y] + added).clamp(0, 1), y


def trained(activation: nn.Module, *, classes: int, noise: float) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 32), activation, nn.Linear(32, classes))
    x, y = noisy_templates(800, 1, classes=classes, noise=noise)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        cross_entropy(network(x), y).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()
