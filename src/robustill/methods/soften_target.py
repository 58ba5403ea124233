"""Soft labels made less sure, as logits: what a softened teacher says."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from robustill.errors import InputError, nearest
from robustill.losses import entropy as entropy_of

Mode = Literal["mix", "entropy", "uniform", "one_hot", "original"]

# exp(-40) is nothing beside 1, in float64 too, and no logarithm of it is infinite.
_SURE = 40.0
# Halvings of the interval that holds the temperature: more than float32 can tell apart.
_HALVINGS = 40


def check_softening(mode: str, lam: float, entropy: float) -> None:
    """Check what does not depend on the number of classes.

    Raises:
        InputError: An unknown mode, `lam` outside [0, 1], or a negative `entropy`.
    """
    if mode not in get_args(Mode):
        raise InputError(f"Soften has no mode {mode!r}", nearest(str(mode), get_args(Mode)))
    if not 0 <= lam <= 1:
        raise InputError(f"Soften: lam = {lam} is no share", "0 keeps the teacher's answer, 1 is the uniform one")
    if not entropy >= 0:
        raise InputError(f"Soften: entropy = {entropy} is no entropy", "give it in nats, between 0 and log C")


def softened(
    logits: Tensor, y: Tensor, *, mode: Mode, lam: float = 0.5, entropy: float = 1.0, temperature: float = 1.0
) -> Tensor:
    """Return logits whose soft label `softmax(. / temperature)` is the softened one, `[B, C], [B] -> [B, C]`.

    Args:
        logits: The teacher's; the result is differentiable with respect to them, except in uniform and one_hot.
        y: Labels, for one_hot.
        mode: `mix`: (1 - lam) q + lam / C. `entropy`: the least temperature per example, at least 1, at which the
            entropy of q is `entropy`; an answer that is unsure enough is left as it is. `uniform`: 1 / C. `one_hot`:
            the label. `original`: q.
        lam: Share of the uniform distribution in `mix`.
        entropy: Least entropy, nats.
        temperature: At which the soft label q is read.

    Raises:
        InputError: An entropy that C classes cannot have, or only the uniform distribution has.

    >>> q = torch.tensor([[0.9, 0.1]])
    >>> softened(q.log(), torch.tensor([0]), mode="mix", lam=0.5).softmax(1)
    tensor([[0.7000, 0.3000]])
    """
    classes = logits.shape[1]
    if mode == "original" or (mode == "mix" and lam == 0):
        return logits
    if mode == "uniform" or (mode == "mix" and lam == 1):
        return torch.zeros_like(logits)
    if mode == "one_hot":
        return temperature * _SURE * one_hot(y, classes).to(logits.dtype)
    wide = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    if mode == "entropy":
        return wide / _temperatures((wide / temperature).detach(), entropy)
    known = log_softmax(wide / temperature, dim=1) + math.log1p(-lam)
    return temperature * torch.logaddexp(known, known.new_full((), math.log(lam / classes)))


def _temperatures(logits: Tensor, least: float) -> Tensor:
    """Return the least temperatures, at least 1, at which logits have entropy `least`, `[B, C] -> [B, 1]`."""
    most = math.log(logits.shape[1])
    if least >= most:
        raise InputError(
            f"Soften: entropy = {least:g}, but {logits.shape[1]} classes have {most:.4g} nats at most",
            'give less, or mode = "uniform"',
        )
    # log C - H is at most the logits' range over the temperature, so this one is high enough.
    high = ((logits.amax(1) - logits.amin(1)) / (most - least)).clamp_min(1)
    low = torch.ones_like(high)
    high = torch.where(entropy_of(logits) >= least, low, high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = entropy_of(logits / middle[:, None]) >= least
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return high[:, None]
