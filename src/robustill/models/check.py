"""The check of what a model returns: logits, one per class, finite, and not probabilities."""

from __future__ import annotations

from torch import Tensor

from robustill.errors import ModelError

_TOLERANCE = 1e-3


def check_logits(logits: Tensor, num_classes: int) -> None:
    """Check that `logits` is [B, num_classes], finite, and not already a softmax.

    Args:
        logits: Output of a model for a batch of images.
        num_classes: Classes of the data set.

    Raises:
        ModelError: Wrong shape or class count, infinite or undefined values, or probabilities.

    >>> import torch
    >>> check_logits(torch.tensor([[-1.0, 2.0, 0.5]]), num_classes=3)
    """
    if logits.ndim != 2:
        raise ModelError(f"the model must return logits [batch, classes], it returned shape {list(logits.shape)}")
    if logits.shape[1] != num_classes:
        raise ModelError(
            f"the model has {logits.shape[1]} classes, the data set {num_classes}",
            hint="use a model trained on this data set",
        )
    values = logits.detach().double()
    if not values.isfinite().all():
        bad = int((~values.isfinite()).any(dim=1).sum())
        raise ModelError(
            f"the model returned infinite or undefined logits for {bad} of {len(values)} images",
            hint="a wrong normalisation, reduced precision or broken weights are the usual reasons",
        )
    sums_to_one = ((values.sum(dim=1) - 1).abs() <= _TOLERANCE).all()
    if len(values) and sums_to_one and (values >= 0).all():
        raise ModelError(
            "the model returns probabilities, not logits",
            hint="remove its softmax, or return their logarithm: log-probabilities are valid logits",
        )
