"""Samples under the test attack, side by side."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robustill.theory.curvature import Curvature
from robustill.theory.students import Students


class Points:
    """Points of one student's attack, and what `look` finds there.

    All views and buffers are made once: next to products of this size they are dear, most of all where several threads
    wait for the interpreter.

    Attributes:
        rows: Which samples they belong to `[n]`.
        lowest: The lowest margin `y f` of all looks `[n]`.
    """

    def __init__(self, one: Students, rows: Tensor, y: Tensor, box: tuple[Tensor, Tensor, Tensor]) -> None:
        """Start at points.

        Args:
            one: The student, its weights `[d, H]`.
            rows: Which samples `[n]`.
            y: Their labels -1 or 1, `[n]`.
            box: The points, the lowest and the highest to move to, each `[n, P, d]`; the points move in place.
        """
        self.rows, self._one, self._y, (self._x, self._low, self._high) = rows, one, y, box
        self._back, self._sign = (one.weights * one.signs).T.contiguous(), y[:, None, None]
        self._squares = y.new_empty(*self._x.shape[:2], len(one.signs))
        self._slope, self._margin = torch.empty_like(self._x), torch.empty_like(y)
        self.lowest = torch.full_like(y, math.inf)
        self._patches = [each.flatten(0, 1) for each in (self._x, self._squares, self._slope)]
        self._whole = [each.flatten(1) for each in (self._x, self._slope)]

    def look(self) -> None:
        """Find the margins and their slopes."""
        x, squares, slope = self._patches
        torch.mm(x, self._one.weights, out=squares)
        self._one.rectified(squares).mul_(squares)
        torch.mm(squares, self._back, out=slope)
        # `f` is homogeneous of degree three, so its value is a third of <x, gradient>: no second pass over the filters.
        torch.linalg.vecdot(*self._whole, out=self._margin)
        torch.minimum(self.lowest, self._margin.mul_(self._y), out=self.lowest)

    def move(self, size: float) -> None:
        """Move against the slopes that `look` found; this overwrites them."""
        self._x.addcmul_(self._slope.sign_(), self._sign, value=-size)
        torch.clamp(self._x, self._low, self._high, out=self._x)

    def out_of_reach(self, curvature: Curvature, most: float) -> Tensor:
        """Return which are right after the last look wherever they move by at most `most`, boolean `[n]`."""
        moves = (self._low - self._x).clamp_min_(-most), (self._high - self._x).clamp_max_(most)
        return curvature.keeps(self._y, self._margin, self._squares, self._slope, moves, most)

    def only(self, index: Tensor) -> Points:
        """Return those of `index`."""
        low, high = self._low[index], self._high[index]
        return Points(self._one, self.rows[index], self._y[index], (self._x[index], low, high))
