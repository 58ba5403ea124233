"""A linear layer on flattened feature maps, for maps whose channels are innermost in memory."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn


class FlatLinear(nn.Module):
    """Reads the features of each place together, as they lie in memory, instead of each channel's map.

    Flattening maps in the channels-last order by channel copies them, and hands a gradient in the other order to the
    layer before: the gradient of a ReLU then took ten times as long as from one in its own order.

    Args:
        layer: The linear layer; `load` gives this one its weights.
        shape: `(C, H, W)` of the maps.
    """

    def __init__(self, layer: nn.Linear, shape: torch.Size) -> None:
        super().__init__()
        self.shape = shape
        self.weight = nn.Parameter(torch.zeros_like(layer.weight))
        self.bias = nn.Parameter(layer.weight.new_zeros(layer.out_features))

    @torch.no_grad()
    def load(self, weight: Tensor, bias: Tensor | float) -> None:
        """Take over the weight `[O, C H W]` and bias of the linear layer."""
        self.weight.copy_(weight.reshape(-1, *self.shape).permute(0, 2, 3, 1).flatten(1))
        self.bias.copy_(torch.as_tensor(bias, dtype=weight.dtype, device=weight.device).expand(len(weight)))

    def forward(self, x: Tensor) -> Tensor:
        """Map feature maps `[B, C, H, W]` to what the linear layer gives for them flattened."""
        return F.linear(x.permute(0, 2, 3, 1).flatten(1), self.weight, self.bias)


def flattened(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """Return the node of the maps `[B, C, H, W]` that linear layer `node` alone reads flattened, or None."""
    flat = node.args[0] if node.args else None
    if type(modules[str(node.target)]) is not nn.Linear or not isinstance(flat, fx.Node) or len(flat.users) > 1:
        return None
    maps = flat.args[0] if _flattens(flat, modules) else None
    if not isinstance(maps, fx.Node) or "tensor_meta" not in maps.meta:
        return None
    shape = maps.meta["tensor_meta"].shape
    # One place needs no order.
    return maps if len(shape) == 4 and shape[2] * shape[3] > 1 else None


def _flattens(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Return whether `node` makes rows of images, in one of the usual ways to say so."""
    if node.op == "call_module":
        layer: Any = modules[str(node.target)]
        return type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1)
    named = node.target is torch.flatten or (node.op == "call_method" and node.target == "flatten")
    return named and node.args[1:] == (1,) and not node.kwargs
