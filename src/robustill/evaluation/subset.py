"""Some of the images, the same number of each class."""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.data.order import Purpose, random_stream
from robustill.errors import InputError

# Classes nearer to each other than this weigh about the same in any sample.
_UNEVEN = 1.5


def balanced(labels: Tensor, count: int, seed: int) -> Tensor:
    """Return `count` positions in ascending order, as many of each class as there can be, drawn by `seed`.

    Args:
        labels: int64 `[N]`.
        count: How many; all when there are not more.
        seed: Decides which, and which classes get one more where `count` is no multiple.

    Raises:
        InputError: `count` is not a number of images.

    >>> balanced(torch.tensor([0, 0, 0, 0, 1, 1]), 4, seed=0).tolist()[-2:]
    [4, 5]
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"images is {count!r}; it must be a number of images, 1 or more")
    if count >= len(labels):
        return torch.arange(len(labels))
    stream = random_stream(seed, Purpose.LIMIT_TEST, count)
    order = torch.from_numpy(stream.permutation(len(labels)))
    # How many of its class come before each image in this order: first all the firsts, then all the seconds ...
    turn = torch.zeros(len(labels), dtype=torch.int64)
    for label in torch.unique(labels):
        own = (labels[order] == label).nonzero().flatten()
        turn[own] = torch.arange(len(own))
    chosen = order[turn.sort(stable=True).indices[:count]]
    return chosen.sort().values


def balance_note(labels: Tensor, count: int | None) -> str | None:
    """Return what `balanced` does to an accuracy where the classes of `labels` `[N]` are of different sizes, or None.

    Args:
        labels: int64 `[N]`.
        count: How many images were drawn; None: all.

    >>> balance_note(torch.tensor([0] * 40 + [1] * 10), 20)
    'as many images of each class as there can be, of 10 to 40: an accuracy on all images weighs large classes more'
    >>> balance_note(torch.tensor([0] * 40 + [1] * 10), None)
    """
    if count is None or count >= len(labels):
        return None
    sizes = torch.unique(labels, return_counts=True)[1]
    smallest, largest = int(sizes.min()), int(sizes.max())
    if largest < _UNEVEN * smallest:
        return None
    return (
        f"as many images of each class as there can be, of {smallest} to {largest}: an accuracy on all images weighs "
        "large classes more"
    )
