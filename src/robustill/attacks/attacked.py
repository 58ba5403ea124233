"""Does a prediction stay right under an attack: one boolean per example."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustill.attacks.apgd import APGD
from robustill.attacks.autoattack import AutoAttack
from robustill.attacks.cw import CW
from robustill.attacks.fab import FAB
from robustill.attacks.fgsm import FGSM
from robustill.attacks.modes import eval_mode
from robustill.attacks.pgd import PGD
from robustill.attacks.search import Search, run_search
from robustill.attacks.square import Square
from robustill.attacks.threat import Generators
from robustill.attacks.verdicts import correct
from robustill.losses import cross_entropy

Labelled = CW | APGD | FAB | Square | AutoAttack
"""Attacks on a model and labels; the others maximise any objective."""

Attack = PGD | FGSM | Labelled


def stays_correct(model: nn.Module, x: Tensor, y: Tensor, attack: Attack, *, generator: Generators = None) -> Tensor:
    """Return where `model` still predicts `y` at the attack's point, `[B, ...], [B] -> bool [B]`.

    PGD and FGSM maximise the cross-entropy with `y`. An example that is wrong without any perturbation should be
    counted as fallen by the caller: x itself is in the ball.
    """
    if isinstance(attack, PGD | FGSM):
        with eval_mode(model):
            x_adv = attack(lambda points: cross_entropy(model(points), y), x, generator=generator)
    else:
        x_adv = attack(model, x, y, generator=generator)
    return correct(model, x_adv, y)


def outlasts(
    model: nn.Module, x: Tensor, y: Tensor, searches: Sequence[Search], *, generator: Sequence[torch.Generator]
) -> Tensor:
    """Return where `model` still predicts `y` after all of `searches`, each on what is left, bool `[B]`.

    As `stays_correct`, for the searches of one stage of `AutoAttack`; `generator` has one entry per example.
    """
    standing = torch.ones_like(y, dtype=torch.bool)
    for search in searches:
        left = standing.nonzero().flatten()
        own = [generator[i] for i in left.tolist()]
        standing[left] = ~run_search(search, model, x[left], y[left], own, batch_size=max(len(x), 1))[0]
    return standing
