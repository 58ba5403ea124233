"""The names of the field's tables."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from robustill.attacks import APGD, CW, FGSM, PGD, AutoAttack, Square, named_attack
from robustill.errors import InputError
from tests.attacks.tiny import classifier, images, wavy

EPS = 8 / 255


@pytest.mark.parametrize(
    ("name", "attack"),
    [
        ("fgsm", FGSM(eps=EPS)),
        ("pgd20", PGD(eps=EPS, step_size=2 / 255, steps=20, init="uniform")),
        ("pgd1", PGD(eps=EPS, step_size=2 / 255, steps=1)),
        ("pgd50x5", PGD(eps=EPS, step_size=2 / 255, steps=50, restarts=5)),
        ("cw", CW(eps=EPS, step_size=2 / 255, steps=30, confidence=50.0)),
        ("apgd-ce", APGD(eps=EPS, steps=100)),
        ("apgd-dlr", APGD(eps=EPS, steps=100, loss="dlr")),
        ("square", Square(eps=EPS, queries=5000, rescale=False)),
        ("autoattack", AutoAttack(eps=EPS, version="standard")),
        ("autoattack-fast", AutoAttack(eps=EPS, version="fast")),
        ("autoattack-rand", AutoAttack(eps=EPS, version="rand")),
    ],
)
def test_names_stand_for_the_published_settings(name: str, attack: Any) -> None:
    assert named_attack(name, eps=EPS) == attack


def test_the_trades_steps_are_three_thousandths_at_the_usual_radius_and_scale_with_it() -> None:
    usual, double = named_attack("pgd20_trades", eps=EPS), named_attack("pgd20_trades", eps=2 * EPS)
    assert isinstance(usual, PGD)
    assert isinstance(double, PGD)
    assert usual.step_size == pytest.approx(0.003, rel=1e-12)
    assert double.step_size == pytest.approx(0.006, rel=1e-12)
    assert (usual.steps, usual.init, usual.restarts) == (20, "uniform", 1)
    assert named_attack("pgd10x3_trades", eps=EPS).restarts == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["fgsm", "pgd20", "pgd5x2", "pgd20_trades", "cw"])
def test_radius_and_norm_are_passed_on_and_radius_zero_is_the_image(name: str) -> None:
    attack = named_attack(name, eps=0.5, norm="L2")
    assert (attack.eps, attack.norm) == (0.5, "L2")
    nothing, x = named_attack(name, eps=0.0), images(2)
    where: Any = (classifier(), x, torch.tensor([0, 1])) if isinstance(nothing, CW) else (wavy(), x)
    assert torch.equal(nothing(*where), x)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pdg20", "did you mean 'pgd20'"),
        ("fsgm", "did you mean 'fgsm'"),
        ("pgd20_trade", "did you mean 'pgd20_trades'"),
        ("nothing", "choose one of: apgd-ce, apgd-dlr, autoattack"),
        ("", "choose one of"),
        ("pgd", "pgd"),
        ("pgd0", "pgd"),
        ("pgd20x0", "pgd20"),
        ("pgd99999", "pgd"),
        ("pgd20 ", "pgd20"),
        ("PGD20", "pgd"),
        ("pgd20x", "pgd20"),
        ("pgd-5", "pgd"),
    ],
)
def test_other_names_are_refused_with_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(InputError, match="unknown attack") as caught:
        named_attack(name, eps=EPS)
    assert repr(name) in str(caught.value)
    assert hint in str(caught.value)
