"""`check_logits`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robustill.errors import ModelError
from robustill.models import check_logits


def test_logits_pass_also_when_they_are_log_probabilities_or_tiny() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0]])
    check_logits(logits, 3)
    check_logits(logits.log_softmax(dim=1), 3)
    check_logits(torch.tensor([[0.2, 0.3, 0.5], [1.0, 2.0, 3.0]]), 3)
    check_logits(torch.tensor([[-0.5, 0.5, 1.0]]), 3)


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (torch.zeros(4), "shape"),
        (torch.zeros(4, 10), "10 classes, the data set 3"),
        (torch.tensor([[0.0, float("inf"), 1.0], [0.0, 1.0, 2.0]]), "1 of 2"),
        (torch.tensor([[0.0, float("nan"), 1.0]]), "1 of 1"),
        (torch.randn(8, 3).softmax(dim=1), "probabilities"),
        (torch.randn(8, 3).half().softmax(dim=1), "probabilities"),
    ],
)
def test_wrong_logits_are_one_clear_error(logits: Tensor, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        check_logits(logits, 3)
