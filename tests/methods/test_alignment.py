"""IGDM and VFD-Adv: terms that a wrapper adds to any method, and what each reuses of its base."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from robustill.errors import InputError, ModelError
from robustill.losses import kl_div
from robustill.methods import (
    AKD2,
    ARD,
    CIARD,
    HAT,
    IGDM,
    KD,
    MTARD,
    PGDAT,
    RSLAD,
    TRADES,
    AdaAD,
    FairARD,
    Method,
    PeerAiD,
    Standard,
    VFDAdv,
)
from robustill.methods.base import AdversarialMethod
from robustill.training.awp import AWP
from tests.methods.compare import agree, knowing, reached, scene
from tests.methods.test_guidance import Watched
from tests.methods.tiny import ATTACK, batch, conv, conv_bn, gradients, linear, nearby, teacher

Base = Callable[[nn.Module], AdversarialMethod]

BASES: dict[str, Base] = {
    "rslad": lambda s: RSLAD(s, teacher(1).double()),
    "adaad": lambda s: AdaAD(s, teacher(1).double(), alpha=0.7),
    "trades": lambda s: TRADES(s),
    "pgd_at": lambda s: PGDAT(s),
    "mtard": lambda s: MTARD(s, teacher(1).double(), teacher(2).double()),
}
every_base = pytest.mark.parametrize("name", BASES)


def igdm(name: str, student: nn.Module, **settings: float) -> IGDM:
    return IGDM(BASES[name](student), teacher(1).double(), **settings)


def features(network: nn.Module, x: Tensor) -> Tensor:
    """What the last linear layer of `conv` and `linear` gets."""
    return network[:-1](x)  # type: ignore[index, no-any-return]


@every_base
@pytest.mark.parametrize(("b", "g"), [(1.0, 1.0), (0.5, 2.0)])
def test_igdm_adds_the_divergence_of_the_changes_of_logits(name: str, b: float, g: float) -> None:
    student, guide = conv(0).double(), teacher(1).double().eval()
    x, x_adv, y = scene()
    method = igdm(name, student, alpha=20.0, b=b, g=g)
    method.begin_epoch(4, 1.0, 20)
    ahead, behind = x + b * (x_adv - x), x - g * (x_adv - x)
    assert behind.min() < 0, "not clipped"
    term = kl_div(student(ahead) - student(behind), (guide(ahead) - guide(behind)).detach()).mean()
    loss = method.outer(x, x_adv, y)
    agree(loss, BASES[name](student).outer(x, x_adv, y).total + 20 * 0.25 * term, student)
    assert loss.terms["igdm"].item() == pytest.approx(term.item())


@every_base
@pytest.mark.parametrize("how", ["no perturbation", "ramp 0", "alpha 0"])
def test_igdm_is_its_base_where_its_term_vanishes(name: str, how: str) -> None:
    student = conv(0).double()
    x, x_adv, y = scene()
    x_adv = x.clone() if how == "no perturbation" else x_adv
    method = igdm(name, student, alpha=0.0 if how == "alpha 0" else 10.0)
    method.begin_epoch(-1 if how == "ramp 0" else 3, 1.0, 10)
    loss, plain = method.outer(x, x_adv, y), BASES[name](student).outer(x, x_adv, y)
    assert loss.total.item() == plain.total.item()
    torch.testing.assert_close(gradients(loss.total, student), gradients(plain.total, student), rtol=0, atol=1e-15)
    assert (loss.terms["igdm"].item() == 0) is (how == "no perturbation")


def test_the_ramp_of_igdm_counts_epochs_from_one_and_ends_at_alpha() -> None:
    student = conv(0).double()
    x, x_adv, y = scene()
    plain = BASES["rslad"](student).outer(x, x_adv, y).total.item()
    method = igdm("rslad", student, alpha=10.0)
    full = method.outer(x, x_adv, y).total.item() - plain
    assert full > 1e-3
    for epoch, share in ((0, 0.05), (9, 0.5), (19, 1.0), (0, 0.05)):
        method.begin_epoch(epoch, 1.0, 20)
        assert method.outer(x, x_adv, y).total.item() - plain == pytest.approx(share * full)


@pytest.mark.parametrize(
    ("name", "b", "forwards"), [("rslad", 1.0, 3), ("rslad", 0.5, 4), ("trades", 1.0, 3), ("pgd_at", 1, 2)]
)
def test_igdm_takes_the_adversarial_logits_of_its_base(name: str, b: float, forwards: int) -> None:
    student = Watched(conv_bn(0).double())
    x, x_adv, y = scene()
    igdm(name, student, b=b).train().outer(x, x_adv, y)
    assert len(student.inputs) == forwards
    assert sum(torch.equal(points, x_adv) for points in student.inputs) == 1


def test_igdm_takes_its_bases_teacher_or_the_one_it_is_given() -> None:
    x, x_adv, y = scene()

    def term(method: IGDM) -> float:
        return method.outer(x, x_adv, y).terms["igdm"].item()

    expected = term(igdm("pgd_at", conv(0).double()))
    robust, clean, student = teacher(1).double(), teacher(2).double(), conv(0).double()
    for base in (RSLAD(student, robust), MTARD(student, robust, clean), AKD2(student, robust, clean)):
        assert term(IGDM(base)) == pytest.approx(expected)
        assert term(IGDM(base, clean)) != pytest.approx(expected)
    assert term(IGDM(FairARD(ARD(student, robust)))) == pytest.approx(expected), "a wrapper in between"


@pytest.mark.parametrize(
    "base",
    [
        lambda: TRADES(conv(0)),
        lambda: HAT(conv(0), teacher(1)),
        lambda: PeerAiD(conv(0), conv(1)),
        lambda: CIARD(conv(0), teacher(1), teacher(2)),
    ],
)
def test_igdm_around_a_method_without_a_frozen_robust_teacher_is_refused(base: Callable[[], Method]) -> None:
    method = base()
    with pytest.raises(
        InputError, match=rf"and {type(method).__name__} has no single frozen one to take over\n  hint: name one"
    ):
        IGDM(method)


WRAPPERS: dict[str, Callable[[Method], Method]] = {
    "IGDM": lambda base: IGDM(base, teacher(1)),
    "FairARD": FairARD,
    "VFDAdv": lambda base: VFDAdv(base, teacher(2)),
}


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("base", [lambda: Standard(conv(0)), lambda: KD(conv(0), teacher(1))])
def test_wrappers_need_an_adversary(name: str, base: Callable[[], Method]) -> None:
    with pytest.raises(InputError, match=rf"{name} needs a method with an adversary, (Standard|KD) has none"):
        WRAPPERS[name](base())


def test_igdm_warns_of_a_peaked_teacher_at_the_end_of_each_such_epoch() -> None:
    peaked, soft = IGDM(RSLAD(conv(0), knowing(scale=1000.0))), IGDM(RSLAD(conv(0), knowing(scale=0.5)))
    x, y = batch()
    for _ in range(2):
        for points in (nearby(x), x.roll(1, dims=2)):
            peaked.outer(x, points, y)
            soft.outer(x, points, y)
        with pytest.warns(UserWarning, match=r"target puts 0\.98 on one class on average; .* Use a robust teacher"):
            peaked.end_epoch()
        soft.end_epoch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        peaked.end_epoch()


def test_igdms_warning_is_about_the_epochs_mean() -> None:
    guide = knowing(scale=1000.0)
    method = IGDM(RSLAD(conv(0), guide))
    x, y = batch()
    method.outer(x, x.roll(1, dims=2), y)
    for _ in range(3):
        method.outer(x, x.clone(), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        method.end_epoch()


@every_base
@pytest.mark.parametrize("cosine", [False, True])
def test_vfd_draws_the_features_at_both_points_to_the_clean_networks_at_x(name: str, cosine: bool) -> None:
    student, guide = conv(0).double(), conv(3).double()
    x, x_adv, y = scene()
    wanted = features(guide, x)
    total = BASES[name](student).outer(x, x_adv, y).total
    for points in (x_adv, x):
        own = features(student, points)
        if cosine:
            total = total + 0.7 * (1 - (own * wanted).sum(1) / (own.norm(dim=1) * wanted.norm(dim=1))).mean()
        else:
            total = total + 0.7 * (own - wanted).square().mean()
    loss = VFDAdv(BASES[name](student), copy.deepcopy(guide), alpha=0.7, cosine=cosine).outer(x, x_adv, y)
    agree(loss, total, student)


@every_base
def test_vfd_of_weight_zero_is_its_base(name: str) -> None:
    student = conv(0).double()
    x, x_adv, y = scene()
    loss = VFDAdv(BASES[name](student), conv(3).double(), alpha=0.0).outer(x, x_adv, y)
    agree(loss, BASES[name](student).outer(x, x_adv, y), student)


@pytest.mark.parametrize("cosine", [False, True])
def test_identical_features_cost_nothing(cosine: bool) -> None:
    student = conv(0).double()
    x, x_adv, y = scene()
    method = VFDAdv(TRADES(student), copy.deepcopy(student), cosine=cosine)
    terms = method.outer(x, x_adv, y).terms
    assert terms["phi_nat"].abs() < 1e-15
    assert terms["phi_adv"] > 1e-4
    same = method.outer(x, x.clone(), y)
    assert same.terms["phi_adv"].abs() < 1e-15


@pytest.mark.parametrize(("name", "forwards"), [("trades", 2), ("rslad", 2), ("mtard", 2), ("pgd_at", 2)])
def test_vfd_runs_the_student_only_where_its_base_has_not(name: str, forwards: int) -> None:
    student = Watched(conv_bn(0).double())
    x, x_adv, y = scene()
    own = Watched(conv_bn(0).double())
    BASES[name](own).train().outer(x, x_adv, y)
    VFDAdv(BASES[name](student), conv(3).double()).train().outer(x, x_adv, y)
    assert len(own.inputs) == (1 if name == "pgd_at" else 2)
    assert len(student.inputs) == forwards
    assert {torch.equal(points, x) for points in student.inputs} == {True, False}


def test_a_projection_is_trained_only_where_the_widths_differ() -> None:
    x, x_adv, y = scene()
    same = VFDAdv(PGDAT(conv(0)), conv(3)).double()
    assert set(same.trained()) == {"student"}
    assert not any("projection" in key for key in same.state_dict())
    wider = VFDAdv(PGDAT(linear(0)), teacher(3)).double()
    assert set(wider.trained()) == {"student", "projection"}
    assert tuple(wider.get_parameter("projection.weight").shape) == (64, 16)
    assert {"projection.weight", "projection.bias"} <= set(wider.state_dict())
    total = wider.outer(x, x_adv, y).total
    assert reached(wider.projection, total)
    guide = teacher(3).double().eval()
    wanted = features(guide, x)
    expected = PGDAT(wider.student).outer(x, x_adv, y).total
    for points in (x_adv, x):
        expected = expected + (wider.projection(features(wider.student, points)) - wanted).square().mean()
    agree(total, expected, wider.projection)


def test_the_clean_network_of_vfd_is_frozen_and_asked_even_if_its_base_has_just_asked_it() -> None:
    student, clean = conv(0).double(), teacher(2).double()
    x, x_adv, y = scene()
    base = HAT(student, clean)
    clean.eval()(x)
    base.teacher_nat(x)
    loss = VFDAdv(base, base.teacher_nat).train().outer(x, x_adv, y)
    expected = VFDAdv(HAT(student, teacher(2).double()), teacher(2).double()).outer(x, x_adv, y)
    assert loss.terms["phi_nat"].item() == expected.terms["phi_nat"].item()
    loss.total.backward()
    assert all(weight.grad is None for weight in clean.parameters())
    assert not any(module.training for module in clean.modules())


def test_networks_without_penultimate_features_are_refused() -> None:
    bare = nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten())
    for student, clean in ((bare, conv(0)), (conv(0), bare)):
        with pytest.raises(ModelError, match="no linear layer, so it has no penultimate features"):
            VFDAdv(PGDAT(student), clean)


def test_wrappers_hand_everything_else_to_their_base() -> None:
    base = MTARD(conv(0), teacher(1), teacher(2), attack=ATTACK, weight_rate=0.5)
    method = VFDAdv(IGDM(FairARD(base), teacher(1)), teacher(2))
    method.begin_epoch(3, 0.1, 10)
    assert base.balance.rate == pytest.approx(0.05)
    assert method.student is base.student
    assert method.attack is base.attack
    method.attack = other = replace(ATTACK, steps=1)
    assert base.attack is other
    assert set(method.trained()) == {"student"}
    method.train()(*batch(12))
    fair = method.base.base  # type: ignore[union-attr]
    assert fair.count.sum() == 12
    method.end_epoch()
    assert fair.count.sum() == 0


def test_weight_perturbation_around_wrappers_leaves_the_loss_of_its_base_at_gamma_zero() -> None:
    x, y = batch(12)
    totals = []
    for wrap in (lambda m: m, lambda m: AWP(m, gamma=0.0), lambda m: AWP(m, gamma=0.05)):
        torch.manual_seed(0)
        totals.append(wrap(IGDM(RSLAD(conv(0), teacher(1), attack=ATTACK))).train()(x, y).total.item())
    assert totals[0] == totals[1] < totals[2]
