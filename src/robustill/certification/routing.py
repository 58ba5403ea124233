"""Operations that move, add or average values: residual sums, concatenation, reshaping, pooling by means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robustill.certification.forms import Forms, channels_last
from robustill.certification.interval import Interval
from robustill.certification.op import Op, Shape


class Sum(Op):
    """`x + sign * y` of two nodes of one shape."""

    def __init__(self, inputs: tuple[int, ...], shape: Shape, sign: float) -> None:
        super().__init__(inputs, shape)
        self.sign = sign

    def interval(self, *inputs: Interval) -> Interval:
        """Add the ends."""
        first, second = inputs
        if self.sign < 0:
            return Interval(first.lower - second.upper, first.upper - second.lower)
        return Interval(first.lower + second.lower, first.upper + second.upper)

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Hand the forms to both."""
        return [forms, forms if self.sign > 0 else forms.with_a(-forms.a)], None


class Concat(Op):
    """Nodes side by side along axis `axis` of the batch `[B, ...]`."""

    def __init__(self, inputs: tuple[int, ...], shape: Shape, axis: int, sizes: list[int]) -> None:
        super().__init__(inputs, shape)
        self.axis, self.sizes = axis, sizes

    def interval(self, *inputs: Interval) -> Interval:
        """Concatenate the ends."""
        lower, upper = (torch.cat(ends, self.axis) for ends in zip(*inputs, strict=True))
        return Interval(lower, upper)

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Give each its part."""
        if forms.window is not None and self.axis > 1:
            forms = forms.dense(*self.image)
        return [forms.with_a(part) for part in torch.split(forms.a, self.sizes, self.axis + 1)], None


class Reshape(Op):
    """The same values in another shape."""

    separate = True

    def __init__(self, inputs: tuple[int, ...], shape: Shape, source: Shape) -> None:
        super().__init__(inputs, shape)
        self.source = source

    def interval(self, *inputs: Interval) -> Interval:
        """Reshape both ends."""
        lower, upper = (end.reshape(-1, *self.shape) for end in inputs[0])
        return Interval(lower, upper)

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Reshape the coefficients."""
        if forms.window is not None:
            forms = forms.dense(*self.image)
        a = forms.a.reshape(*forms.a.shape[:2], *self.source)
        return [forms.with_a(channels_last(a) if len(self.source) == 3 else a)], None


class Weighted(Op):
    """A linear function whose weights are not negative, such as an average, a permutation or a slice."""

    def __init__(
        self, inputs: tuple[int, ...], shape: Shape, source: Shape, function: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__(inputs, shape)
        self.source, self.function = source, function

    def interval(self, *inputs: Interval) -> Interval:
        """Apply it to both ends, which it keeps in order."""
        return Interval(self.function(inputs[0].lower), self.function(inputs[0].upper))

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Apply its transpose, which is its derivative backwards."""
        if forms.window is not None:
            forms = forms.dense(*self.image)
        a = forms.a.flatten(0, 1)
        keep = torch.is_grad_enabled() and a.requires_grad
        with torch.enable_grad():
            start = a.new_zeros(len(a), *self.source).requires_grad_()
            (below,) = torch.autograd.grad(self.function(start), start, a, create_graph=keep)
        return [forms.with_a(below.reshape(*forms.a.shape[:2], *self.source))], None
