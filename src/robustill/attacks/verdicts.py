"""Is a prediction right: one boolean per example."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.attacks.modes import eval_mode


def correct(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return where `model` predicts `y`, in eval mode and without a graph, `[B, ...], [B] -> bool [B]`.

    Logits that are not finite count as wrong.

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> correct(model, x, torch.tensor([0, 1]))
    tensor([ True, False])
    """
    with eval_mode(model), torch.no_grad():
        logits: Tensor = model(x)
        return (logits.argmax(1) == y) & logits.isfinite().all(1)
