"""The form of the model that searches run on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from robustill.errors import InputError
from robustill.models import attack_view
from robustill.models.arithmetic import fast_bfloat16

Precision = Literal["auto", "float32", "bfloat16"]


def view_of(
    model: nn.Module, precision: Precision, sample: Tensor, *, tell: bool = False
) -> Callable[[], nn.Module | None]:
    """Return what gives the folded form of `model` that searches run on; made at the first call.

    With `tell`, says once on standard error where the model cannot be folded.

    Raises:
        InputError: An unknown precision.
    """
    if precision not in get_args(Precision):
        raise InputError(f"unknown precision {precision!r}", f"choose one of {', '.join(get_args(Precision))}")

    @cache
    def view() -> nn.Module:
        # bfloat16 finds as much as float32 (results/autoattack.md); a success is confirmed in float32 in any case.
        fast = torch.bfloat16 if fast_bfloat16(sample.device) else torch.float32
        dtype = fast if precision == "auto" else getattr(torch, precision)
        found = attack_view(model, dtype=dtype, sample=sample)
        if found.why is not None and tell:
            sys.stderr.write(f"note: the search cannot use a folded copy of the model in {dtype}: {found.why}\n")
        return found

    return view
