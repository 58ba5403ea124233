"""Every method against loops: value, gradient, who learns, what the adversary climbs, the order of forwards."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import eval_mode
from robustill.methods import CIARD, DGAD, METHODS, SAAD, PeerAiD
from robustill.methods.base import AdversarialMethod
from tests.methods.cases import CASES
from tests.methods.scene import Case, agree, loss, twin
from tests.methods.tiny import batch, conv, conv_bn, gradients, linear, nearby, teacher
from tests.reference import balance, distilled, guided
from tests.reference import methods as reference

ATTACKED = [name for name in CASES if CASES[name].inner]


def test_every_method_that_is_given_here_exists_and_none_is_missing() -> None:
    assert {name.split()[0] for name in CASES} == set(METHODS)
    assert set(ATTACKED) >= {name for name, method in METHODS.items() if issubclass(method, AdversarialMethod)}


@pytest.mark.parametrize("net", [linear, conv, conv_bn])
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_agree_with_the_loops(name: str, net: Callable[[int], nn.Module]) -> None:
    agree(CASES[name], CASES[name].scene(net))


@pytest.mark.parametrize("net", [conv, conv_bn])
@pytest.mark.parametrize("name", ATTACKED)
def test_the_adversary_climbs_what_the_loops_say(name: str, net: Callable[[int], nn.Module]) -> None:
    case = CASES[name]
    scene = case.scene(net)
    scene.a.requires_grad_()
    method, double = case.method(scene), twin(scene, "")
    with eval_mode(method):
        ours = method.inner(scene.x, scene.y)(scene.a)
    theirs = torch.stack(case.inner(double))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    (mine,) = torch.autograd.grad(ours.sum(), scene.a)
    (other,) = torch.autograd.grad(theirs.sum(), double.a)
    assert other.abs().max() > 1e-3
    torch.testing.assert_close(mine, other, rtol=1e-7, atol=1e-11)


# The order of the released code, and a second run of S(x').
ORDERS = {
    "pgd_at": ("adv",),
    "trades": ("nat", "adv"),
    "ard": ("adv", "nat"),
    "iad": ("adv", "nat"),
    "rslad": ("adv", "nat"),
    "absld": ("adv", "nat"),
    "mtard": ("adv", "nat"),
    "bmtard": ("adv", "nat"),
    "ciard": ("nat", "adv"),
    "adaad": ("nat", "adv"),
    "adaiad": ("nat", "adv"),
    "dgad": ("nat", "adv"),
    "peeraid": ("adv", "nat"),
    "peeraid twice": ("adv", "adv", "nat"),
    "fair_ard": ("adv", "nat"),
}


@pytest.mark.parametrize("name", ORDERS)
def test_batch_norm_sees_the_batches_in_the_order_of_the_release(name: str) -> None:
    case = CASES[name]
    scene = case.scene(conv_bn)
    right, wrong = copy.deepcopy(scene.s).train(), copy.deepcopy(scene.s).train()
    loss(case.method(scene), scene.x, scene.a, scene.y)
    for network, order in ((right, ORDERS[name]), (wrong, ORDERS[name][::-1])):
        for which in order:
            network(scene.a if which == "adv" else scene.x)
    found, expected, other = (dict(net.named_buffers()) for net in (scene.s, right, wrong))
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    if len(ORDERS[name]) > 1:
        assert not torch.equal(found["1.running_mean"], other["1.running_mean"])


@pytest.mark.parametrize("name", ["ard", "adaad"])
def test_a_clean_forward_of_weight_zero_still_moves_batch_norm(name: str) -> None:
    student = conv_bn(0)
    x, y = batch()
    method = METHODS[name](student, teacher(1), alpha=1.0).train()
    loss(method, x, nearby(x), y)
    assert student[1].num_batches_tracked == 2  # type: ignore[index]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrong", [0, 2, 5])
def test_dgad_by_how_often_its_teacher_is_wrong(wrong: int, legacy: bool) -> None:
    case = Case(
        lambda v: DGAD(v.s, v.t, beta=1.7, legacy_mnv2=legacy),
        lambda v: distilled.dgad(v.s, v.t, v.x, v.a, v.y, beta=1.7, legacy=legacy),
    )
    scene = case.scene(conv_bn)
    scene.y = told(scene.t, scene.x, wrong)
    misled = (scene.t(scene.a).argmax(1) != scene.y)[wrong:]
    assert wrong == 5 or 0 < misled.sum() < len(misled)
    agree(case, scene)


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("wrong", [0, 2, 5])
def test_ciard_by_how_often_its_clean_teacher_is_wrong(wrong: int, begun: bool) -> None:
    case = Case(
        lambda v: CIARD(v.s, v.t, v.n, balance=False, begin=0 if begun else 1),
        lambda v: guided.ciard(v.s, v.t, v.n, v.x, v.a, v.y, begun=begun, t_push=5.0),
        trains="st" if begun else "s",
    )
    scene = case.scene(conv_bn)
    scene.y = told(scene.n, scene.a, wrong)
    agree(case, scene)


def told(network: nn.Module, x: Tensor, wrong: int) -> Tensor:
    """Return labels by which the network is wrong on the first images and right on the others."""
    y = network.eval()(x).argmax(1)
    y[:wrong] = (y[:wrong] + 1) % 3
    return y


def test_the_robust_teacher_of_ciard_learns_the_labels_and_nothing_else() -> None:
    scene = CASES["ciard"].scene(conv_bn)
    double = twin(scene, "st")
    ours = loss(CASES["ciard"].method(scene), scene.x, scene.a, scene.y)
    labels = reference.pgd_at(double.t, double.x, double.a, double.y)
    torch.testing.assert_close(gradients(ours, scene.t), gradients(labels, double.t), rtol=1e-7, atol=1e-11)


# One term alone: gamma1, gamma2, lam1, lam2, lam3, and which networks learn from it.
TERMS = [
    ((1.0, 0.0, 0.0, 0.0, 0.0), "p", False),
    ((0.0, 1.0, 0.0, 0.0, 0.0), "sp", False),
    ((0.0, 1.0, 0.0, 0.0, 0.0), "p", True),
    ((0.0, 0.0, 1.0, 0.0, 0.0), "s", False),
    ((0.0, 0.0, 0.0, 1.0, 0.0), "s", False),
    ((0.0, 0.0, 0.0, 0.0, 1.0), "s", False),
]


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize(("term", "learns", "detach"), TERMS)
def test_who_learns_from_each_term_of_peeraid(term: tuple[float, ...], learns: str, detach: bool, compat: bool) -> None:
    names = ("gamma1", "gamma2", "lam1", "lam2", "lam3")
    settings = dict(zip(names, term, strict=True), temperature=3.0, peer_temperature=2.0, bn_compat=compat)
    case = Case(
        lambda v: PeerAiD(v.s, v.p, detach_student_in_peer_loss=detach, **settings),
        lambda v: guided.peeraid(
            v.s, v.p, v.x, v.a, v.y, gamma=term[:2], lam=term[2:], t=3.0, t_peer=2.0, detach=detach
        ),
        trains=learns,
        awake="sp",
    )
    agree(case, case.scene(conv_bn))


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_saad_on_one_example_keeps_its_clean_term_alone(beta: float) -> None:
    case = Case(
        lambda v: SAAD(v.s, v.t, beta=beta),
        lambda v: distilled.saad(v.s, v.t, v.x, v.a, igdm=1.0, beta=beta, scale=5.0, order=1, ramp=1.0),
    )
    scene = case.scene(conv, size=1)
    agree(case, scene, least=1e-3 if beta else 0.0)
    clean = reference.adaad(scene.s, scene.t, scene.x, scene.a, alpha=0.0)
    assert loss(case.method(scene), scene.x, scene.a, scene.y).item() == pytest.approx(beta * clean.item())


@pytest.mark.parametrize("name", ["mtard", "bmtard", "ciard"])
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
        theirs = weights[0] * adv + weights[1] * nat
        if name == "ciard":
            nets = (double, robust, natural)
            theirs = guided.ciard(*nets, x, x_adv, y, begun=False, t_push=5.0, weights=weights, tau=tau)
        if name != "mtard":
            tau = balance.temperatures(tau, h_adv, h_nat, 0.001)
        assert total.item() == pytest.approx(theirs.item(), rel=1e-8)
        for optimizer, value in zip(optimizers, (total, theirs), strict=True):
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    assert abs(weights[0] - 0.5) > 1e-4
    assert (tau != (1.0, 1.0)) == (name != "mtard")
    torch.testing.assert_close(list(student.parameters()), list(double.parameters()), rtol=1e-8, atol=1e-10)
