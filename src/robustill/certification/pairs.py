"""Differences of logits: which rows to ask for, and the boxes as a table of classes against classes."""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.certification.interval import Interval


class Pairs:
    """The differences `d_j = z_j - z_c` of all classes j for some classes c.

    Attributes:
        rows: What to ask a network for, `[1 or B, P, C]`.
        target: The classes c one-hot, `[1 or B, T, C]`.
    """

    def __init__(self, classes: Tensor | None, count: int, like: Tensor) -> None:
        eye = torch.eye(count, dtype=like.dtype, device=like.device)
        if classes is None:
            # Each pair once: the difference the other way round is its negative.
            first, second = torch.triu_indices(count, count, 1, device=like.device)
            self.rows, self.target = (eye[second] - eye[first]).unsqueeze(0), eye.unsqueeze(0)
            size = len(first)
            place = torch.full((count, count), 2 * size, device=like.device)
            place[first, second] = torch.arange(size, device=like.device)
            place[second, first] = torch.arange(size, device=like.device) + size
            self._place: Tensor | None = place
        else:
            self.target, self._place = eye[classes].unsqueeze(1), None
            self.rows = eye - self.target

    def table(self, box: Interval) -> Interval:
        """Return bounds `[B, T, C]` of every d_j from those of the rows, `[B, P]`."""
        lower, upper = box
        if self._place is None:
            return Interval(lower.unsqueeze(1), upper.unsqueeze(1))
        zero = lower.new_zeros(len(lower), 1)
        lowers, uppers = torch.cat([lower, -upper, zero], 1), torch.cat([upper, -lower, zero], 1)
        return Interval(lowers[:, self._place], uppers[:, self._place])
