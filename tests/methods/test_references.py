"""Every method's loss against the formula typed again from its paper: value, gradient, order of forwards."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robustill.methods import ARD, BMTARD, KD, MART, METHODS, MTARD, PGDAT, RSLAD, TRADES, AdaAD, Method, Standard
from robustill.methods.base import AdversarialMethod
from tests.methods.tiny import batch, conv, conv_bn, gradients, linear, nearby, teacher
from tests.reference import balance
from tests.reference import methods as reference

Build = Callable[[nn.Module, nn.Module, nn.Module], Method]
Formula = Callable[[nn.Module, nn.Module, nn.Module, Tensor, Tensor, Tensor], Tensor]


def halves(s: nn.Module, t: nn.Module, n: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor) -> Tensor:
    """The first step of both forms of MTARD: weights 1/2, temperatures 1."""
    adv, nat, _, _ = reference.two_teachers(s, t, n, x, x_adv, (1.0, 1.0))
    return 0.5 * adv + 0.5 * nat


# Settings are unlike the defaults where a default (alpha = 1) would hide a term.
CASES: dict[str, tuple[Build, Formula]] = {
    "standard": (lambda s, t, n: Standard(s), lambda s, t, n, x, a, y: reference.standard(s, x, y)),
    "kd": (
        lambda s, t, n: KD(s, t, alpha=0.7, temperature=3.0),
        lambda s, t, n, x, a, y: reference.kd(s, t, x, y, alpha=0.7, t=3.0),
    ),
    "pgd_at": (lambda s, t, n: PGDAT(s), lambda s, t, n, x, a, y: reference.pgd_at(s, x, a, y)),
    "trades": (lambda s, t, n: TRADES(s), lambda s, t, n, x, a, y: reference.trades(s, x, a, y, beta=6.0)),
    "mart": (lambda s, t, n: MART(s, lam=6.0), lambda s, t, n, x, a, y: reference.mart(s, x, a, y, lam=6.0)),
    "ard": (
        lambda s, t, n: ARD(s, t, alpha=0.8, temperature=5.0),
        lambda s, t, n, x, a, y: reference.ard(s, t, x, a, y, alpha=0.8, t=5.0),
    ),
    "rslad": (lambda s, t, n: RSLAD(s, t), lambda s, t, n, x, a, y: reference.rslad(s, t, x, a, alpha=5 / 6)),
    "adaad": (
        lambda s, t, n: AdaAD(s, t, alpha=0.6),
        lambda s, t, n, x, a, y: reference.adaad(s, t, x, a, alpha=0.6),
    ),
    "mtard": (lambda s, t, n: MTARD(s, t, n), halves),
    "bmtard": (lambda s, t, n: BMTARD(s, t, n), halves),
}


def loss(method: Method, x: Tensor, x_adv: Tensor, y: Tensor) -> Tensor:
    found = method.outer(x, x_adv, y) if isinstance(method, AdversarialMethod) else method(x, y)
    return found.total


def test_every_method_that_is_given_here_exists_and_none_is_missing() -> None:
    assert set(METHODS) - set(CASES) == set()


@pytest.mark.parametrize("net", [linear, conv, conv_bn])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_agree_with_the_loops(name: str, net: Callable[[int], nn.Module]) -> None:
    build, formula = CASES[name]
    student, robust, natural = net(0).double(), teacher(1).double().eval(), teacher(2).double().eval()
    double = copy.deepcopy(student)
    x, y = batch(5, dtype=torch.float64)
    x_adv = nearby(x)
    ours = loss(build(student, robust, natural).train(), x, x_adv, y)
    theirs = formula(double.train(), robust, natural, x, x_adv, y)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    expected = gradients(theirs, double)
    assert max(float(g.abs().max()) for g in expected) > 1e-3
    torch.testing.assert_close(gradients(ours, student), expected, rtol=1e-7, atol=1e-11)


ORDERS = {
    "pgd_at": ("adv",),
    "trades": ("nat", "adv"),
    "ard": ("adv", "nat"),
    "rslad": ("adv", "nat"),
    "mtard": ("adv", "nat"),
    "bmtard": ("adv", "nat"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_batch_norm_sees_the_batches_in_the_order_of_the_paper(name: str) -> None:
    student = conv_bn(0)
    right, wrong = copy.deepcopy(student).train(), copy.deepcopy(student).train()
    x, y = batch()
    x_adv = nearby(x)
    method = CASES[name][0](student, teacher(1), teacher(2)).train()
    loss(method, x, x_adv, y)
    for which in ORDERS[name]:
        right(x_adv if which == "adv" else x)
    for which in reversed(ORDERS[name]):
        wrong(x_adv if which == "adv" else x)
    found, expected, other = (dict(net.named_buffers()) for net in (student, right, wrong))
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    if len(ORDERS[name]) == 2:
        assert not torch.equal(found["1.running_mean"], other["1.running_mean"])


@pytest.mark.parametrize("name", ["ard", "adaad"])
def test_a_clean_forward_of_weight_zero_still_moves_batch_norm(name: str) -> None:
    student = conv_bn(0)
    x, y = batch()
    method = METHODS[name](student, teacher(1), alpha=1.0).train()
    loss(method, x, nearby(x), y)
    assert student[1].num_batches_tracked == 2  # type: ignore[index]


@pytest.mark.parametrize("name", ["mtard", "bmtard"])
def test_balanced_methods_follow_the_loops_over_several_steps(name: str) -> None:
    student, robust, natural = conv(0).double(), teacher(1).double().eval(), teacher(2).double().eval()
    double = copy.deepcopy(student)
    method = METHODS[name](student, robust, natural).double().train()
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.2) for net in (student, double)]
    weights, tau, first = [0.5, 0.5], (1.0, 1.0), None
    for step in range(8):
        x, y = batch(5, seed=step, dtype=torch.float64)
        x_adv = nearby(x, seed=100 + step)
        total = loss(method, x, x_adv, y)
        adv, nat, h_adv, h_nat = reference.two_teachers(double, robust, natural, x, x_adv, tau)
        now = (adv.item(), nat.item())
        first = first or now
        weights = balance.journal(weights, now, first, 0.025)
        if name == "bmtard":
            tau = balance.temperatures(tau, h_adv, h_nat, 0.001)
        theirs = weights[0] * adv + weights[1] * nat
        assert total.item() == pytest.approx(theirs.item(), rel=1e-8)
        for optimizer, value in zip(optimizers, (total, theirs), strict=True):
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    assert abs(weights[0] - 0.5) > 1e-4
    assert (tau != (1.0, 1.0)) == (name == "bmtard")
    torch.testing.assert_close(list(student.parameters()), list(double.parameters()), rtol=1e-8, atol=1e-10)
