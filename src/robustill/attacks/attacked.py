"""Any attack on a model and labels: the points it finds, and does the prediction stay right there."""

from __future__ import annotations

from torch import Tensor, nn

from robustill.attacks.autoattack import AutoAttack
from robustill.attacks.cw import CW
from robustill.attacks.fgsm import FGSM
from robustill.attacks.modes import eval_mode
from robustill.attacks.pgd import PGD
from robustill.attacks.search import Search
from robustill.attacks.threat import Generators
from robustill.attacks.verdicts import correct
from robustill.inputs import check_labels
from robustill.losses import cross_entropy

Labelled = CW | Search | AutoAttack
"""Attacks on a model and labels; the others maximise any objective."""

Attack = PGD | FGSM | Labelled


def stays_correct(model: nn.Module, x: Tensor, y: Tensor, attack: Attack, *, generator: Generators = None) -> Tensor:
    """Return where `model` still predicts `y` at the attack's point, `[B, ...], [B] -> bool [B]`.

    An example that is wrong without any perturbation should be counted as fallen by the caller: x itself is in the
    ball.

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> from robustill.attacks import FGSM
    >>> stays_correct(model, x, y, FGSM(eps=0.25))
    tensor([False,  True])
    """
    return correct(model, adversarial_points(model, x, y, attack, generator=generator), y)


def adversarial_points(
    model: nn.Module, x: Tensor, y: Tensor, attack: Attack, *, generator: Generators = None
) -> Tensor:
    """Return the points that an attack on `model` finds, `[B, ...], [B] -> [B, ...]`.

    PGD and FGSM maximise the cross-entropy with `y`. The model is attacked in eval mode; its modes are restored.

    Raises:
        InputError: Images outside [0, 1], or labels that are not int64 classes `[B]`.

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> from robustill.attacks import FGSM
    >>> adversarial_points(model, x, y, FGSM(eps=0.25))
    tensor([[0.3500, 0.6500],
            [0.6500, 0.3500]])
    """
    check_labels(y, None, len(x))
    if not isinstance(attack, PGD | FGSM):
        return attack(model, x, y, generator=generator)
    with eval_mode(model):
        return attack(lambda points: cross_entropy(model(points), y), x, generator=generator)
