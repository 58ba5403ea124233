"""Two networks on the same images: the difference of their accuracies, its interval, and McNemar's exact test."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from robustill.report.page.verdicts import Right

_Z = 1.959963984540054


class Difference(NamedTuple):
    """How much more often the first of two networks is right than the second.

    Attributes:
        only_first: Images on which only the first is right.
        only_second: Images on which only the second is right.
        images: All images.
    """

    only_first: int
    only_second: int
    images: int

    @property
    def value(self) -> float:
        """Difference of the accuracies."""
        return (self.only_first - self.only_second) / self.images

    def interval(self) -> tuple[float, float]:
        """Return its 95% interval over images, after Bonett and Price (2012): Wald's with one image added each way.

        >>> [round(end, 3) for end in Difference(10, 10, 100).interval()]
        [-0.09, 0.09]
        """
        first, second = (self.only_first + 1) / (self.images + 2), (self.only_second + 1) / (self.images + 2)
        half = _Z * math.sqrt((first + second - (first - second) ** 2) / (self.images + 2))
        return max(first - second - half, -1.0), min(first - second + half, 1.0)

    def p(self) -> float:
        """Return the two-sided p-value of McNemar's exact test: a fair coin on the images that only one has right.

        >>> Difference(8, 2, 50).p()
        0.109375
        """
        tosses, fewer = self.only_first + self.only_second, min(self.only_first, self.only_second)
        if tosses <= 1000:
            return min(1.0, float(2 * sum(math.comb(tosses, k) for k in range(fewer + 1)) / 2**tosses))
        logs = (_log_binomial(tosses, k) - tosses * math.log(2) for k in range(fewer + 1))
        return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def paired(first: Right, second: Right) -> Difference:
    """Return the difference of two networks from where each is right, bool `[n]` of the same images."""
    return Difference(int((first & ~second).sum()), int((second & ~first).sum()), len(first))


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
