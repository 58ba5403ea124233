"""Knowledge distillation on clean images.

Paper: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv 1503.02531.
Inner: none
Outer: alpha t^2 KL(T(x; t) || S(x; t)) + (1 - alpha) CE(S(x), y)
State: none
Settings: t = 4, alpha = 0.9. The baseline that shows how little robustness soft labels alone carry over.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustill.losses import cross_entropy, kl_div
from robustill.methods.base import Loss, Method
from robustill.models import Frozen


class KD(Method):
    """Hinton's distillation: no adversary.

    Args:
        student: Trained network, `[B, C, H, W] -> [B, classes]`.
        teacher: Frozen network with the same classes.
        alpha: Weight of the soft term, 0 to 1.
        temperature: Divides both logits.

    >>> import torch
    >>> from torch import nn
    >>> student, teacher = (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)) for _ in range(2))
    >>> method = KD(student, teacher)
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['hard', 'soft']
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, *, alpha: float = 0.9, temperature: float = 4.0) -> None:
        super().__init__()
        self.student, self.teacher = student, Frozen(teacher)
        self.alpha, self.temperature = alpha, temperature

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        logits = self.student(x)
        soft = self.temperature**2 * kl_div(logits, self.teacher(x), temperature=self.temperature)
        hard = cross_entropy(logits, y)
        return Loss(self.alpha * soft + (1 - self.alpha) * hard, {"soft": soft, "hard": hard})
