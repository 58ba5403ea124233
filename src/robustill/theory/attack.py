"""The test attack: PGD over all coordinates."""

from __future__ import annotations

from torch import Tensor

from robustill.theory.curvature import Curvature
from robustill.theory.points import Points
from robustill.theory.students import Students, cubed

_WORTH_COPYING = 0.93


def correct(one: Students, x: Tensor, y: Tensor) -> Tensor:
    """Return which samples `x` `[n, P, d]` of labels `y`, -1 or 1, one student gets right, boolean `[n]`."""
    return cubed(one, x @ one.weights) * y > 0


def stands(
    one: Students, x: Tensor, y: Tensor, start: Tensor, eps: float, steps: int, clean: Tensor | None = None
) -> Tensor:
    """Return which samples stay right at every point that the attack visits, boolean `[n]`.

    It visits `x`, `x + start` and `steps` sign steps of `2.5 eps / steps` from there, cut to the ball. Samples
    that are wrong once leave, and so do those that no later step can turn.

    Args:
        one: One student, its weights `[d, H]`.
        x: Samples `[n, P, d]`.
        y: Their labels -1 or 1.
        start: The start's offset `[n, P, d]`, in the ball.
        eps: Linf radius.
        steps: Steps.
        clean: `correct(one, x, y)`, if known.
    """
    right = correct(one, x, y) if clean is None else clean.clone()
    rows = right.nonzero()[:, 0]
    right[rows] = False
    x, size, curvature = x[rows], 2.5 * eps / max(steps, 1), None if one.odd else Curvature.of(one)
    points = Points(one, rows, y[rows], (start[rows].add_(x), x - eps, x + eps))
    for left in range(steps, -1, -1):
        points.look()
        if left and left % 2 == 0:
            points.move(size)
            continue
        stand = points.lowest > 0
        if not left:
            right[points.rows[stand]] = True
            break
        if curvature and left > 1 and left * size < eps:
            safe = points.out_of_reach(curvature, left * size).logical_and_(stand)
            right[points.rows[safe]] = True
            stand &= ~safe
        points.move(size)
        count = int(stand.sum())
        if not count:
            break
        if count < _WORTH_COPYING * len(stand):
            points = points.only(stand.nonzero()[:, 0])
    return right
