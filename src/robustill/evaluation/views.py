"""Which form of the model a search runs on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from robustill.attacks import Search, Square
from robustill.errors import InputError
from robustill.models import attack_view

Precision = Literal["auto", "float32", "bfloat16"]


def views_of(
    model: nn.Module, precision: Precision, sample: Tensor, *, tell: bool = False
) -> Callable[[Search], nn.Module | None]:
    """Return what gives, for a search, the folded form of `model` in the type that suits the search.

    With `tell`, says once on standard error where the model cannot be folded.

    Raises:
        InputError: An unknown precision.
    """
    if precision not in get_args(Precision):
        raise InputError(f"unknown precision {precision!r}", f"choose one of {', '.join(get_args(Precision))}")

    @cache
    def view(dtype: torch.dtype) -> nn.Module:
        found = attack_view(model, dtype=dtype, sample=sample)
        if found.why is not None and tell:
            sys.stderr.write(f"note: the search cannot use a folded copy of the model in {dtype}: {found.why}\n")
        return found

    def chosen(search: Search) -> nn.Module | None:
        if precision != "auto":
            return view(getattr(torch, precision))
        # Square accepts whatever raises the margin by a little: it needs all digits.
        return view(torch.float32 if isinstance(search, Square) else torch.bfloat16)

    return chosen
