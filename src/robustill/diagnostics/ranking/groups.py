"""Which images a teacher is asked about, and how much each counts for each group."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustill.data.order import Purpose, random_stream
from robustill.data.stratify import stratified
from robustill.diagnostics.learnability import Learnability
from robustill.errors import InputError


@dataclass(frozen=True)
class Groups:
    """Images and groups of them.

    Args:
        index: Positions in the training split, int64 `[n]`, ascending.
        labels: int64 `[n]`.
        weights: For each group, how much each image counts, `[n]`: `unlearnable`, `learnable`, and for comparison
            `all` (any training images) and `matched` (any, with the class counts of the unlearnable ones).
        sizes: How many images each group had before any were left out.
    """

    index: Tensor
    labels: Tensor
    weights: dict[str, Tensor]
    sizes: dict[str, int]


def choose(found: Learnability, estimator: str, k: float, limit: int | None, seed: int, baselines: bool) -> Groups:
    """Return at most `limit` images of each group, drawn by `seed` with the class shares of the group.

    Raises:
        InputError: The unlearnable or the learnable set is empty, or an impossible limit.
    """
    if limit is not None and (isinstance(limit, bool) or limit < 1):
        raise InputError(f"the limit is {limit!r}", "give a number of images per group, 1 or more")
    unlearnable, learnable = found.weights(estimator, k=k)
    _check(found, int((unlearnable > 0).sum()), int((learnable > 0).sum()))
    whole = {"unlearnable": unlearnable, "learnable": learnable}
    members = {name: _some((w > 0).nonzero().flatten(), found.labels, limit, seed) for name, w in whole.items()}
    if baselines:
        everything = torch.arange(len(found.labels))
        members["all"] = _some(everything, found.labels, limit, seed)
        members["matched"] = _matched(members["unlearnable"], found.labels, seed)
    used = torch.unique(torch.cat(list(members.values())))
    weights = {}
    for name, at in members.items():
        inside = torch.zeros(len(found.labels), dtype=torch.float64)
        inside[at] = whole[name][at] if name in whole else 1.0
        weights[name] = inside[used]
    sizes = {name: int((w > 0).sum()) for name, w in whole.items()}
    return Groups(found.index[used], found.labels[used], weights, sizes)


def _check(found: Learnability, unlearnable: int, learnable: int) -> None:
    references = len(found.references)
    if not unlearnable:
        raise InputError(
            f"no training image is robustly unlearnable: each is right under attack for one of {references} "
            f"reference{'s' * (references > 1)}, so there is nothing to rank teachers by",
            "a larger eps, fewer references, or more images; if the references were trained far beyond their robust "
            "peak, they have memorised: stop them earlier",
        )
    if not learnable:
        raise InputError(
            f"no training image is right under attack for all of {references} references: they have not learned",
            "train the references for more epochs, or with a smaller eps",
        )


def _some(at: Tensor, labels: Tensor, limit: int | None, seed: int) -> Tensor:
    if limit is None or len(at) <= limit:
        return at
    return at[stratified(labels[at], limit, seed, Purpose.LIMIT_TRAIN)[1]]


def _matched(at: Tensor, labels: Tensor, seed: int) -> Tensor:
    """Return random images with the class counts of those at `at`; some may be among them."""
    stream = random_stream(seed, Purpose.LIMIT_TRAIN, len(at))
    order = torch.from_numpy(stream.permutation(len(labels)))
    parts = [order[labels[order] == c][: int((labels[at] == c).sum())] for c in torch.unique(labels[at]).tolist()]
    return torch.cat(parts).sort().values
