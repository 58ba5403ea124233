"""The tables of what the bounds know: modules by type, functions and tensor methods by themselves."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from robustill.certification.layers import (
    Call,
    UnsupportedError,
    clamp,
    concat,
    conv,
    conv_module,
    linear,
    max_pool,
    norm,
    pad,
    rectifier,
    reshape,
    smooth,
    weighted,
)
from robustill.certification.op import Op


def _module_norm(call: Call, m: Any) -> Op:
    return norm(call, m.running_mean, m.running_var, m.weight, m.bias, m.eps)


def _module_gelu(call: Call, m: Any) -> Op:
    return smooth(call, "gelu" if m.approximate == "none" else "gelu-tanh")


def _module_softplus(call: Call, m: Any) -> Op:
    if (m.beta, m.threshold) != (1.0, 20.0):
        raise UnsupportedError("beta other than 1, or another threshold")
    return smooth(call, "softplus")


def _module_max_pool(call: Call, m: Any) -> Op:
    if m.return_indices:
        raise UnsupportedError("return_indices")
    return max_pool(call, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode)


def _itself(call: Call, m: Any) -> Op:
    # Without its hooks, which `obstacle` has excluded, a module is its forward.
    return weighted(call, m.forward)


MODULES: dict[type[nn.Module], Callable[[Call, Any], Op]] = {
    nn.Linear: lambda call, m: linear(call, m.weight, m.bias),
    nn.Conv2d: conv_module,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d), _module_norm),
    nn.ReLU: lambda call, m: rectifier(call),
    nn.LeakyReLU: lambda call, m: rectifier(call, m.negative_slope),
    nn.ReLU6: lambda call, m: smooth(call, "relu6"),
    nn.Hardtanh: lambda call, m: clamp(call, m.min_val, m.max_val),
    nn.SiLU: lambda call, m: smooth(call, "silu"),
    nn.GELU: _module_gelu,
    nn.Sigmoid: lambda call, m: smooth(call, "sigmoid"),
    nn.Tanh: lambda call, m: smooth(call, "tanh"),
    nn.Softplus: _module_softplus,
    nn.MaxPool2d: _module_max_pool,
    nn.ZeroPad2d: lambda call, m: pad(call, m.padding),
    **dict.fromkeys((nn.Flatten, nn.Unflatten), lambda call, m: reshape(call)),
    **dict.fromkeys((nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.PixelShuffle, nn.UpsamplingNearest2d), _itself),
}


def _function_norm(call: Call) -> Op:
    if call.get(5, "training", False):
        raise UnsupportedError("training=True")
    mean, var = call.get(1, "running_mean"), call.get(2, "running_var")
    return norm(call, mean, var, call.get(3, "weight"), call.get(4, "bias"), call.get(7, "eps", 1e-5))


def _function_conv(call: Call) -> Op:
    names = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    rest = [call.get(place, name, default) for place, (name, default) in enumerate(names.items(), 3)]
    return conv(call, call.get(1, "weight"), call.get(2, "bias"), *rest)


def _function_max_pool(call: Call) -> Op:
    names = {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}
    rest = [call.get(place, name, default) for place, (name, default) in enumerate(names.items(), 2)]
    return max_pool(call, call.get(1, "kernel_size"), *rest)


def _function_gelu(call: Call) -> Op:
    return smooth(call, "gelu" if call.get(1, "approximate", "none") == "none" else "gelu-tanh")


def _function_pad(call: Call) -> Op:
    return pad(call, call.get(1, "pad"), call.get(2, "mode", "constant"), call.get(3, "value"))


def _smooth(name: str) -> Callable[[Call], Op]:
    return lambda call: smooth(call, name)


_LEAKY = ("leaky_relu", "leaky_relu_", F.leaky_relu)
_RELU = ("relu", "relu_", torch.relu, F.relu)
_SHAPES = ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous")
FUNCTIONS: dict[Any, Callable[[Call], Op]] = {
    F.linear: lambda call: linear(call, call.get(1, "weight"), call.get(2, "bias")),
    **dict.fromkeys((F.conv2d, torch.conv2d), _function_conv),
    F.batch_norm: _function_norm,
    **dict.fromkeys(_RELU, rectifier),
    **dict.fromkeys(_LEAKY, lambda call: rectifier(call, call.get(1, "negative_slope", 0.01))),
    F.relu6: _smooth("relu6"),
    F.silu: _smooth("silu"),
    F.gelu: _function_gelu,
    **dict.fromkeys(("sigmoid", torch.sigmoid, F.sigmoid), _smooth("sigmoid")),
    **dict.fromkeys(("tanh", torch.tanh, F.tanh), _smooth("tanh")),
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), _function_max_pool),
    F.pad: _function_pad,
    **dict.fromkeys(("clamp", "clip", torch.clamp), lambda call: clamp(call, call.get(1, "min"), call.get(2, "max"))),
    **dict.fromkeys((torch.cat, torch.concat), concat),
    **dict.fromkeys((*_SHAPES, *(getattr(torch, n) for n in _SHAPES if hasattr(torch, n))), reshape),
}
AVERAGES: set[Any] = {
    *("mean", "sum", "permute", "transpose", torch.mean, torch.sum, torch.permute, torch.transpose, operator.getitem),
    *(F.avg_pool2d, F.adaptive_avg_pool2d, F.pixel_shuffle),
}
"""Functions and methods without negative weights, applied as they are."""
