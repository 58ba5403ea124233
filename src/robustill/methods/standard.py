"""Standard training.

Paper: none (empirical risk minimisation).
Inner: none
Outer: CE(S(x), y)
State: none
Settings: the baseline for clean accuracy, and the way to train a clean teacher. Expect no robustness.
"""

from __future__ import annotations

from torch import Tensor, nn

from robustill.losses import cross_entropy
from robustill.methods.base import Loss, Method


class Standard(Method):
    """Cross-entropy on clean images.

    >>> import torch
    >>> from torch import nn
    >>> student = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> method = Standard(student)
    >>> sorted(method(torch.rand(2, 1, 2, 2), torch.tensor([0, 2])).terms)
    ['nat']
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, x: Tensor, y: Tensor) -> Loss:
        nat = cross_entropy(self.student(x), y)
        return Loss(nat, {"nat": nat})
