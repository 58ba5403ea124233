"""Which modules and functions the bounds know, and the operation of each."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustill.certification.linear_ops import Affine, Conv, Linear, Pad
from robustill.certification.lines import CURVES, clipped
from robustill.certification.nonlinear import MaxPool, Rectifier, Smooth
from robustill.certification.op import Op, Shape
from robustill.certification.routing import Concat, Reshape, Sum, Weighted

SUPPORTED = (
    "linear layers, 2-d convolutions, batch norm, ReLU, leaky ReLU, ReLU6, SiLU, GELU, sigmoid, tanh, softplus, "
    "average and max pooling, zero padding, reshaping, slices, means, sums, concatenation, constant scale and shift, "
    "and a softmax or log-softmax at the end"
)


class UnsupportedError(Exception):
    """An operation or one of its options is not covered; the message says which."""


def pair(value: Any) -> tuple[int, int]:
    """Return a size as (height, width)."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[-1]))


class Call:
    """One call in a network: its arguments, with nodes as `Var`, and the shapes around it."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], shape: Shape) -> None:
        self.args, self.kwargs, self.shape = args, kwargs, shape

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument by place or name."""
        return self.args[position] if len(self.args) > position else self.kwargs.get(name, default)

    @property
    def source(self) -> Var:
        """The node it acts on."""
        node = self.get(0, "input")
        if not isinstance(node, Var):
            raise UnsupportedError("its first argument does not depend on the images")
        return node


class Var:
    """A node that depends on the images: its index and shape without the batch."""

    def __init__(self, index: int, shape: Shape) -> None:
        self.index, self.shape = index, shape


def linear(call: Call, weight: Tensor, bias: Tensor | None) -> Op:
    """Return a linear layer."""
    return Linear((call.source.index,), call.shape, weight, bias)


def conv(
    call: Call,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Op:
    """Return a convolution of images."""
    steps, spacing = pair(stride), pair(dilation)
    if padding == "same":
        reach = [spacing[axis] * (weight.shape[axis + 2] - 1) for axis in (0, 1)]
        if any(each % 2 for each in reach):
            raise UnsupportedError("padding='same' of an even kernel")
        padding = [each // 2 for each in reach]
    padding = 0 if padding == "valid" else padding
    if len(call.shape) != 3:
        raise UnsupportedError("its images have no batch")
    return Conv(
        (call.source.index,),
        call.shape,
        weight,
        bias,
        source=call.source.shape,
        stride=steps,
        padding=pair(padding),
        dilation=spacing,
        groups=groups,
    )


def conv_module(call: Call, module: Any) -> Op:
    """Return the convolution of an `nn.Conv2d`."""
    if module.padding_mode != "zeros":
        raise UnsupportedError(f"padding_mode={module.padding_mode!r}")
    return conv(call, module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups)


def norm(call: Call, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Op:
    """Return a batch norm that uses stored statistics."""
    if mean is None or var is None:
        raise UnsupportedError(
            "it normalises by the statistics of the batch, so that images change each other's logits"
        )
    scale = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    shift = -mean * scale if bias is None else bias - mean * scale
    axes = (1, -1) + (1,) * (len(call.shape) - 1)
    return Affine((call.source.index,), call.shape, scale.reshape(axes), shift.reshape(axes))


def reshape(call: Call) -> Op:
    """Return the same values in another shape."""
    if math.prod(call.shape) != math.prod(call.source.shape):
        raise UnsupportedError("it moves values between examples")
    return Reshape((call.source.index,), call.shape, call.source.shape)


def weighted(call: Call, function: Callable[[Tensor], Tensor]) -> Op:
    """Return a linear function without negative weights."""
    return Weighted((call.source.index,), call.shape, call.source.shape, function)


def rectifier(call: Call, negative: float = 0.0) -> Op:
    """Return a (leaky) ReLU."""
    if not 0 <= negative <= 1:
        raise UnsupportedError(f"slope {negative:g} below zero, not in [0, 1]")
    return Rectifier((call.source.index,), call.shape, negative)


def smooth(call: Call, name: str) -> Op:
    """Return another activation by its name in `CURVES`."""
    return Smooth((call.source.index,), call.shape, CURVES[name])


def clamp(call: Call, low: Any, high: Any) -> Op:
    """Return the values held between two numbers."""
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or low >= high:
        raise UnsupportedError("its ends are not two increasing numbers")
    return Smooth((call.source.index,), call.shape, clipped(float(low), float(high)))


def max_pool(call: Call, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Op:
    """Return the maximum over windows."""
    if ceil_mode or len(call.shape) != 3:
        raise UnsupportedError("ceil_mode, or images without a batch")
    sizes, pads = pair(kernel), pair(padding)
    steps, spacing = pair(stride or kernel), pair(dilation)
    if sizes == (1, 1):
        raise UnsupportedError("a window of one pixel")

    def pool(x: Tensor) -> Any:
        return F.max_pool2d(x, sizes, steps, pads, spacing, return_indices=True)

    unfold = {
        "pads": (pads[1], pads[1], pads[0], pads[0]),
        "sizes": {"kernel_size": sizes, "stride": steps, "dilation": spacing},
    }
    return MaxPool((call.source.index,), call.shape, call.source.shape, pool, unfold)


def pad(call: Call, pads: Any, mode: str = "constant", value: Any = None) -> Op:
    """Return an image with zeros around it."""
    pads = [int(each) for each in pads]
    pads += [0] * (4 - len(pads))
    if mode != "constant" or value not in (None, 0, 0.0) or len(pads) != 4 or min(pads) < 0 or len(call.shape) != 3:
        raise UnsupportedError("padding other than by zeros around an image")
    left, right, top, bottom = pads
    return Pad((call.source.index,), call.shape, (left, right, top, bottom))


def concat(call: Call) -> Op:
    """Return nodes side by side."""
    parts, axis = call.get(0, "tensors"), call.get(1, "dim", 0)
    axis = axis % (len(call.shape) + 1)
    if axis == 0 or not all(isinstance(part, Var) for part in parts):
        raise UnsupportedError("concatenation along the batch, or with a constant")
    sizes = [part.shape[axis - 1] for part in parts]
    return Concat(tuple(part.index for part in parts), call.shape, axis, sizes)


def arithmetic(call: Call, kind: str, like: Tensor) -> Op:
    """Return a sum, difference, product or quotient, at most one of whose sides is a node unless it is a sum."""
    first, second = call.get(0, "input"), call.get(1, "other")
    if call.kwargs.get("alpha", 1) != 1 or call.kwargs.get("rounding_mode"):
        raise UnsupportedError("alpha or rounding_mode")
    if isinstance(first, Var) and isinstance(second, Var):
        if kind not in ("add", "sub") or not first.shape == second.shape == call.shape:
            raise UnsupportedError(f"{kind} of two values that both depend on the images")
        return Sum((first.index, second.index), call.shape, 1.0 if kind == "add" else -1.0)
    node, other, left = (first, second, True) if isinstance(first, Var) else (second, first, False)
    if kind == "div" and not left:
        raise UnsupportedError("division by values that depend on the images")
    constant = torch.as_tensor(other, dtype=like.dtype, device=like.device)
    axes = len(call.shape) + 1
    if node.shape != call.shape or constant.dim() > axes or (constant.dim() == axes and constant.shape[0] != 1):
        raise UnsupportedError("a constant for each example, or one that enlarges the values")
    constant = constant.reshape((1,) * (axes - constant.dim()) + tuple(constant.shape))
    one, zero = like.new_ones((1,) * axes), like.new_zeros((1,) * axes)
    sign = -one if kind == "sub" and not left else one
    scale = {"mul": constant, "div": one / constant if kind == "div" else one}.get(kind, sign)
    shift = {"add": constant, "sub": -constant if left else constant}.get(kind, zero)
    return Affine((node.index,), call.shape, scale, shift)


ARITHMETIC: dict[Any, str] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "add"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub", "sub_"), "sub"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul", "mul_"), "mul"),
    **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, "div", "div_"), "div"),
}
SAME = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
"""Modules that change nothing in eval mode."""
