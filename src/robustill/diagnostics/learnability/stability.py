"""How the sets depend on the references: their number, and which of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor


@dataclass(frozen=True)
class Point:
    """Sizes with so many references.

    Args:
        references: How many.
        unlearnable: Mean number of images that all of them get wrong.
        learnable: Mean number of images that all of them get right.
    """

    references: int
    unlearnable: float
    learnable: float


def stability(score: Tensor, count: int) -> list[Point]:
    """Return the mean sizes over all subsets of 1 to `count` references, int64 `[n]` scores.

    No subset is drawn: an image that s of M references get right is wrong for all of m chosen ones in
    C(M - s, m) of C(M, m) cases.

    >>> [(p.unlearnable, p.learnable) for p in stability(torch.tensor([0, 1, 2]), 2)]
    [(1.5, 1.5), (1.0, 1.0)]
    """
    histogram = torch.bincount(score, minlength=count + 1).tolist()
    points = []
    for m in range(1, count + 1):
        wrong = sum(images * comb(count - s, m) for s, images in enumerate(histogram))
        right = sum(images * comb(s, m) for s, images in enumerate(histogram))
        points.append(Point(m, wrong / comb(count, m), right / comb(count, m)))
    return points


def jaccard(members: Tensor) -> Tensor:
    """Return `|A and B| / |A or B|` of each two sets, bool `[M, n] -> float64 [M, M]`; 1 for two empty sets."""
    sets = members.double()
    both = sets @ sets.T
    sizes = sets.sum(1)
    either = sizes[:, None] + sizes[None] - both
    return torch.where(either > 0, both / either.clamp_min(1), torch.ones_like(both))
