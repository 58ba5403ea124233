"""Linear forms over the values of a node of a network, dense or on small windows of its image."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Where the windows of the groups lie: rows `row * stride + offset` and on, columns alike; may leave the image.

    Attributes:
        row: Row of each group in the grid of outputs it started from, `[N]`.
        column: Column, `[N]`.
        grid: Rows and columns of that grid.
        stride: Pixels from one place of the grid to the next.
        offset: Pixel of the first row and column of the window of place (0, 0).
        clean: What lies outside the image is zero.
    """

    row: Tensor
    column: Tensor
    grid: Pair
    stride: Pair = (1, 1)
    offset: Pair = (0, 0)
    clean: bool = True

    def through(self, stride: Pair, padding: Pair) -> Window:
        """Return the windows that a convolution reads to compute these."""
        offset = (self.offset[0] * stride[0] - padding[0], self.offset[1] * stride[1] - padding[1])
        steps = (self.stride[0] * stride[0], self.stride[1] * stride[1])
        return replace(self, stride=steps, offset=offset, clean=False)

    def corners(self) -> tuple[Tensor, Tensor]:
        """Return the first row and column of each group's window, `[N]` each."""
        return self.row * self.stride[0] + self.offset[0], self.column * self.stride[1] + self.offset[1]


@dataclass(frozen=True)
class Forms:
    """D linear forms for each of N groups; the forms of a group see the same example and the same window.

    Attributes:
        a: Coefficients `[N, D, *shape]`, where a window replaces the last two sizes of the node; `[1, D, *shape]`
            where all groups share them.
        example: Example of each group, `[N]`; None where group n is example n.
        window: Where the coefficients lie; None where they cover the whole node.
        pick: Which of the shared forms each group has, `[N, D']`; None where it has all of them.
    """

    a: Tensor
    example: Tensor | None = None
    window: Window | None = None
    pick: Tensor | None = None

    def with_a(self, a: Tensor, *, clean: bool | None = None) -> Forms:
        """Return other coefficients in the same place."""
        window = self.window
        if window is not None and clean is not None:
            window = replace(window, clean=clean)
        return Forms(a, self.example, window, self.pick)

    def placed(self, shared: Forms) -> Forms:
        """Return shared forms at the groups and places of these."""
        window = shared.window
        if window is not None and self.window is not None:
            window = replace(window, row=self.window.row, column=self.window.column)
        return Forms(shared.a, self.example, window, self.pick)

    def own(self) -> Forms:
        """Return the forms with coefficients of each group's own."""
        return self if self.pick is None else Forms(self.a[0][self.pick], self.example, self.window)

    def spread(self, values: Tensor) -> Tensor:
        """Return the values `[B, C, H, W]` of a node where each group sees them, `[N, C, h, w]`; zero outside."""
        window, example = self.window, self.example
        if window is None:
            return values if example is None else values[example]
        tall, wide = self.a.shape[-2:]
        pads = _overhang(window, (tall, wide), (values.shape[-2], values.shape[-1]))
        top, left = window.corners()
        padded = F.pad(values, pads)
        pieces = padded.unfold(2, tall, 1).unfold(3, wide, 1)
        # Where there are windows there are examples; values of the network itself are the same for all.
        example = torch.zeros_like(top) if example is None or len(values) == 1 else example
        return pieces[example, :, top + pads[2], left + pads[0]]

    def cleaned(self, height: int, width: int) -> Forms:
        """Return the forms without what their windows hold outside the image."""
        if self.window is None or self.window.clean:
            return self
        forms = self.own()
        inside = self.spread(self.a.new_ones(1, 1, height, width))
        return forms.with_a(forms.a * inside.unsqueeze(1), clean=True)

    def dense(self, height: int, width: int) -> Forms:
        """Return the forms on the whole image."""
        if self.window is None:
            return self
        a = self.own().a
        tall, wide = a.shape[-2:]
        top, left = (corner.unsqueeze(1) for corner in self.window.corners())
        rows = torch.arange(height, device=self.a.device) - top
        columns = torch.arange(width, device=self.a.device) - left
        inside = ((rows >= 0) & (rows < tall)).unsqueeze(2) & ((columns >= 0) & (columns < wide)).unsqueeze(1)
        group = torch.arange(len(a), device=a.device).reshape(-1, 1, 1)
        rows, columns = rows.clamp(0, tall - 1).unsqueeze(2), columns.clamp(0, wide - 1).unsqueeze(1)
        taken = a[group, :, :, rows, columns] * inside[..., None, None]
        return Forms(taken.permute(0, 3, 4, 1, 2).contiguous(), self.example)

    def merged(self, other: Forms, height: int, width: int) -> Forms:
        """Return the sum of two sets of forms on the same node."""
        mine, others = self.window, other.window
        if (self.pick is None) != (other.pick is None):
            return self.own().merged(other.own(), height, width)
        if mine is None or others is None or mine.stride != others.stride:
            first, second = self, other
            if mine is not None or others is not None:
                first, second = self.own().dense(height, width), other.own().dense(height, width)
            return first.with_a(first.a + second.a)
        offset = (min(mine.offset[0], others.offset[0]), min(mine.offset[1], others.offset[1]))
        ends = [
            max(w.offset[axis] + f.a.shape[axis - 2] for w, f in ((mine, self), (others, other))) for axis in (0, 1)
        ]
        padded = []
        for w, f in ((mine, self), (others, other)):
            top, left = w.offset[0] - offset[0], w.offset[1] - offset[1]
            right, bottom = (ends[1] - w.offset[1] - f.a.shape[-1]), (ends[0] - w.offset[0] - f.a.shape[-2])
            padded.append(F.pad(f.a, (left, right, top, bottom)))
        window = replace(mine, offset=offset, clean=mine.clean and others.clean)
        return Forms(padded[0] + padded[1], self.example, window, self.pick)


def _overhang(window: Window, size: Pair, image: Pair) -> tuple[int, int, int, int]:
    """Return by how much windows may leave the image: left, right, top, bottom."""
    before = [max(0, -window.offset[axis]) for axis in (0, 1)]
    last = [(window.grid[axis] - 1) * window.stride[axis] + window.offset[axis] + size[axis] for axis in (0, 1)]
    after = [max(0, last[axis] - image[axis]) for axis in (0, 1)]
    # A window of a place at the end may begin behind the image.
    return before[1], after[1], before[0], after[0]


def channels_last(images: Tensor) -> Tensor:
    """Return images `[..., C, H, W]` with the channels innermost in memory, which convolutions prefer."""
    if images.dim() < 4:
        return images
    return images.movedim(-3, -1).contiguous().movedim(-1, -3)
