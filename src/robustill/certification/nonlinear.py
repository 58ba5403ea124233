"""Activations and max pooling: boxes forwards, and backwards through lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from robustill.certification.forms import Forms, channels_last
from robustill.certification.interval import Interval
from robustill.certification.lines import Curve, Lines, relu_lines
from robustill.certification.op import Op, Shape


class Activation(Op):
    """A function of each number by itself."""

    linear = False
    separate = True

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Take the lower line where a coefficient is positive and the upper one where it is negative."""
        forms = forms.own()
        # With m the mean of two slopes and d half their difference that is a m + |a| d.
        mean, half, mean_shift, half_shift = (forms.spread(each).unsqueeze(1) for each in relaxed)
        a, size = forms.a, forms.a.abs()
        constant = _total(a, mean_shift) + _total(size, half_shift)
        return [forms.with_a(torch.addcmul(a * mean, size, half), clean=True)], constant

    def relax(self, *inputs: Interval) -> tuple[Tensor, ...]:
        """Return the mean of the two slopes and half their difference, and the same of the shifts."""
        lines = self.lines(inputs[0])
        parts = [(lines.lower_slope + lines.upper_slope) / 2, (lines.lower_slope - lines.upper_slope) / 2]
        parts += [(lines.lower_shift + lines.upper_shift) / 2, (lines.lower_shift - lines.upper_shift) / 2]
        return tuple(channels_last(part) for part in parts)

    def lines(self, box: Interval) -> Lines:
        """Return lines below and above the function on a box."""
        raise NotImplementedError

    def uncertain(self, box: Interval) -> Tensor:
        """Return where tighter bounds of the input would help."""
        return box.upper > box.lower


class Rectifier(Activation):
    """ReLU, or with `negative` above 0 its leaky form."""

    def __init__(self, inputs: tuple[int, ...], shape: Shape, negative: float = 0.0) -> None:
        super().__init__(inputs, shape)
        self.negative = negative

    def interval(self, *inputs: Interval) -> Interval:
        """Apply it to both ends."""
        lower, upper = (F.leaky_relu(end, self.negative) if self.negative else end.relu() for end in inputs[0])
        return Interval(lower, upper)

    def lines(self, box: Interval) -> Lines:
        """Return the chord above, one branch below."""
        return relu_lines(box, self.negative)

    def uncertain(self, box: Interval) -> Tensor:
        """Return where the sign is open."""
        return (box.lower < 0) & (box.upper > 0)


class Smooth(Activation):
    """Any other activation."""

    def __init__(self, inputs: tuple[int, ...], shape: Shape, curve: Curve) -> None:
        super().__init__(inputs, shape)
        self.curve = curve

    def interval(self, *inputs: Interval) -> Interval:
        """Return its range."""
        return self.curve.interval(inputs[0])

    def lines(self, box: Interval) -> Lines:
        """Return touching lines."""
        return self.curve.lines(box)


class _Chosen(NamedTuple):
    place: Tensor
    certain: Tensor
    most: Tensor


class MaxPool(Op):
    """The largest value of each window of an image."""

    linear = False

    def __init__(
        self, inputs: tuple[int, ...], shape: Shape, source: Shape, pool: Callable[..., Any], unfold: dict[str, Any]
    ) -> None:
        super().__init__(inputs, shape)
        self.source, self.pool, self.unfold = source, pool, unfold

    def interval(self, *inputs: Interval) -> Interval:
        """Pool both ends."""
        return Interval(self.pool(inputs[0].lower)[0], self.pool(inputs[0].upper)[0])

    def relax(self, *inputs: Interval) -> _Chosen:
        """Return of each window one pixel, which is below the maximum; whether it is the maximum for certain."""
        lower, upper = inputs[0]
        least, index = self.pool(lower)
        columns = F.unfold(F.pad(upper, self.unfold["pads"], value=-torch.inf), **self.unfold["sizes"])
        top = columns.reshape(len(columns), self.source[0], -1, columns.shape[-1]).topk(2, dim=2).values
        most, second = (top[:, :, rank].reshape_as(least) for rank in (0, 1))
        # The pixel with the largest lower bound is the largest if only its own upper bound is above that.
        own = upper.flatten(2).gather(2, index.flatten(2)).reshape_as(least)
        return _Chosen(index, (least >= second) & (own >= most), most)

    def uncertain(self, box: Interval) -> Tensor:
        """Return where tighter bounds of the input would help."""
        return box.upper > box.lower

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Give positive coefficients to the chosen pixel; negative ones meet the largest upper bound."""
        forms = forms.dense(*self.image).own()
        place, certain, most = (forms.spread(each).unsqueeze(1) for each in relaxed)
        up = torch.where(certain, forms.a, forms.a.clamp(min=0))
        constant = _total(forms.a - up, most)
        places = place.flatten(3).expand(-1, up.shape[1], -1, -1)
        below = up.new_zeros(*up.shape[:2], self.source[0], self.source[1] * self.source[2])
        below = below.scatter_add(3, places, up.flatten(3))
        return [forms.with_a(below.reshape(*up.shape[:2], *self.source))], constant


def _total(a: Tensor, shift: Tensor) -> Tensor:
    """Return `[N, D, ...]` times `[N, 1, ...]`, summed over what a group sees."""
    if a.dim() == 5:
        # In the order in which they lie in memory.
        a, shift = a.movedim(2, -1), shift.movedim(2, -1)
    return torch.matmul(a.flatten(2), shift.flatten(2).transpose(1, 2)).squeeze(2)
