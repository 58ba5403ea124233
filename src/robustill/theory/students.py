"""Two-layer cubic students, many at a time; their gradients are written out.

Two logits under softmax are one margin under a sigmoid, so both regimes are `f = sum_r s_r sum_j phi(<w_r, x_j>)`:
`phi = relu^3` with `s = 1` for the filters of the first logit and -1 for the second's, or `phi = z^3` with `s = 1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustill.theory.samples import Purpose, stream
from robustill.theory.settings import Settings


@dataclass(frozen=True)
class Students:
    """R students of one shape.

    Attributes:
        weights: Filters as columns `[R, d, H]`; the last row, along `v`, is zero.
        signs: What each filter argues for, `[H]`: 1, or 1 for the first half and -1 for the second.
        odd: Whether `phi` is the odd cubic.
    """

    weights: Tensor
    signs: Tensor
    odd: bool

    def rectified(self, z: Tensor) -> Tensor:
        """Return `z` or, without odd filters, `relu(z)`, in place."""
        return z if self.odd else z.clamp_min_(0)


def draw_students(settings: Settings, seeds: Sequence[int]) -> Students:
    """Draw the initial students of the seeds."""
    filters = settings.filters * (1 if settings.theory else 2)
    weights = torch.stack(
        [
            torch.from_numpy(stream(seed, Purpose.INIT).standard_normal((settings.dimension, filters))).float()
            for seed in seeds
        ]
    )
    weights *= settings.init
    weights[:, -1] = 0
    signs = torch.ones(filters)
    if not settings.theory:
        signs[settings.filters :] = -1
    return Students(weights, signs, settings.theory)


def train_step(students: Students, x: Tensor, target: Tensor, lr: float) -> None:
    """Move every student along the gradient of its mean cross-entropy to `target`, in place.

    Args:
        students: R students.
        x: A batch for each, attacked, `[R, n, P, d]`, zero along `v`.
        target: The teachers' probability of the label 1, `[R, n]`.
        lr: Learning rate.
    """
    runs, n, patches, _ = x.shape
    flat = x.flatten(1, 2)
    h = students.rectified(torch.bmm(flat, students.weights))
    square = h * h
    f = ((square * h) @ students.signs).view(runs, n, patches).sum(2)
    residual = torch.sigmoid(f).sub_(target).mul_(3 * lr / n)
    slope = square.view(runs, n, patches, -1).mul_(residual[..., None, None]).mul_(students.signs)
    students.weights.baddbmm_(flat.transpose(1, 2), slope.flatten(1, 2), alpha=-1)


def cubed(students: Students, z: Tensor) -> Tensor:
    """Return the margin `f` `[..., n]` of responses `[..., n, P, H]`, which are overwritten."""
    return (students.rectified(z).pow_(3) @ students.signs).sum(-1)
