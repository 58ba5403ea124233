"""Convolution, linear layer, scale and shift, zero padding: bounds forwards, linear forms backwards."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from robustill.certification.forms import Forms, Pair
from robustill.certification.interval import Interval, around
from robustill.certification.op import Op, Shape


class Linear(Op):
    """`y = x W^T + b` over the last axis."""

    def __init__(self, inputs: tuple[int, ...], shape: Shape, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__(inputs, shape)
        self.weight, self.bias = weight, bias

    def interval(self, *inputs: Interval) -> Interval:
        """Map centre and radius."""
        centre, radius = inputs[0].centred()
        return around(F.linear(centre, self.weight, self.bias), F.linear(radius, self.weight.abs()))

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Multiply by the weight."""
        constant = None if self.bias is None else (forms.a @ self.bias).unsqueeze(2).flatten(2).sum(2)
        return [forms.with_a(forms.a @ self.weight)], constant

    def scaled(self, scale: Tensor, shift: Tensor) -> Linear | None:
        """Return this layer followed by a scale and shift `[1, *]` as one layer, if it is one."""
        if len(self.shape) != 1:
            return None
        bias = shift.expand(1, *self.shape)[0]
        bias = bias if self.bias is None else self.bias * scale.flatten() + bias
        return Linear(self.inputs, self.shape, self.weight * scale.reshape(-1, 1), bias)


class Conv(Op):
    """A two-dimensional convolution with zero padding."""

    def __init__(
        self,
        inputs: tuple[int, ...],
        shape: Shape,
        weight: Tensor,
        bias: Tensor | None,
        *,
        source: Shape,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> None:
        super().__init__(inputs, shape)
        self.weight, self.bias, self.source = weight, bias, source
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups

    def interval(self, *inputs: Interval) -> Interval:
        """Map centre and radius."""
        centre, radius = inputs[0].centred()
        rest = (self.stride, self.padding, self.dilation, self.groups)
        return around(F.conv2d(centre, self.weight, self.bias, *rest), F.conv2d(radius, self.weight.abs(), None, *rest))

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Apply the transposed convolution to images or windows."""
        forms = forms.cleaned(*self.image)
        sizes = self.source[-2:] if forms.window is None else self.window((forms.a.shape[-2], forms.a.shape[-1]))
        whole = sizes[0] * sizes[1] >= self.source[-2] * self.source[-1]
        forms = forms.own() if whole and forms.window is not None else forms
        a, constant = forms.a, None
        if self.bias is not None:
            constant = a.sum((-2, -1)) @ self.bias
        window = None if forms.window is None else forms.window.through(self.stride, self.padding)
        padding = self.padding if forms.window is None else (0, 0)
        images = self._transposed(a.flatten(0, 1), sizes, padding)
        below = Forms(images.reshape(*a.shape[:2], *images.shape[1:]), forms.example, window, forms.pick)
        return [below.dense(self.source[-2], self.source[-1]) if whole else below], constant

    def window(self, span: Pair) -> Pair:
        """Return the size of the window of inputs that a window of outputs reads."""
        spans = [
            (span[axis] - 1) * self.stride[axis] + self.dilation[axis] * (self.weight.shape[axis + 2] - 1) + 1
            for axis in (0, 1)
        ]
        return spans[0], spans[1]

    def _transposed(self, a: Tensor, sizes: Shape, padding: Pair) -> Tensor:
        kernel = (self.weight.shape[2], self.weight.shape[3])
        if self.groups == 1 and self.weight.shape[1] <= 4:
            # With few channels a product and a sum of columns beat the transposed convolution.
            columns = torch.matmul(a.movedim(1, -1).flatten(1, 2), self.weight.flatten(1)).transpose(1, 2)
            return F.fold(columns, sizes, kernel, self.dilation, padding, self.stride)
        extra = []
        for axis in (0, 1):
            reached = (a.shape[axis - 2] - 1) * self.stride[axis] - 2 * padding[axis]
            extra.append(sizes[axis] - reached - self.dilation[axis] * (kernel[axis] - 1) - 1)
        a = a.contiguous(memory_format=torch.channels_last)
        return F.conv_transpose2d(a, self.weight, None, self.stride, padding, extra, self.groups, self.dilation)

    def scaled(self, scale: Tensor, shift: Tensor) -> Conv | None:
        """Return this convolution followed by a scale and shift `[1, C, 1, 1]` as one, if it is one."""
        if any(t.shape[2:].numel() != 1 for t in (scale, shift)):
            return None
        channels = self.shape[0]
        factor, bias = scale.expand(1, channels, 1, 1).flatten(), shift.expand(1, channels, 1, 1).flatten()
        return Conv(
            self.inputs,
            self.shape,
            self.weight * factor.reshape(-1, 1, 1, 1),
            bias if self.bias is None else self.bias * factor + bias,
            source=self.source,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class Affine(Op):
    """`y = scale * x + shift`, number by number; both have one example and the axes of the node, `[1, ...]`."""

    separate = True

    def __init__(self, inputs: tuple[int, ...], shape: Shape, scale: Tensor, shift: Tensor) -> None:
        super().__init__(inputs, shape)
        self.scale, self.shift = scale, shift

    def interval(self, *inputs: Interval) -> Interval:
        """Map centre and radius."""
        centre, radius = inputs[0].centred()
        return around(centre * self.scale + self.shift, radius * self.scale.abs())

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Scale the coefficients."""
        scale, shift = self.scale, self.shift
        if forms.window is not None:
            forms = forms.cleaned(*self.image)
            if scale.shape[2:].numel() != 1 or shift.shape[2:].numel() != 1:
                forms = forms.dense(*self.image)
        constant = (forms.a * shift.unsqueeze(1)).flatten(2).sum(2)
        return [forms.with_a(forms.a * scale.unsqueeze(1))], constant

    def scaled(self, scale: Tensor, shift: Tensor) -> Affine:
        """Return this followed by another scale and shift."""
        return Affine(self.inputs, self.shape, self.scale * scale, self.shift * scale + shift)


class Pad(Op):
    """Zeros around an image: left, right, top, bottom."""

    separate = True

    def __init__(self, inputs: tuple[int, ...], shape: Shape, pads: tuple[int, int, int, int]) -> None:
        super().__init__(inputs, shape)
        self.pads = pads

    def interval(self, *inputs: Interval) -> Interval:
        """Pad both ends."""
        return Interval(F.pad(inputs[0].lower, self.pads), F.pad(inputs[0].upper, self.pads))

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Forget the margin."""
        left, right, top, bottom = self.pads
        if forms.window is not None:
            moved = forms.window.through((1, 1), (top, left))
            return [Forms(forms.a, forms.example, moved, forms.pick)], None
        height, width = forms.a.shape[-2:]
        return [forms.with_a(forms.a[..., top : height - bottom, left : width - right])], None
