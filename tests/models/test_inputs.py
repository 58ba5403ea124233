"""`check_images` and `check_logits`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robustill.errors import InputError, ModelError
from robustill.models import check_images, check_logits

GOOD = torch.rand(2, 3, 8, 8)


@pytest.mark.parametrize("x", [GOOD, GOOD.double(), GOOD.half(), GOOD * 1.0009, torch.full((1, 3, 8, 8), -0.0009)])
def test_images_within_the_tolerance_pass(x: Tensor) -> None:
    check_images(x, (3, 8, 8))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (GOOD[0], "batch, channels"),
        (GOOD[:, :1], "1 channels, the model takes 3"),
        (torch.rand(2, 3, 8, 9), "8x9 pixels, the model takes 8x8"),
        (GOOD[:0], "empty"),
        ((GOOD * 255).byte(), "floating point"),
        (GOOD * 255, "divide by 255"),
        ((GOOD - 0.5) / 0.25, "normalised already"),
        (GOOD + 0.5, "scale them"),
        (torch.full_like(GOOD, float("nan")), "not a number"),
        (GOOD.clone().index_fill(0, torch.tensor([1]), float("inf")), "0, 1"),
    ],
)
def test_wrong_images_are_one_clear_error(x: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_images(x, (3, 8, 8))


def test_without_a_shape_any_image_size_passes() -> None:
    check_images(torch.rand(1, 1, 3, 5))


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
