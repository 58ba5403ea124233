"""Is a prediction right, and does it stay right under an attack: one boolean per example."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks.cw import CW
from robustill.attacks.fgsm import FGSM
from robustill.attacks.modes import eval_mode
from robustill.attacks.pgd import PGD
from robustill.attacks.threat import Generators
from robustill.losses import cross_entropy


def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return where `model` predicts `y`, in eval mode and without a graph, `[B, ...], [B] -> bool [B]`.

    Logits that are not finite count as wrong.
    """
    with eval_mode(model), torch.no_grad():
        logits: Tensor = model(x)
        return (logits.argmax(1) == y) & logits.isfinite().all(1)


def stays_correct(
    model: nn.Module, x: Tensor, y: Tensor, attack: PGD | FGSM | CW, *, generator: Generators = None
) -> Tensor:
    """Return where `model` still predicts `y` at the attack's point, `[B, ...], [B] -> bool [B]`.

    PGD and FGSM maximise the cross-entropy with `y`. An example that is wrong without any perturbation should be
    counted as fallen by the caller: x itself is in the ball.
    """
    if isinstance(attack, CW):
        x_adv = attack(model, x, y, generator=generator)
    else:
        with eval_mode(model):
            x_adv = attack(lambda points: cross_entropy(model(points), y), x, generator=generator)
    return correct(model, x_adv, y)
