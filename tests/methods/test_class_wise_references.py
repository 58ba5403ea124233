"""ABSLD's temperatures and Fair-ARD's weights over several epochs, against loops over examples, classes and steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.methods import ABSLD, ARD, MTARD, RSLAD, FairARD, Method
from tests.methods.tiny import CLASSES, batch, conv, conv_bn, nearby, teacher
from tests.reference import balance, class_wise, inner
from tests.reference import methods as reference
from tests.reference.losses import cross_entropy, rows

REACH = {"eps": 0.3, "step_size": 0.08, "steps": 5}
ATTACK = PGD(**REACH, init="none")  # type: ignore[arg-type]
Trio = tuple[Any, Any, Any]


def batches(epoch: int, missing: int | None) -> list[tuple[Tensor, Tensor]]:
    """Return an epoch whose classes are of unequal size, one of them empty if asked for."""
    found = []
    for step, size in enumerate((5, 8, 7)):
        x, y = batch(size, seed=10 * epoch + step, dtype=torch.float64)
        keep = y != (CLASSES if missing is None else missing)
        found.append((x[keep], y[keep]))
    sizes = torch.cat([y for _, y in found]).bincount(minlength=CLASSES).tolist()
    assert len(set(sizes)) > 1
    assert (0 in sizes) == (missing is not None)
    return found


def descend(student: nn.Module, total: Tensor, rate: float) -> None:
    weights = list(student.parameters())
    with torch.no_grad():
        for weight, slope in zip(weights, torch.autograd.grad(total, weights), strict=True):
            weight.sub_(rate * slope)


BASES: dict[str, Callable[[Trio], Method]] = {
    "ard": lambda v: ARD(v[0], v[1], alpha=0.6, temperature=2.0, attack=ATTACK),
    "rslad": lambda v: RSLAD(v[0], v[1], attack=ATTACK),
    "mtard": lambda v: MTARD(v[0], v[1], v[2], attack=ATTACK),
}


def climbed(name: str, v: Trio, x: Tensor, y: Tensor) -> Callable[[Tensor], list[Tensor]]:
    """Return what the base's adversary maximises."""
    if name == "rslad":
        return lambda points: inner.fixed_target(v[0], v[1], x, points, y)
    return lambda points: inner.label(v[0], points, y)


def weighed(
    name: str, v: Trio, x: Tensor, x_adv: Tensor, y: Tensor, weights: list[float], shares: list[float]
) -> Tensor:
    """Return the base's loss with every example weighed by its class."""
    if name == "ard":
        return class_wise.fair_ard(v[0], v[1], x, x_adv, y, weights=weights, alpha=0.6, t=2.0)
    if name == "rslad":
        return class_wise.fair_rslad(v[0], v[1], x, x_adv, y, weights=weights, alpha=5 / 6)
    return class_wise.fair_mtard(*v, x, x_adv, y, weights=weights, balance=shares)


@pytest.mark.parametrize(("low", "high"), [(5 / 6, 5 / 2), (0.01, 100.0)])
@pytest.mark.parametrize("name", BASES)
def test_the_weights_of_fair_ard_follow_the_loops(name: str, low: float, high: float) -> None:
    v = (conv_bn(0).double(), teacher(1).double().eval(), teacher(2).double().eval())
    method = FairARD(BASES[name](v), beta=1.5, low=low, high=high).double().train()
    weights, shares, first, lasting = [1.0] * CLASSES, [0.5, 0.5], None, set()
    for epoch in range(4):
        method.begin_epoch(epoch, 1.0, 4)
        survived: list[tuple[int, float]] = []
        for x, y in batches(epoch, missing=2 if epoch == 2 else None):
            method.eval()
            counts = class_wise.survived_steps(v[0], climbed(name, v, x, y), x, x, y, **REACH)  # type: ignore[arg-type]
            survived += zip(y.tolist(), map(float, counts), strict=True)
            method.train()
            x_adv = method.perturb(x, y)
            total = method.outer(x, x_adv, y).total
            if name == "mtard":
                adv, nat, _, _ = reference.two_teachers(*v, x, x_adv, (1.0, 1.0))
                now = (adv.item(), nat.item())
                first = first or now
                shares = balance.journal(shares, now, first, 0.025)
            assert total.item() == pytest.approx(weighed(name, v, x, x_adv, y, weights, shares).item(), rel=1e-9)
            descend(v[0], total, 0.1)
        method.end_epoch()
        weights = class_wise.fair_weights(survived, CLASSES, beta=1.5, low=low, high=high)
        assert method.weights.tolist() == pytest.approx(weights, rel=1e-9)
        lasting |= {count for _, count in survived}
        assert max(weights) > 1.05 * min(weights)
    assert len(lasting) >= 5


@pytest.mark.parametrize(("low", "high"), [(0.5, 5.0), (0.9, 1.05)])
def test_the_temperatures_of_absld_follow_the_loops(low: float, high: float) -> None:
    student, robust = conv_bn(0).double(), teacher(1).double().eval()
    method = ABSLD(student, robust, alpha=0.7, rate=0.15, low=low, high=high, attack=ATTACK).double().train()
    tau = [[1.0] * CLASSES, [1.0] * CLASSES]
    for epoch, scale in enumerate((1.0, 1.0, 0.1, 1.0, 0.1)):
        method.begin_epoch(epoch, scale, 5)
        risks: list[list[tuple[int, float]]] = [[], []]
        before = tau
        for step, (x, y) in enumerate(batches(epoch, missing=1 if epoch == 3 else None)):
            x_adv = nearby(x, seed=step)
            total = method.outer(x, x_adv, y).total
            theirs = class_wise.absld(student, robust, x, x_adv, y, tau_adv=tau[0], tau_nat=tau[1], alpha=0.7)
            assert total.item() == pytest.approx(theirs.item(), rel=1e-9)
            for kept, points in zip(risks, (x_adv, x), strict=True):
                losses = [cross_entropy(z, c).item() for z, c in zip(rows(student(points)), y.tolist(), strict=True)]
                kept += zip(y.tolist(), losses, strict=True)
            descend(student, total, 0.1)
        method.end_epoch()
        tau = [
            class_wise.absld_temperatures(now, kept, rate=0.15 * scale, low=low, high=high)
            for now, kept in zip(tau, risks, strict=True)
        ]
        assert method.temperatures.flatten().tolist() == pytest.approx(tau[0] + tau[1], rel=1e-9)
        assert tau != before
        assert epoch != 3 or (tau[0][1], tau[1][1]) == (before[0][1], before[1][1])
    assert tau[0] != tau[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(7, 3, 11), (0, 3, 0)])
def test_equal_risks_leave_the_temperatures_of_absld(sizes: tuple[int, ...], dtype: torch.dtype) -> None:
    student = conv(0)
    with torch.no_grad():
        for weight in student.parameters():
            weight.zero_()
    method = ABSLD(student, teacher(1)).to(dtype).train()
    start = [[0.75, 2.0, 1.25], [3.0, 0.875, 1.125]]
    method.temperatures.copy_(torch.tensor(start))
    classes = [c for c, size in enumerate(sizes) for _ in range(size)]
    x, _ = batch(len(classes), dtype=dtype)
    method.outer(x, nearby(x), torch.tensor(classes))
    if dtype == torch.float32 and 0 not in sizes:
        assert (method.risks / method.count).unique().numel() > 1, "equal but for rounding"
    method.end_epoch()
    assert [class_wise.absld_temperatures(tau, [(c, 1.0) for c in classes], rate=0.1) for tau in start] == start
    assert method.temperatures.tolist() == start
