"""The optimizer by its settings."""

from __future__ import annotations

import torch

from robustill.methods.base import Method
from robustill.training.settings import OptimizerSettings


def build_optimizer(method: Method, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return the optimizer of everything the method trains: its student, and further trained networks if any."""
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    if settings.name == "adamw":
        return torch.optim.AdamW(weights, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        weights,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
    )
