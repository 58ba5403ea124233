"""Each method beside its formulas, typed again from its paper; a new method in METHODS needs one entry in CASES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from robustill import methods as m
from robustill.attacks import PGD
from robustill.data import TensorSplit
from tests.methods.scene import Case, Scene
from tests.methods.tiny import linear
from tests.reference import certified, class_wise, distilled, guided, inner, softened
from tests.reference import methods as reference


def label(v: Scene) -> list[Tensor]:
    return inner.label(v.s, v.a, v.y)


def itself(v: Scene) -> list[Tensor]:
    return inner.fixed_target(v.s, v.s, v.x, v.a, v.y)


def fixed(v: Scene) -> list[Tensor]:
    return inner.fixed_target(v.s, v.t, v.x, v.a, v.y)


def moving(v: Scene) -> list[Tensor]:
    return inner.moving_teacher(v.s, v.t, v.a)


def linearised(lam: float) -> Callable[[Scene], list[Tensor]]:
    return lambda v: inner.linear_teacher(v.s, v.t, v.x, v.a, v.y, lam=lam)


def halves(v: Scene) -> Tensor:
    """The first step of both forms of MTARD: weights 1/2, temperatures 1."""
    adv, nat, _, _ = reference.two_teachers(v.s, v.t, v.n, v.x, v.a, (1.0, 1.0))
    return 0.5 * adv + 0.5 * nat


def igdm(v: Scene, teacher: nn.Module, **steps: float) -> Tensor:
    """The mean of IGDM's term."""
    return torch.stack(distilled.indirect(v.s, teacher, v.x, v.a, **steps)).mean()


def features(v: Scene, *, cosine: bool) -> Tensor:
    """The mean of VFD-Adv's term."""
    return guided.feature_distance(v.s, v.n, v.p, v.x, v.a, cosine=cosine)


def bridge(student: Any) -> nn.Module:
    """Return a map from the student's penultimate features to the 64 of a teacher; none where they are 64 too."""
    width = student[-1].in_features
    return nn.Identity() if width == 64 else linear(3, classes=64)[-1]


def joined(method: m.VFDAdv, projection: nn.Module) -> m.Method:
    """Put a known projection in the place of the method's own."""
    assert str(method.projection) == str(projection)
    method.projection = projection
    return method


def holding(method: m.Method, **buffers: object) -> m.Method:
    """Set buffers by hand."""
    method.double()
    for name, values in buffers.items():
        getattr(method, name).copy_(torch.tensor(values, dtype=torch.float64))
    return method


def announced(method: m.Soften, scene: Scene) -> m.Method:
    """Say that the images of the scene are the first rows of a training split."""
    count = len(scene.x)
    train = TensorSplit(torch.zeros(count, 1, 4, 4, dtype=torch.uint8), scene.y)
    method.begin_run(train)
    method.expect(scene.x, torch.arange(count))
    return method


SOME = [1, 3]
WEIGHTS = (0.9, 2.3, 1.4)
TAU = ((0.6, 1.5, 3.0), (2.0, 0.8, 1.2))
TRUST = {"temperature": 3.0, "beta": 0.5, "begin": 4}
ONE = {"alpha": 0.7, "t": 3.0, "beta": 0.5}
TWO = {"alpha1": 0.4, "alpha2": 0.35, "t": 3.0, "beta": 0.5}
PEER = {"gamma1": 0.9, "gamma2": 3.0, "lam1": 0.4, "lam2": 0.3, "lam3": 0.2, "temperature": 3.0, "peer_temperature": 2}
TUTOR = {"gamma": (0.9, 3.0), "lam": (0.4, 0.3, 0.2), "t": 3.0, "t_peer": 2.0}

# Settings are unlike the defaults where a default (alpha = 1) would hide a term. The first word names the method.
CASES: dict[str, Case] = {
    "standard": Case(lambda v: m.Standard(v.s), lambda v: reference.standard(v.s, v.x, v.y)),
    "kd": Case(
        lambda v: m.KD(v.s, v.t, alpha=0.7, temperature=3.0),
        lambda v: reference.kd(v.s, v.t, v.x, v.y, alpha=0.7, t=3.0),
    ),
    "pgd_at": Case(lambda v: m.PGDAT(v.s), lambda v: reference.pgd_at(v.s, v.x, v.a, v.y), label),
    "trades": Case(lambda v: m.TRADES(v.s), lambda v: reference.trades(v.s, v.x, v.a, v.y, beta=6.0), itself),
    "mart": Case(lambda v: m.MART(v.s, lam=6.0), lambda v: reference.mart(v.s, v.x, v.a, v.y, lam=6.0), label),
    "hat": Case(
        lambda v: m.HAT(v.s, v.n), lambda v: guided.hat(v.s, v.n, v.x, v.a, v.y, beta=2.5, gamma=0.5, h=2.0), itself
    ),
    "hat further": Case(
        lambda v: m.HAT(v.s, v.n, beta=1.5, gamma=2.0, h=5.0),
        lambda v: guided.hat(v.s, v.n, v.x, v.a, v.y, beta=1.5, gamma=2.0, h=5.0),
    ),
    "lbgat": Case(
        lambda v: m.LBGAT(v.s, v.p), lambda v: guided.lbgat(v.s, v.p, v.x, v.a, v.y, beta=6.0), itself, trains="sp"
    ),
    "lbgat alone": Case(
        lambda v: m.LBGAT(v.s, v.p, beta=0.0), lambda v: guided.lbgat(v.s, v.p, v.x, v.a, v.y, beta=0.0), trains="sp"
    ),
    "ard": Case(
        lambda v: m.ARD(v.s, v.t, alpha=0.8, temperature=5.0),
        lambda v: reference.ard(v.s, v.t, v.x, v.a, v.y, alpha=0.8, t=5.0),
        label,
    ),
    "iad": Case(
        lambda v: m.IAD(v.s, v.t, alpha=0.7, **TRUST),
        lambda v: distilled.iad_one(v.s, v.t, v.x, v.a, v.y, begun=True, **ONE),
        label,
        epoch=4,
    ),
    "iad waiting": Case(
        lambda v: m.IAD(v.s, v.t, alpha=0.7, **TRUST),
        lambda v: distilled.iad_one(v.s, v.t, v.x, v.a, v.y, begun=False, **ONE),
        epoch=3,
    ),
    "iad weighing": Case(
        lambda v: m.IAD(v.s, v.t, alpha=0.7, weigh_teacher=True, **TRUST),
        lambda v: distilled.iad_one(v.s, v.t, v.x, v.a, v.y, begun=True, weigh_teacher=True, **ONE),
        epoch=9,
    ),
    "iad two": Case(
        lambda v: m.IAD(v.s, v.t, v.n, alpha1=0.4, alpha2=0.35, **TRUST),
        lambda v: distilled.iad_two(v.s, v.t, v.n, v.x, v.a, v.y, begun=True, **TWO),
        label,
        epoch=4,
    ),
    "iad two waiting": Case(
        lambda v: m.IAD(v.s, v.t, v.n, alpha1=0.4, alpha2=0.35, **TRUST),
        lambda v: distilled.iad_two(v.s, v.t, v.n, v.x, v.a, v.y, begun=False, **TWO),
    ),
    "akd": Case(
        lambda v: m.AKD(v.s, v.t, lam=0.3, temperature=2.0),
        lambda v: distilled.akd(v.s, [v.t], v.x, v.a, v.y, lam=0.3, t=2.0, clean_target=False),
        label,
    ),
    "akd ensemble": Case(
        lambda v: m.AKD(v.s, [v.t, v.n], lam=0.3, temperature=2.0, clean_target=True),
        lambda v: distilled.akd(v.s, [v.t, v.n], v.x, v.a, v.y, lam=0.3, t=2.0, clean_target=True),
    ),
    "akd2": Case(
        lambda v: m.AKD2(v.s, v.t, v.n, lam1=0.4, lam2=0.35, temperature=3.0),
        lambda v: distilled.akd2(v.s, v.t, v.n, v.a, v.y, lam1=0.4, lam2=0.35, t=3.0),
        label,
    ),
    "rslad": Case(lambda v: m.RSLAD(v.s, v.t), lambda v: reference.rslad(v.s, v.t, v.x, v.a, alpha=5 / 6), fixed),
    "absld": Case(
        lambda v: holding(m.ABSLD(v.s, v.t, alpha=0.7), temperatures=TAU),
        lambda v: class_wise.absld(v.s, v.t, v.x, v.a, v.y, tau_adv=TAU[0], tau_nat=TAU[1], alpha=0.7),
        lambda v: inner.fixed_target(v.s, v.t, v.x, v.a, v.y, TAU[0]),
    ),
    "adaad": Case(
        lambda v: m.AdaAD(v.s, v.t, alpha=0.6), lambda v: reference.adaad(v.s, v.t, v.x, v.a, alpha=0.6), moving
    ),
    "adaiad": Case(
        lambda v: m.AdaIAD(v.s, v.t, alpha=0.7, **TRUST),
        lambda v: distilled.adaiad(v.s, v.t, v.x, v.a, v.y, begun=True, **ONE),
        moving,
        epoch=4,
    ),
    "adaiad waiting": Case(
        lambda v: m.AdaIAD(v.s, v.t, alpha=0.7, **TRUST),
        lambda v: distilled.adaiad(v.s, v.t, v.x, v.a, v.y, begun=False, **ONE),
        epoch=3,
    ),
    "dgad": Case(
        lambda v: m.DGAD(v.s, v.t, beta=1.7), lambda v: distilled.dgad(v.s, v.t, v.x, v.a, v.y, beta=1.7), moving
    ),
    "dgad legacy": Case(
        lambda v: m.DGAD(v.s, v.t, beta=1.7, legacy_mnv2=True),
        lambda v: distilled.dgad(v.s, v.t, v.x, v.a, v.y, beta=1.7, legacy=True),
    ),
    "saad": Case(
        lambda v: m.SAAD(v.s, v.t, igdm=3.0, lam=0.8),
        lambda v: distilled.saad(v.s, v.t, v.x, v.a, igdm=3.0, beta=0.0, scale=5.0, order=1, ramp=0.4),
        linearised(0.8),
        epoch=3,
    ),
    "saad routing": Case(
        lambda v: m.SAAD(v.s, v.t, igdm=3.0, beta=0.7, scale=4.0, order=2.0),
        lambda v: distilled.saad(v.s, v.t, v.x, v.a, igdm=3.0, beta=0.7, scale=4.0, order=2, ramp=1.0),
        linearised(1.0),
    ),
    "mtard": Case(lambda v: m.MTARD(v.s, v.t, v.n), halves, label),
    "bmtard": Case(lambda v: m.BMTARD(v.s, v.t, v.n), halves, label),
    "ciard": Case(
        lambda v: m.CIARD(v.s, v.t, v.n, begin=4, push_temperature=3.0),
        lambda v: guided.ciard(v.s, v.t, v.n, v.x, v.a, v.y, begun=True, t_push=3.0, weights=(0.5, 0.5)),
        label,
        trains="st",
        epoch=4,
    ),
    "ciard waiting": Case(
        lambda v: m.CIARD(v.s, v.t, v.n, balance=False),
        lambda v: guided.ciard(v.s, v.t, v.n, v.x, v.a, v.y, begun=False, t_push=5.0),
        epoch=3,
    ),
    "peeraid": Case(
        lambda v: m.PeerAiD(v.s, v.p, **PEER),
        lambda v: guided.peeraid(v.s, v.p, v.x, v.a, v.y, **TUTOR),
        lambda v: inner.fixed_target(v.s, v.p, v.x, v.a, v.y),
        trains="sp",
    ),
    "peeraid twice": Case(
        lambda v: m.PeerAiD(v.s, v.p, bn_compat=True, **PEER),
        lambda v: guided.peeraid(v.s, v.p, v.x, v.a, v.y, **TUTOR),
        trains="sp",
    ),
    "peeraid apart": Case(
        lambda v: m.PeerAiD(v.s, v.p, detach_student_in_peer_loss=True, **PEER),
        lambda v: guided.peeraid(v.s, v.p, v.x, v.a, v.y, detach=True, **TUTOR),
        trains="sp",
    ),
    "igdm": Case(
        lambda v: m.IGDM(m.RSLAD(v.s, v.t), alpha=3.0),
        lambda v: reference.rslad(v.s, v.t, v.x, v.a, alpha=5 / 6) + 3 * 0.4 * igdm(v, v.t),
        fixed,
        epoch=3,
    ),
    "igdm adaad": Case(
        lambda v: m.IGDM(m.AdaAD(v.s, v.t), alpha=3.0, b=0.5, g=2.0),
        lambda v: reference.adaad(v.s, v.t, v.x, v.a, alpha=1.0) + 3 * igdm(v, v.t, b=0.5, g=2.0),
        moving,
    ),
    "igdm mtard": Case(
        lambda v: m.IGDM(m.MTARD(v.s, v.t, v.n), v.n), lambda v: halves(v) + 0.7 * igdm(v, v.n), label, epoch=6
    ),
    "fair_ard": Case(
        lambda v: holding(m.FairARD(m.ARD(v.s, v.t, alpha=0.8, temperature=5.0)), weights=WEIGHTS),
        lambda v: class_wise.fair_ard(v.s, v.t, v.x, v.a, v.y, weights=WEIGHTS, alpha=0.8, t=5.0),
        label,
    ),
    "fair_ard rslad": Case(
        lambda v: holding(m.FairARD(m.RSLAD(v.s, v.t)), weights=WEIGHTS),
        lambda v: class_wise.fair_rslad(v.s, v.t, v.x, v.a, v.y, weights=WEIGHTS, alpha=5 / 6),
        fixed,
    ),
    "fair_ard mtard": Case(
        lambda v: holding(m.FairARD(m.MTARD(v.s, v.t, v.n)), weights=WEIGHTS),
        lambda v: class_wise.fair_mtard(v.s, v.t, v.n, v.x, v.a, v.y, weights=WEIGHTS, balance=(0.5, 0.5)),
        label,
    ),
    "soften": Case(
        lambda v: announced(m.Soften(m.RSLAD(v.s, v.t), subset=SOME, lam=0.4), v),
        lambda v: softened.rslad(v.s, v.t, v.x, v.a, chosen=SOME, lam=0.4, alpha=5 / 6),
        lambda v: softened.rslad_inner(v.s, v.t, v.x, v.a, chosen=SOME, lam=0.4),
    ),
    "soften ard at its temperature": Case(
        lambda v: m.Soften(m.ARD(v.s, v.t, temperature=3.0), lam=0.4),
        lambda v: softened.ard(v.s, v.t, v.x, v.a, lam=0.4, t=3.0),
        label,
    ),
    "soften adaad": Case(
        lambda v: m.Soften(m.AdaAD(v.s, v.t, alpha=0.7), lam=0.6),
        lambda v: softened.adaad(v.s, v.t, v.x, v.a, lam=0.6, alpha=0.7),
        lambda v: softened.adaad_inner(v.s, v.t, v.a, lam=0.6),
    ),
    "vfd_adv": Case(
        lambda v: joined(m.VFDAdv(m.PGDAT(v.s), v.n, alpha=0.7), v.p),
        lambda v: reference.pgd_at(v.s, v.x, v.a, v.y) + 0.7 * features(v, cosine=False),
        label,
        trains="sp",
        extra=bridge,
    ),
    "vfd_adv cosine": Case(
        lambda v: joined(m.VFDAdv(m.TRADES(v.s), v.n, alpha=0.7, cosine=True), v.p),
        lambda v: reference.trades(v.s, v.x, v.a, v.y, beta=6.0) + 0.7 * features(v, cosine=True),
        itself,
        trains="sp",
        extra=bridge,
    ),
    "faithful": Case(
        lambda v: m.FaithfulDistillation(v.s, v.t, lam=0.6, beta=0.7, cert_eps=0.05),
        lambda v: certified.faithful(v.s, v.t, v.x, v.a, v.y, lam=0.6, beta=0.7, eps=0.05),
        moving,
    ),
    "faithful rising": Case(
        lambda v: m.FaithfulDistillation(v.s, v.t, warmup=0.2, ramp=0.4, attack=PGD(eps=0.08, step_size=0.02)),
        lambda v: certified.faithful(v.s, v.t, v.x, v.a, v.y, lam=5 / 6, beta=0.5 * 0.75, eps=0.08 * 0.75),
        epoch=5,
    ),
    "faithful waiting": Case(
        lambda v: m.FaithfulDistillation(v.s, v.t),
        lambda v: certified.faithful(v.s, v.t, v.x, v.a, v.y, lam=5 / 6, beta=0.0, eps=0.0),
        epoch=1,
    ),
    "faithful intervals": Case(
        lambda v: m.FaithfulDistillation(v.s, v.t, cert_eps=0.02, beta=2.0, bounds="ibp", confidence=True),
        lambda v: certified.faithful(v.s, v.t, v.x, v.a, v.y, lam=5 / 6, beta=2.0, eps=0.02, crown=False),
        lambda v: certified.confidences_apart(v.s, v.t, v.a, v.y),
    ),
    "faithful surrogate": Case(
        lambda v: m.FaithfulDistillation(v.s, v.t, cert_eps=0.05, surrogate=True),
        lambda v: certified.faithful(v.s, v.t, v.x, v.a, v.y, lam=5 / 6, beta=0.5, eps=0.05, surrogate=True),
    ),
    "faithful joint": Case(
        lambda v: m.FaithfulDistillation(v.s, v.t, cert_eps=0.05, beta=3.0, surrogate=True, joint=True),
        lambda v: certified.faithful(
            v.s, v.t, v.x, v.a, v.y, lam=5 / 6, beta=3.0, eps=0.05, surrogate=True, joint=True
        ),
    ),
    "ibp": Case(lambda v: m.IBP(v.s, eps=0.1), lambda v: certified.ibp(v.s, v.x, v.y, eps=0.1, kappa=0.5)),
    "ibp rising": Case(
        lambda v: m.IBP(v.s, eps=0.1, kappa=0.2),
        lambda v: certified.ibp(v.s, v.x, v.y, eps=0.1 * 0.6, kappa=1 - 0.6 * 0.8),
        epoch=2,
    ),
    "ibp waiting": Case(
        lambda v: m.IBP(v.s, eps=0.1, warmup=0.3), lambda v: reference.standard(v.s, v.x, v.y), epoch=3
    ),
    "crown_ibp": Case(lambda v: m.CrownIBP(v.s, eps=0.1), lambda v: certified.ibp(v.s, v.x, v.y, eps=0.1, kappa=0.0)),
    "crown_ibp mixed": Case(
        lambda v: m.CrownIBP(v.s, eps=0.1, kappa=0.2, beta=0.3),
        lambda v: certified.crown_ibp(v.s, v.x, v.y, eps=0.1, kappa=0.2, beta=0.3),
    ),
    "crown_ibp rising": Case(
        lambda v: m.CrownIBP(v.s, eps=0.1, kappa=0.2, beta=0.3, warmup=0.1, ramp=0.5),
        lambda v: certified.crown_ibp(v.s, v.x, v.y, eps=0.06, kappa=1 - 0.6 * 0.8, beta=1 - 0.6 * 0.7),
        epoch=4,
    ),
}
