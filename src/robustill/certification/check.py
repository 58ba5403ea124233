"""What the functions that bound a network accept."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustill.errors import InputError, nearest
from robustill.inputs import check_images, check_labels

METHODS = ("ibp", "crown-ibp", "crown")
NORMS = ("Linf", "L2")


def check_request(model: nn.Module, x: Tensor, eps: float, method: str, norm: str) -> float:
    """Return the radius as a float if images, radius, method and norm make sense together.

    Raises:
        InputError: They do not.
    """
    check_images(x)
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}", nearest(str(method), METHODS))
    if norm not in NORMS:
        raise InputError(f"unknown norm {norm!r}", nearest(str(norm), NORMS))
    if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not math.isfinite(eps):
        raise InputError(f"eps is one finite number, not {eps!r}")
    largest = 1.0 if norm == "Linf" else math.sqrt(max(1, x.shape[1:].numel()))
    if not 0 <= eps <= largest:
        hint = "it is a radius in [0, 1] units" if eps < 0 else "it looks like pixels: 8 -> use 8/255"
        raise InputError(f"eps {eps:g} is not in [0, {largest:.4g}]", hint)
    for name, parameter in model.named_parameters():
        if parameter.dtype != x.dtype or parameter.device != x.device:
            raise InputError(
                f"images are {x.dtype} on {x.device}, {name} is {parameter.dtype} on {parameter.device}",
                "bring both to one type and device; bounds are computed in it",
            )
        break
    return float(eps)


def check_rows(rows: Tensor | None, batch: int, classes: int, like: Tensor) -> Tensor:
    """Return rows as `[1 or B, S, C]`; None: the identity.

    Raises:
        InputError: Another shape.
    """
    if rows is None:
        return torch.eye(classes, dtype=like.dtype, device=like.device).unsqueeze(0)
    if rows.dim() not in (2, 3) or rows.shape[-1] != classes or (rows.dim() == 3 and len(rows) != batch):
        raise InputError(f"rows must be [S, {classes}] or [{batch}, S, {classes}], not {list(rows.shape)}")
    rows = rows.to(like)
    return rows.unsqueeze(0) if rows.dim() == 2 else rows


def check_chunk(chunk: int) -> int:
    """Return the bytes that one pass may use if they are positive."""
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise InputError(f"chunk is a positive number of bytes, not {chunk!r}")
    return chunk


def check_classes(classes: Tensor | Sequence[int] | None, batch: int, count: int, like: Tensor) -> Tensor | None:
    """Return one class per image as `[B]` on the device of `like`, or None for all."""
    if classes is None:
        return None
    chosen = torch.as_tensor(classes, device=like.device)
    check_labels(chosen, count, batch)
    return chosen


def check_temperature(temperature: float) -> float:
    """Return a temperature if it is a finite positive number."""
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)):
        raise InputError(f"temperature is a positive number, not {temperature!r}")
    if not (math.isfinite(temperature) and temperature > 0):
        raise InputError(f"temperature {temperature:g} is not a positive number")
    return float(temperature)
