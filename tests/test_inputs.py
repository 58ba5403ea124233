"""What the entry points refuse, and what their messages tell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from robustill.errors import InputError
from robustill.inputs import check_images, check_labels


@pytest.mark.parametrize(
    "x",
    [
        torch.rand(2, 3, 4, 4),
        torch.rand(2, 5, dtype=torch.float64),
        torch.rand(1, 1, 2, 2).bfloat16(),
        torch.zeros(0, 3, 4, 4),
        torch.tensor([[0.0, 1.0]]),
        torch.tensor([[-5e-4, 1.0005]]),
    ],
    ids=["images", "vectors", "bfloat16", "empty", "bounds", "overshoot"],
)
def test_images_in_the_unit_box_pass(x: Tensor) -> None:
    check_images(x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.rand(2, 1, 4, 4) * 255, r"must lie in \[0, 1\].* 0..255 images: divide by 255"),
        (torch.tensor([[0.5, 1.01]]), "from 0.5 to 1.01"),
        (torch.tensor([[-0.01, 0.5]]), "from -0.01 to 0.5.* normalis"),
        (torch.tensor([[0.5, torch.nan]]), "nan"),
        (torch.tensor([[0.5, torch.inf]]), "inf"),
        (torch.randint(0, 256, (2, 3), dtype=torch.uint8), "floating point, not torch.uint8.*/ 255"),
        (torch.tensor([[True]]), "floating point, not torch.bool"),
        (torch.rand(4), r"shape \[4\]"),
    ],
    ids=["0..255", "above", "below", "nan", "inf", "uint8", "bool", "rank"],
)
def test_images_outside_it_are_refused(x: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s){message}"):
        check_images(x)


def test_a_nan_anywhere_in_a_batch_is_found() -> None:
    for position in (0, 17, 95):
        x = torch.rand(2, 3, 4, 4)
        x.view(-1)[position] = torch.nan
        with pytest.raises(InputError, match="nan"):
            check_images(x)


def test_the_expected_shape_is_named() -> None:
    check_images(torch.rand(5, 3, 8, 8), shape=(3, 8, 8))
    with pytest.raises(InputError, match=r"must be \[B, 3, 8, 8\], not of shape \[5, 1, 8, 8\]"):
        check_images(torch.rand(5, 1, 8, 8), shape=(3, 8, 8))


def test_labels_that_count_from_zero_pass() -> None:
    check_labels(torch.tensor([0, 9, 3]), 10, size=3)
    check_labels(torch.zeros(0, dtype=torch.int64), 10)


@pytest.mark.parametrize(
    ("y", "size", "message"),
    [
        (torch.tensor([1, 10]), None, "labels run from 1 to 10, but there are 10 classes"),
        (torch.tensor([-1, 3]), None, "labels run from -1 to 3"),
        (torch.tensor([0.0, 1.0]), None, "torch.float32"),
        (torch.tensor([1, 2], dtype=torch.int32), None, "torch.int32"),
        (torch.tensor([[1], [2]]), None, r"\[2, 1\]"),
        (torch.tensor([1, 2]), 3, r"int64 \[3\], found torch.int64 \[2\]"),
    ],
    ids=["too large", "negative", "float", "int32", "one-hot", "length"],
)
def test_other_labels_are_refused(y: Tensor, size: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_labels(y, 10, size=size)
