"""What the bounds need to know of one operation of a network."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from robustill.certification.forms import Forms
from robustill.certification.interval import Interval

Shape = tuple[int, ...]


class Op:
    """One operation, with its inputs as indices of earlier operations.

    Attributes:
        inputs: Indices of the operations it reads.
        shape: Its output without the batch.
        linear: It is affine in its inputs.
        separate: Each output depends on one input, and no two on the same, so that boxes go to boxes exactly.
        name: What the user calls it.
    """

    linear = True
    separate = False

    def __init__(self, inputs: tuple[int, ...], shape: Shape, name: str = "") -> None:
        self.inputs, self.shape, self.name = inputs, shape, name

    @property
    def size(self) -> int:
        """Number of its outputs per example."""
        return math.prod(self.shape)

    @property
    def image(self) -> tuple[int, int]:
        """Height and width of its output, an image."""
        return self.shape[-2], self.shape[-1]

    def interval(self, *inputs: Interval) -> Interval:
        """Return a box of the outputs from boxes of the inputs."""
        raise NotImplementedError

    def relax(self, *inputs: Interval) -> Any:
        """Return what `back` needs to bound a nonlinear operation between linear ones on these boxes."""
        return None

    def back(self, forms: Forms, relaxed: Any) -> tuple[list[Forms], Tensor | None]:
        """Return forms over the inputs, and what is added to each, that bound `forms` over the output from below."""
        raise NotImplementedError


class Input(Op):
    """The images."""

    separate = True
