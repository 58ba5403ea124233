"""Where the layers of a view come from, and their weights."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import nn

from robustill.models.flat import FlatLinear
from robustill.models.stem import Stem


class Merge(NamedTuple):
    """Where a rewritten layer comes from: names in the network that was traced (perhaps no norm), one in the graph."""

    layer: str
    norm: str | None
    merged: str


@torch.no_grad()
def merge_(merged: Any, layer: Any, norm: Any) -> None:
    """Write the weight and bias of `norm(layer(.))` in eval mode into `merged`, computed in float64; no norm: None."""
    weight, bias = layer.weight.double(), 0.0 if layer.bias is None else layer.bias.double()
    if norm is not None:
        scale = (norm.running_var.double() + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight.double()
        bias = (bias - norm.running_mean.double()) * scale
        bias = bias if norm.bias is None else bias + norm.bias.double()
        weight = weight * scale.reshape(-1, *[1] * (weight.dim() - 1))
    if isinstance(merged, Stem | FlatLinear):
        merged.load(weight, bias)
    else:
        merged.weight.copy_(weight)
        merged.bias.copy_(bias)


def with_bias(layer: Any) -> nn.Module:
    """Return a copy of a layer that has a bias, of zeros if it had none."""
    layer = copy.deepcopy(layer)
    if layer.bias is None:
        layer.bias = nn.Parameter(layer.weight.new_zeros(len(layer.weight)))
    return layer  # type: ignore[no-any-return]
