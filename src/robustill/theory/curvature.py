"""A bound on what is left of a margin: it spares the attack its last steps on samples that these cannot turn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustill.theory.students import Students

_ROUNDING = 0.01
_POWER = 8


@dataclass(frozen=True)
class Curvature:
    """How far margins `y f` of one student with rectified filters bend below their tangents.

    The filters that argue for the label are convex in the input, so only those against it bend the margin down: a move
    `m` changes such a filter's response `z` by `t = <w, m>`, and `relu(z + t)^3` by at most `(3 relu(z) + |t|) t^2`
    more than its tangent says. Summed over the filters, `t^2` is at most `sum_i spread_i m_i^2`. Odd filters all bend
    both ways, by so much that hardly any sample would be spared.

    Attributes:
        spread: For the filters of each class `[2, d]`.
        longest: Largest L1 norm of one `[2]`.
    """

    spread: Tensor
    longest: Tensor

    @classmethod
    def of(cls, one: Students) -> Curvature:
        """Return that of one student, its weights `[d, H]`."""
        classes = one.weights.reshape(len(one.weights), 2, -1).transpose(0, 1)
        # Scaled to rows of one length first: all filters share the signal's direction, which is far longer than others.
        length = torch.linalg.vector_norm(classes, dim=2, keepdim=True)
        rows = classes / length.clamp_min(torch.finfo(length.dtype).tiny)
        # Of a symmetric matrix, the Frobenius norm of a power is at least that power of the spectral norm.
        power = torch.linalg.matrix_power(rows.transpose(1, 2) @ rows, _POWER)
        largest = torch.linalg.matrix_norm(power) ** (1 / _POWER)
        return cls(largest[:, None] * length[..., 0] ** 2, torch.linalg.vector_norm(classes, 1, dim=1).amax(1))

    def keeps(
        self, y: Tensor, margin: Tensor, squares: Tensor, slope: Tensor, moves: tuple[Tensor, Tensor], most: float
    ) -> Tensor:
        """Return which margins stay above 0 wherever a move goes, boolean `[n]`.

        Args:
            y: Labels -1 or 1, `[n]`.
            margin: Margins before the move `[n]`.
            squares: Squared responses of all filters `[n, P, H]`.
            slope: A third of the gradient of `f` `[n, P, d]`.
            moves: Lowest and highest move of each coordinate `[n, P, d]`, at most and at least 0; they are overwritten.
            most: A bound on the size of both.
        """
        # The filters of the first class come first; those against a label are the other's.
        against = (y > 0).long()
        response = squares.view(*squares.shape[:2], 2, -1).amax(3).sqrt_()[torch.arange(len(y)), :, against]
        bend = (response + most / 3 * self.longest[against, None])[..., None] * self.spread[against, None]
        towards, change = slope * y[:, None, None], torch.empty_like(slope)
        # Tangent less bend is concave in each coordinate, so it is lowest at an end.
        for end in moves:
            end.mul_(torch.addcmul(towards, bend, end, value=-1, out=change))
        return torch.minimum(*moves, out=change).flatten(1).sum(1).add_(margin, alpha=(1 - _ROUNDING) / 3) > 0
