"""A method beside its formulas, on networks and points in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.methods import Method
from robustill.methods.base import AdversarialMethod
from tests.methods.tiny import batch, conv_bn, gradients, nearby, teacher


@dataclass
class Scene:
    """Networks and points: what a method is built from, and what its formulas are evaluated on.

    `s` is the student, `t` a robust teacher, `n` a clean teacher, `p` what else may train: a guide, a peer, a
    projection. `x` are images, `a` the attacked ones, `y` the labels.
    """

    s: Any
    t: Any
    n: Any
    p: Any
    x: Tensor
    a: Tensor
    y: Tensor


@dataclass(frozen=True)
class Case:
    """How to build a method, what it minimises, what its adversary maximises, and which of s, t, n, p it trains."""

    build: Callable[[Scene], Method]
    outer: Callable[[Scene], Tensor]
    inner: Callable[[Scene], list[Tensor]] | None = None
    trains: str = "s"
    awake: str = ""
    """Which others are in train mode, though no gradient reaches them here."""
    epoch: int | None = None
    """0-based epoch of 10 to begin; none is begun when left out."""
    extra: Callable[[Any], nn.Module] = lambda student: conv_bn(3)
    """Builds `p`, from the student."""

    def scene(self, net: Callable[[int], nn.Module], size: int = 5) -> Scene:
        """Return networks and points to build the method on."""
        student, (x, y) = net(0), batch(size, dtype=torch.float64)
        s, t, n, p = (
            network.double() for network in (student, teacher(1).eval(), teacher(2).eval(), self.extra(student))
        )
        a = nearby(x)
        a[3:] = 1 - x[3:]
        for network in (t, n):
            swayed = network(x).argmax(1) != network(a).argmax(1)
            assert size < 5 or 0 < swayed.sum() < 5, "a formula that asks a teacher at x instead of x' would go unseen"
        return Scene(s, t, n, p, x, a, y)

    def method(self, scene: Scene) -> Method:
        """Return the method in train mode, at its epoch."""
        method = self.build(scene).train()
        if self.epoch is not None:
            method.begin_epoch(self.epoch, 1.0, 10)
        return method


def loss(method: Method, x: Tensor, x_adv: Tensor, y: Tensor) -> Tensor:
    """Return what a method minimises at given points."""
    found = method.outer(x, x_adv, y) if isinstance(method, AdversarialMethod) else method(x, y)
    assert found.per_example.shape == y.shape
    return found.total


def twin(scene: Scene, awake: str) -> Scene:
    """Return an independent copy, with the named networks in train mode and the rest in eval mode."""
    double = copy.deepcopy(scene)
    for name in "stnp":
        getattr(double, name).train(name in awake)
    return double


def agree(case: Case, scene: Scene, *, least: float = 1e-3) -> None:
    """Assert that method and loops have one value, one gradient in all that trains, and none in the rest.

    Each network that trains must receive a gradient of at least `least` somewhere, so that a comparison says something.
    """
    double = twin(scene, case.trains + case.awake)
    ours, theirs = loss(case.method(scene), scene.x, scene.a, scene.y), case.outer(double)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9, abs=1e-14)
    for name in "stnp":
        mine, other = getattr(scene, name), getattr(double, name)
        if name not in case.trains:
            assert not reached(ours, mine), f"{name} must not learn"
            continue
        if next(mine.parameters(), None) is None:
            continue
        expected = gradients(theirs, other)
        assert max(float(slope.abs().max()) for slope in expected) >= least
        torch.testing.assert_close(gradients(ours, mine), expected, rtol=1e-7, atol=1e-11)


def reached(total: Tensor, network: nn.Module) -> bool:
    """Return whether a gradient of `total` arrives at a weight of `network`."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    found = torch.autograd.grad(total, weights, allow_unused=True, retain_graph=True) if weights else []
    return any(slope is not None and bool(slope.abs().max() > 0) for slope in found)
