"""The layers of a network in a shorter floating-point type, and what of it has to stay in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustill.models.flat import FlatLinear
from robustill.models.rectified import ConvReLU
from robustill.models.stem import Stem

WEIGHT_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the type of inputs and logits around layers in `dtype`: float32, or longer."""
    return torch.promote_types(dtype, torch.float32)


def cast_layers(network: nn.Module, dtype: torch.dtype, head: str | None) -> None:
    """Bring the layers of `network` to `dtype`, for use under autocast; all else is `wide`, and so is layer `head`."""
    network.to(wide(dtype))
    if dtype == wide(dtype):
        return
    for name, module in network.named_modules():
        if name == head:
            module.__class__ = _ExactLinear
        elif type(module) in (*WEIGHT_LAYERS, ConvReLU, Stem, FlatLinear):
            module.to(dtype)


class _ExactLinear(nn.Linear):
    """A linear layer in the type of its weight, whatever autocast says: a bfloat16 logit has less than 3 digits."""

    def forward(self, input: Tensor) -> Tensor:
        with torch.autocast(input.device.type, enabled=False):
            return F.linear(input.to(self.weight.dtype), self.weight, self.bias)
