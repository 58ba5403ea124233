"""Is a prediction right: one boolean per example."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks.modes import eval_mode


def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return where `model` predicts `y`, in eval mode and without a graph, `[B, ...], [B] -> bool [B]`.

    Logits that are not finite count as wrong.
    """
    with eval_mode(model), torch.no_grad():
        logits: Tensor = model(x)
        return (logits.argmax(1) == y) & logits.isfinite().all(1)
