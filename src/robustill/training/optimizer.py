"""The optimizers by their settings: one for each network that a method trains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from robustill.errors import InputError, nearest
from robustill.methods.base import Method
from robustill.training.schedule import lr_scale
from robustill.training.settings import GuideSettings, OptimizerSettings, ScheduleSettings, Settings


@dataclass
class Learner:
    """A trained network with its own optimizer and schedule.

    Args:
        network: What is trained.
        optimizer: Of its parameters alone.
        lr: Peak learning rate.
        schedule: How it moves.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    lr: float
    schedule: ScheduleSettings

    def set_lr(self, position: float, epochs: int) -> None:
        """Set the learning rate at `position` epochs into a run of `epochs`."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * lr_scale(self.schedule, position, epochs)


def build_learners(method: Method, settings: Settings) -> dict[str, Learner]:
    """Return one learner for each trained network of `method`, by name.

    Raises:
        InputError: `settings.guides` names what the method does not train, or what it trains is frozen.
    """
    trained = method.trained()
    _check_guides([name for name in trained if name != "student"], settings)
    for name, network in trained.items():
        if not any(weight.requires_grad for weight in network.parameters()):
            raise InputError(
                f"{name} is to be trained, but all its weights are frozen",
                "is it also a teacher, or was it one? Give it a copy, after requires_grad_(True)",
            )
    learners = {}
    for name, network in trained.items():
        own = settings.guides.get(name, GuideSettings())
        optimizer = own.optimizer or settings.optimizer
        schedule = own.schedule or settings.schedule
        learners[name] = Learner(network, build_optimizer(network, optimizer), optimizer.lr, schedule)
    return learners


def _check_guides(guides: list[str], settings: Settings) -> None:
    for name in settings.guides:
        if name == "student":
            raise InputError(
                "training.guides.student: guides are the networks beside the student",
                "set training.optimizer and training.schedule, which are the student's",
            )
        if name not in guides:
            hint = nearest(name, guides) if guides else "it trains the student alone: remove training.guides"
            raise InputError(f"training.guides.{name}: the method trains no such network", hint)


def build_optimizer(network: nn.Module, settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return the optimizer of a network's trainable parameters."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    # Two to four times as fast on a CPU. It reads gradients in the order of memory, which autograd makes the weights'.
    fused = all(weight.device.type == "cpu" for weight in weights) or None
    if settings.name == "adamw":
        return torch.optim.AdamW(weights, lr=settings.lr, weight_decay=settings.weight_decay, fused=fused)
    return torch.optim.SGD(
        weights,
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        fused=fused,
    )
