"""Losses of one example: a row of C logits (0-dimensional tensors) -> one 0-dimensional tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Row = Sequence[Tensor]


def rows(logits: Tensor) -> list[list[Tensor]]:
    """Split `[B, C]` into B lists of C scalars, keeping the graph."""
    return [[logits[i, c] for c in range(logits.shape[1])] for i in range(logits.shape[0])]


def mean(values: Sequence[Tensor]) -> Tensor:
    """Return the mean of scalars."""
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total / len(values)


def log_probabilities(z: Row, t: float = 1.0) -> list[Tensor]:
    """Return `log p_c` of `p = softmax(z / t)`, with the largest logit taken out first."""
    largest = max(value.item() for value in z) / t
    partition = torch.zeros((), dtype=z[0].dtype)
    for value in z:
        partition = partition + torch.exp(value / t - largest)
    return [value / t - largest - torch.log(partition) for value in z]


def probabilities(z: Row, t: float = 1.0) -> list[Tensor]:
    """Return `p_c` of `p = softmax(z / t)`."""
    return [torch.exp(value) for value in log_probabilities(z, t)]


def cross_entropy(z: Row, label: int) -> Tensor:
    """`-log p_y`."""
    return -log_probabilities(z)[label]


def kl(target: Row, student: Row, t: float = 1.0) -> Tensor:
    """`KL(target || student) = sum_c p_c (log p_c - log q_c)` at temperature t; the target comes first here."""
    log_p, log_q = log_probabilities(target, t), log_probabilities(student, t)
    total = torch.zeros((), dtype=target[0].dtype)
    for a, b in zip(log_p, log_q, strict=True):
        total = total + torch.exp(a) * (a - b)
    return total


def entropy(z: Row, t: float = 1.0) -> Tensor:
    """`-sum_c p_c log p_c`."""
    total = torch.zeros((), dtype=z[0].dtype)
    for value in log_probabilities(z, t):
        total = total - torch.exp(value) * value
    return total


def largest_other(values: Row, label: int) -> Tensor:
    """`max_{k != y} v_k`."""
    best = None
    for k, value in enumerate(values):
        if k != label and (best is None or value.item() > best.item()):
            best = value
    assert best is not None
    return best


def margin(z: Row, label: int) -> Tensor:
    """`max_{k != y} z_k - z_y`."""
    return largest_other(z, label) - z[label]


def dlr(z: Row, label: int) -> Tensor:
    """`-(z_y - max_{k != y} z_k) / (z_(1) - z_(3))` with the logits sorted downwards."""
    ordered = sorted(z, key=Tensor.item, reverse=True)
    return -(z[label] - largest_other(z, label)) / (ordered[0] - ordered[2])


def boosted_cross_entropy(z: Row, label: int) -> Tensor:
    """MART: `CE - log(1.0001 - max_{k != y} p_k + 1e-12)`."""
    second = largest_other(probabilities(z), label)
    return cross_entropy(z, label) - torch.log(1.0001 - second + 1e-12)
