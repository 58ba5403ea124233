"""Bounds of one network or of the difference of two, as functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from robustill.certification.bounder import Bounder
from robustill.certification.interval import Interval
from robustill.certification.pair_bounder import PairBounder


def bounds(
    model: nn.Module,
    x: Tensor,
    eps: float,
    method: str = "crown",
    norm: str = "Linf",
    *,
    rows: Tensor | None = None,
    **options: Any,
) -> Interval:
    """Return what `rows @ logits` lies between for all images within `eps` of `x`.

    Args:
        model: A network in eval mode.
        x: Images in [0, 1], `[B, ...]`.
        eps: Radius in units of [0, 1].
        method: "ibp", "crown-ibp" or "crown"; see `Bounder`.
        norm: "Linf" or "L2".
        rows: `[S, C]` or `[B, S, C]`; None: the logits.
        **options: `clip` and `chunk` of `Bounder`.

    Returns:
        `Interval(lower, upper)`, `[B, S]` each.

    Raises:
        InputError: An argument makes no sense.
        ModelError: The network has an operation without known bounds, or is in train mode.

    >>> import torch
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False)).eval()
    >>> _ = nn.init.ones_(model[1].weight)
    >>> lower, upper = bounds(model, torch.tensor([[[[0.5, 1.0]]]]), 0.25)
    >>> lower.item(), upper.item()
    (1.0, 1.75)
    """
    return Bounder(model, x, eps, method, norm, **options).outputs(rows)


def difference_bounds(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    eps: float,
    method: str = "crown",
    norm: str = "Linf",
    *,
    rows: Tensor | None = None,
    **options: Any,
) -> Interval:
    """Return what `rows @ (student logits - teacher logits)` `[B, S]` lies between at the same image; see `bounds`.

    The linear bounds of the two networks are added before the worst image is sought, so that what they have in common
    cancels.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> student, teacher = nn.Linear(2, 2).eval(), nn.Linear(2, 2).eval()
    >>> x = torch.tensor([[0.5, 0.5]])
    >>> found = difference_bounds(student, student, x, eps=0.1)
    >>> bool(found.upper.abs().max() < 1e-5)
    True
    """
    return _pair(student, teacher, x, eps, method, norm, options).differences(rows)


def confidence_bounds(
    model: nn.Module,
    x: Tensor,
    eps: float,
    method: str = "crown",
    norm: str = "Linf",
    *,
    classes: Tensor | Sequence[int] | None = None,
    temperature: float = 1.0,
    **options: Any,
) -> Interval:
    """Return what the softmax of the logits lies between for all images within `eps` of `x`; see `bounds`.

    Args:
        model: A network in eval mode.
        x: Images in [0, 1], `[B, ...]`.
        eps: Radius in units of [0, 1].
        method: "ibp", "crown-ibp" or "crown".
        norm: "Linf" or "L2".
        classes: One class per image, `[B]`; None: all.
        temperature: What the logits are divided by.
        **options: `clip` and `chunk` of `Bounder`.

    Returns:
        `[B, C]`, or `[B, 1]` for one class per image.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> student, teacher = nn.Linear(2, 2).eval(), nn.Linear(2, 2).eval()
    >>> x = torch.tensor([[0.5, 0.5]])
    >>> found = confidence_bounds(student, x, eps=0.1, classes=[0])
    >>> share = student(x).softmax(1)[:, 0]
    >>> bool((found.lower <= share).all() and (share <= found.upper).all())
    True
    """
    return Bounder(model, x, eps, method, norm, **options).confidences(classes, temperature)


def confidence_difference_bounds(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    eps: float,
    method: str = "crown",
    norm: str = "Linf",
    *,
    classes: Tensor | Sequence[int] | None = None,
    temperature: float = 1.0,
    **options: Any,
) -> Interval:
    """Return what the student's softmax less the teacher's lies between, both at the same image, `[B, C]`.

    Arguments and result are those of `confidence_bounds`.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> student, teacher = nn.Linear(2, 2).eval(), nn.Linear(2, 2).eval()
    >>> x = torch.tensor([[0.5, 0.5]])
    >>> found = confidence_difference_bounds(student, teacher, x, eps=0.1, classes=[0])
    >>> share = (student(x).softmax(1) - teacher(x).softmax(1))[:, 0]
    >>> bool((found.lower <= share).all() and (share <= found.upper).all())
    True
    """
    pair = _pair(student, teacher, x, eps, method, norm, options)
    return pair.confidence_differences(classes, temperature)


def _pair(
    student: nn.Module, teacher: nn.Module, x: Tensor, eps: float, method: str, norm: str, options: dict[str, Any]
) -> PairBounder:
    return PairBounder(*(Bounder(each, x, eps, method, norm, **options) for each in (student, teacher)))
