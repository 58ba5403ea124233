"""Every method on batches at the edge: nothing becomes NaN or infinite, in the loss, the gradient or the state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.methods import METHODS, Method
from tests.methods.compare import knowing
from tests.methods.tiny import ATTACK, batch, conv_bn

STILL = PGD(eps=0.0, step_size=0.1, steps=1, init="none")
SMALL = PGD(eps=0.02, step_size=0.01, steps=3, init="gaussian")

# Name -> the method with every one of its terms switched on.
BUILD: dict[str, Callable[[nn.Module, nn.Module, nn.Module, PGD], Method]] = {
    "standard": lambda s, t, n, a: METHODS["standard"](s),
    "kd": lambda s, t, n, a: METHODS["kd"](s, t),
    "pgd_at": lambda s, t, n, a: METHODS["pgd_at"](s, attack=a),
    "trades": lambda s, t, n, a: METHODS["trades"](s, attack=a),
    "mart": lambda s, t, n, a: METHODS["mart"](s, attack=a),
    "hat": lambda s, t, n, a: METHODS["hat"](s, n, attack=a),
    "lbgat": lambda s, t, n, a: METHODS["lbgat"](s, n, attack=a),
    "ard": lambda s, t, n, a: METHODS["ard"](s, t, alpha=0.5, attack=a),
    "iad": lambda s, t, n, a: METHODS["iad"](s, t, n, begin=0, attack=a),
    "akd": lambda s, t, n, a: METHODS["akd"](s, [t, n], attack=a),
    "akd2": lambda s, t, n, a: METHODS["akd2"](s, t, n, attack=a),
    "rslad": lambda s, t, n, a: METHODS["rslad"](s, t, attack=a),
    "absld": lambda s, t, n, a: METHODS["absld"](s, t, attack=a),
    "adaad": lambda s, t, n, a: METHODS["adaad"](s, t, alpha=0.5, attack=a),
    "adaiad": lambda s, t, n, a: METHODS["adaiad"](s, t, alpha=0.5, begin=0, attack=a),
    "dgad": lambda s, t, n, a: METHODS["dgad"](s, t, attack=a),
    "saad": lambda s, t, n, a: METHODS["saad"](s, t, beta=0.5, order=2.0, attack=a),
    "mtard": lambda s, t, n, a: METHODS["mtard"](s, t, n, attack=a),
    "bmtard": lambda s, t, n, a: METHODS["bmtard"](s, t, n, attack=a),
    "ciard": lambda s, t, n, a: METHODS["ciard"](s, t, n, begin=0, attack=a),
    "peeraid": lambda s, t, n, a: METHODS["peeraid"](s, t, lam1=0.5, attack=a),
    "igdm": lambda s, t, n, a: METHODS["igdm"](METHODS["rslad"](s, t, attack=a)),
    "fair_ard": lambda s, t, n, a: METHODS["fair_ard"](METHODS["ard"](s, t, attack=a)),
    "vfd_adv": lambda s, t, n, a: METHODS["vfd_adv"](METHODS["trades"](s, attack=a), n),
    "soften": lambda s, t, n, a: METHODS["soften"](METHODS["adaad"](s, t, attack=a), lam=0.5),
    # Without a rise, so that the bounds take part.
    "faithful": lambda s, t, n, a: METHODS["faithful"](s, t, ramp=0.0, attack=a),
    "ibp": lambda s, t, n, a: METHODS["ibp"](s, eps=a.eps, ramp=0.0),
    "crown_ibp": lambda s, t, n, a: METHODS["crown_ibp"](s, eps=a.eps, beta=0.5, ramp=0.0),
}
VARIANTS: dict[str, Callable[[nn.Module, nn.Module, nn.Module, PGD], Method]] = {
    "iad form I": lambda s, t, n, a: METHODS["iad"](s, t, begin=0, alpha=0.5, weigh_teacher=True, attack=a),
    "legacy dgad": lambda s, t, n, a: METHODS["dgad"](s, t, legacy_mnv2=True, attack=a),
    "saad of low order": lambda s, t, n, a: METHODS["saad"](s, t, order=0.5, attack=a),
    "ciard unbalanced": lambda s, t, n, a: METHODS["ciard"](s, t, n, balance=False, attack=a),
    "cosine vfd_adv": lambda s, t, n, a: METHODS["vfd_adv"](METHODS["pgd_at"](s, attack=a), n, cosine=True),
    **{
        f"soften {mode}": lambda s, t, n, a, mode=mode: METHODS["soften"](METHODS["adaad"](s, t, attack=a), mode=mode)  # type: ignore[misc]
        for mode in ("entropy", "uniform", "one_hot")
    },
    "joint faithful": lambda s, t, n, a: METHODS["faithful"](s, t, ramp=0.0, joint=True, confidence=True, attack=a),
    "faithful surrogate": lambda s, t, n, a: METHODS["faithful"](s, t, ramp=0.0, joint=True, surrogate=True, attack=a),
    "fair mtard": lambda s, t, n, a: METHODS["fair_ard"](METHODS["mtard"](s, t, n, attack=a)),
}
EVERY = BUILD | VARIANTS


class Case(NamedTuple):
    """A batch, what its teachers know, and what the adversary may do."""

    x: Tensor
    y: Tensor
    shift: int = 0
    scale: float = 1.0
    attack: PGD = SMALL


def twins() -> tuple[Tensor, Tensor]:
    x, y = batch(1)
    return x.repeat(2, 1, 1, 1), y.repeat(2)


def without_a_class() -> tuple[Tensor, Tensor]:
    x, y = batch(12)
    return x[y != 1], y[y != 1]


CASES: dict[str, Callable[[], Case]] = {
    "one image": lambda: Case(*batch(1)),
    "teachers always right": lambda: Case(*batch(7)),
    "teachers always wrong": lambda: Case(*batch(7), shift=1),
    "a class missing": lambda: Case(*without_a_class()),
    "two equal images": lambda: Case(*twins()),
    "teachers without any doubt": lambda: Case(*batch(7), scale=1e4),
    "teachers surely wrong": lambda: Case(*batch(7), shift=1, scale=1e4),
    "teachers without an opinion": lambda: Case(*batch(7), scale=0.0),
    "no perturbation": lambda: Case(*batch(7), attack=STILL),
    "one sure image, unperturbed": lambda: Case(*batch(1), scale=1e4, attack=STILL),
    "black and white images": lambda: Case(batch(7)[0].round(), batch(7)[1], attack=ATTACK),
}


def build(name: str, case: Case) -> Method:
    teachers = [knowing(case.shift, case.scale) for _ in range(2)]
    return EVERY[name](conv_bn(0), *teachers, case.attack).train()


@pytest.mark.parametrize("case", CASES)
def test_the_cases_are_what_they_are_called(case: str) -> None:
    x, y, shift, scale, attack = CASES[case]()
    assert torch.equal(knowing()(x).argmax(1), y)
    network = knowing(shift, scale)
    right = [(network(points).argmax(1) == y) for points in (x, (x + attack.eps).clamp(0, 1))]
    if "opinion" not in case:
        assert all(bool((verdict == (shift == 0)).all()) for verdict in right)
    probability = network(x).softmax(1).amax(1)
    assert bool((probability == 1).all()) is (scale == 1e4)


def finite(values: dict[str, Tensor]) -> list[str]:
    """Return the names of what is not finite."""
    return [name for name, value in values.items() if not torch.isfinite(value).all()]


def test_every_method_has_a_case() -> None:
    assert set(BUILD) == set(METHODS)


@pytest.mark.filterwarnings("ignore:IGDM. the teacher's target:UserWarning")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", EVERY)
def test_nothing_breaks(name: str, case: str) -> None:
    found = CASES[case]()
    method = build(name, found)
    for epoch in range(2):
        method.begin_epoch(epoch, 0.1**epoch, 2)
        torch.manual_seed(epoch)
        loss = method(found.x, found.y)
        assert loss.per_example.shape == found.y.shape
        method.zero_grad()
        loss.total.backward()
        assert finite({"total": loss.total, **loss.terms}) == []
        slopes = {key: weight.grad for key, weight in method.named_parameters() if weight.grad is not None}
        assert slopes
        assert finite(slopes) == []
        # Small steps: a surely wrong teacher gives gradients that would throw any network far away.
        torch.optim.SGD(method.parameters(), lr=1e-6).step()
        method.after_step()
        method.end_epoch()
        assert finite(method.state_dict()) == []


@pytest.mark.parametrize("name", EVERY)
def test_equal_images_get_equal_losses(name: str) -> None:
    x, y = twins()
    method = build(name, Case(x, y, attack=STILL))
    first, second = method(x, y).per_example.tolist()
    assert first == pytest.approx(second, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", EVERY)
def test_an_epoch_without_a_step_changes_nothing(name: str) -> None:
    method = build(name, CASES["one image"]())
    before = copy.deepcopy(method.state_dict())
    method.begin_epoch(0, 1.0, 2)
    method.end_epoch()
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
