"""Lower bounds of relative calibration and counterexamples of agreement, by attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from robustill.diagnostics.bracket.search import Search, Value
from robustill.diagnostics.bracket.witness import PairWitness, gaps
from robustill.losses import cross_entropy, kl_div


def attack_pair(search: Search, y: Tensor, compared: Tensor, *, temperature: float, targets: int) -> dict[str, Tensor]:
    """Attack student and teacher, `search.networks`, in every way that tells something about the pair.

    Maximised are the gap and its negative (from all starts), and from x itself the cross-entropy of either network,
    both KL divergences between them, and the disagreement about each of some classes. Every point on the way counts
    for everything.

    Args:
        search: Images `[B, ...]` and what is done.
        y: Reference classes, int64 `[B]`.
        compared: Which examples count for the pair, bool `[B]`; the others are attacked for the accuracies alone.
        temperature: What logits are divided by.
        targets: Classes to try in the disagreement attack, the most promising first.

    Returns:
        What `PairWitness.found` says.
    """
    witness = PairWitness(y, temperature)
    everyone = torch.arange(len(y), device=y.device)
    for alone in (lambda s, t: cross_entropy(s, y), lambda s, t: cross_entropy(t, y)):
        search.climb(search.x, alone, _seen(witness, everyone))
    rows = compared.nonzero().flatten()
    if len(rows):
        part, own = _only(search, rows), y[rows]
        see = _seen(witness, rows)
        for start in part.starts():
            for sign in (1.0, -1.0):
                part.climb(start, lambda s, t, k=sign: k * gaps(s, t, own, temperature), see)
        for apart in (
            lambda s, t: kl_div(s, t, temperature=temperature),
            lambda s, t: kl_div(t, s, temperature=temperature),
        ):
            part.climb(part.x, apart, see)
        _disagree(search, witness, rows, targets)
    return witness.found(compared)


def _disagree(search: Search, witness: PairWitness, rows: Tensor, targets: int) -> None:
    """Try to make either network prefer another class to y while the other one does not, one class after the other."""
    with torch.no_grad():
        ours, theirs = (network(search.x) for network in search.networks)
    lead = ours - theirs
    leads = [each.scatter(1, witness.y[:, None], -torch.inf) for each in (lead, -lead)]
    orders = [each.argsort(1, descending=True) for each in leads]
    for rank in range(min(targets, ours.shape[1] - 1)):
        for order, swapped in zip(orders, (False, True), strict=True):
            left = rows[~witness.apart[rows]]
            if not len(left):
                return
            value = _parting(witness.y[left], order[left, rank], swapped)
            part = _only(search, left)
            part.climb(part.x, value, _seen(witness, left))


def _parting(y: Tensor, target: Tensor, swapped: bool) -> Value:
    def value(student: Tensor, teacher: Tensor) -> Tensor:
        leaves, stays = (teacher, student) if swapped else (student, teacher)
        ahead = [(z.gather(1, target[:, None]) - z.gather(1, y[:, None])).squeeze(1) for z in (leaves, stays)]
        return torch.minimum(ahead[0], -ahead[1])

    return value


def _only(search: Search, rows: Tensor) -> Search:
    return replace(search, x=search.x[rows], positions=[search.positions[i] for i in rows.tolist()])


def _seen(witness: PairWitness, rows: Tensor) -> Callable[..., Any]:
    return lambda student, teacher: witness.see(student, teacher, rows)
