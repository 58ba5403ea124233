"""A convolution and the ReLU behind it in one pass over memory, for attack views."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

Numbers = tuple[int, ...]


class ConvReLU(nn.Conv2d):
    """`relu(conv(x))` with the weights of a convolution that has a bias, zero padding and no other user."""

    def forward(self, input: Tensor) -> Tensor:
        """Map `[B, C, H, W]` to the rectified output of the convolution."""
        assert self.bias is not None
        assert not isinstance(self.padding, str)
        return conv_relu(
            input.to(self.weight.dtype), self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )


def conv_relu(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    stride: Numbers = (1, 1),
    padding: Numbers = (0, 0),
    dilation: Numbers = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Return `relu(conv2d(x))`, differentiable with respect to `x` only.

    On a CPU the library behind `conv2d` rectifies what it has just computed; a pass of its own over feature maps that
    do not fit the cache took half as long as the convolutions of `cnn_small`.
    """
    fused = _fused(x.device.type, x.dtype) if len(x) else None
    if fused is None:
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups).relu_()
    options = padding, stride, dilation, groups
    if not (x.requires_grad and torch.is_grad_enabled()):
        return fused(x, weight, bias, *options, "relu", [], "")  # type: ignore[no-any-return]
    return _ConvReLU.apply(fused, x, weight, bias, *options)  # type: ignore[no-any-return, no-untyped-call]


@cache
def _fused(device: str, dtype: torch.dtype) -> Any:
    """Return the operator that computes both, or None where there is none."""
    if device != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    short = dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.ops.mkldnn._convolution_pointwise.default if short or dtype == torch.float32 else None


class _ConvReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        fused: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        padding: Numbers,
        stride: Numbers,
        dilation: Numbers,
        groups: int,
    ) -> Any:
        output = fused(x, weight, bias, padding, stride, dilation, groups, "relu", [], "")
        ctx.options = stride, padding, dilation, groups
        ctx.save_for_backward(x, weight, output)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, output = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.options
        before = torch.ops.aten.threshold_backward.default(grad, output, 0)
        found = torch.ops.aten.convolution_backward.default(
            before, x, weight, None, stride, padding, dilation, False, [0, 0], groups, [True, False, False]
        )
        return None, found[0], *[None] * 6


def relu_after(node: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """Return the ReLU that is the only user of what `node` computes, if there is one."""
    user = next(iter(node.users)) if len(node.users) == 1 else None
    if user is None:
        return None
    if user.op == "call_module":
        return user if type(modules[str(user.target)]) is nn.ReLU else None
    named = user.target in (F.relu, torch.relu, torch.relu_) or (user.op == "call_method" and user.target in _METHODS)
    return user if named and user.args == (node,) and not set(user.kwargs) - {"inplace"} else None


_METHODS = ("relu", "relu_")


def can_rectify(layer: nn.Module) -> bool:
    """Return whether `ConvReLU` computes this convolution."""
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
