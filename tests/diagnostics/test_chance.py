"""A teacher that guesses is pointed out before anything is learned from it."""

import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.diagnostics import chance_warning


class Thirds(nn.Module):
    """Names the brightest third of an 8x8 image, which is the class of the tiny data; `turn` shifts the answer."""

    def __init__(self, turn: int) -> None:
        super().__init__()
        self.turn, self.scale = turn, nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        thirds = torch.stack([x[:, 0, 3 * k : 3 * k + 2].mean((1, 2)) for k in range(3)], dim=1)
        return self.scale * thirds.roll(self.turn, dims=1)


def test_a_teacher_that_knows_its_classes_gets_no_warning(tiny_data: Data) -> None:
    assert chance_warning("teacher", Thirds(0), tiny_data) is None


def test_a_teacher_with_other_labels_gets_a_warning(tiny_data: Data) -> None:
    assert "teacher_adv is right on 0% of 96 training images" in (
        chance_warning("teacher_adv", Thirds(1), tiny_data) or ""
    )
