"""Filter normalisation with loops, and the adversarial loss of a linear classifier in closed form."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def normalised(drawn: Tensor, weight: Tensor) -> Tensor:
    """Return `drawn` with every filter as long as the weight's: number by number."""
    found = torch.zeros_like(weight)
    for k in range(weight.shape[0]):
        wanted = math.sqrt(sum(value * value for value in weight[k].flatten().tolist()))
        length = math.sqrt(sum(value * value for value in drawn[k].flatten().tolist()))
        numbers = [value / length * wanted for value in drawn[k].flatten().tolist()]
        found[k] = torch.tensor(numbers, dtype=weight.dtype).reshape(weight[k].shape)
    return found


def worst_cross_entropy(weight: Tensor, bias: Tensor, x: Tensor, label: int, eps: float) -> float:
    """Return the largest cross-entropy of two classes with logits `W x + b` in the Linf ball inside [0, 1]."""
    other = 1 - label
    margin = float(bias[other] - bias[label])
    for j, value in enumerate(x.flatten().tolist()):
        slope = float(weight[other, j] - weight[label, j])
        best = min(value + eps, 1.0) if slope > 0 else max(value - eps, 0.0)
        margin += slope * best
    return math.log1p(math.exp(margin))
