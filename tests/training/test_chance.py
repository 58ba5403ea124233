"""A teacher that guesses is pointed out before anything is learned from it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.diagnostics import chance_warning
from robustill.methods import KD
from robustill.models import load_model
from robustill.training import train


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


class Luck(Thirds):
    """As `Thirds`, and draws a number whenever it is asked."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.1 * torch.rand(3)


def _train(data: Data, teacher: nn.Module, folder: Path, **changes: bool) -> Tensor:
    torch.manual_seed(0)
    student = load_model("cnn_small", num_classes=3, shape=data.shape)
    train(KD(student, teacher), data, epochs=1, batch_size=32, out=folder, progress=False, **changes)
    return torch.cat([each.detach().flatten() for each in student.parameters()])


@pytest.mark.parametrize(("turn", "warned"), [(0, False), (1, True)])
def test_a_run_says_once_that_its_teacher_guesses(
    turn: int, warned: bool, tiny_data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _train(tiny_data, Thirds(turn), tmp_path / "run")
    assert ("warning: teacher is right on 0% of 96 training images, below chance" in capsys.readouterr().err) is warned
    _train(tiny_data, Thirds(turn), tmp_path / "run", resume=True)
    assert "warning" not in capsys.readouterr().err


def test_a_teacher_without_weights_is_asked_as_well(
    tiny_data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Three times the mean of the image: it always names the first class.
    teacher = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.ReplicationPad1d((0, 2)))
    _train(tiny_data, teacher, tmp_path / "run")
    assert "teacher is right on" in capsys.readouterr().err


def test_the_question_does_not_move_the_run(tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _train(tiny_data, Luck(0), tmp_path / "asked")
    monkeypatch.setattr("robustill.training.loop.tell_chance", lambda *_, **__: None)
    assert torch.equal(asked, _train(tiny_data, Luck(0), tmp_path / "not"))
