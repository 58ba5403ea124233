"""`attack <= truth <= certificate`: whatever breaks this must not be published."""

from __future__ import annotations

import torch
from torch import Tensor

# Confidences and margins that two ways of computing give differ by this much at most, of logits up to about 100.
ROUNDING = 1e-4
# Of larger ones, by so many steps of their type.
_STEPS = 8


class BracketError(RuntimeError):
    """An attack found more than a certificate allows: one of the two is wrong, which is a bug.

    >>> try:
    ...     raise BracketError("image 7: found 0.5, certified 0.4")
    ... except BracketError as error:
    ...     print(error)
    image 7: found 0.5, certified 0.4
    """


def check_bracket(what: str, eps: float, lower: Tensor, upper: Tensor, index: Tensor) -> None:
    """Check that `lower` is at most `upper` `[k]`, up to rounding; what is not a number was not computed.

    Raises:
        BracketError: It is not; names the first example by its position `index` in the split.
    """
    _raise(what, eps, lower > upper + ROUNDING, lower, upper, index)


def further_rounding(logits: Tensor) -> Tensor:
    """Return by how much the rounding of large logits `[B, C]` exceeds `ROUNDING`, `[B]`: bounds give way by it."""
    size = logits.abs().amax(1)
    return (size * (_STEPS * torch.finfo(size.dtype).eps) - ROUNDING).clamp(min=0)


def check_verdicts(what: str, eps: float, found: Tensor, certified: Tensor, index: Tensor) -> None:
    """Check that nothing was `found` where the opposite is `certified`, bool `[k]`.

    Raises:
        BracketError: It was.
    """
    _raise(what, eps, found & certified, found, certified, index)


def _raise(what: str, eps: float, broken: Tensor, lower: Tensor, upper: Tensor, index: Tensor) -> None:
    if not bool(broken.any()):
        return
    first = int(broken.nonzero()[0])
    raise BracketError(
        f"{what} at eps {eps:g}: the attack found {lower[first].item()} on image {int(index[first])}, the certificate "
        f"says {upper[first].item()} ({int(broken.sum())} of {len(broken)} images). This is a bug in the bounds or in "
        "the attack; nothing was written. Please report it with both networks"
    )


def found_within(values: Tensor) -> Tensor:
    """Return the largest of what was found at this and all smaller radii, `[k, n]`: a ball contains these."""
    return values.cummax(0).values


def certain_within(values: Tensor) -> Tensor:
    """Return the least of what bounds this and all larger radii from above, `[k, n]`."""
    return values.flip(0).cummin(0).values.flip(0)
