"""What would fail in the middle of a run is one error before its first step."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robustill.attacks import PGD
from robustill.data import Data, load_data
from robustill.errors import InputError, ModelError
from robustill.methods import RSLAD, Method, PeerAiD, Standard
from robustill.models import build_model
from robustill.training import train

ATTACK = PGD(eps=0.1, step_size=0.1, steps=1)


class Counting(Standard):
    """Counts its steps."""

    steps = 0

    def after_step(self) -> None:
        self.steps += 1


def residual(seed: int = 0) -> nn.Module:
    """Return a network whose last feature map is one pixel."""
    torch.manual_seed(seed)
    return build_model("resnet18", num_classes=10, shape=(1, 8, 8), width=2)


def plain(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("cnn_small", num_classes=10, shape=(1, 8, 8))


@pytest.fixture(scope="module")
def digits() -> Data:
    data = load_data("digits", limit=60, validation=11)
    assert len(data.train) == 49
    return data


def test_a_student_that_cannot_be_saved(digits: Data, tmp_path: Path) -> None:
    method = Counting(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    with pytest.raises(ModelError, match="student: Sequential was not made by build_model") as told:
        train(method, digits, epochs=1, out=tmp_path, progress=False)
    assert method.steps == 0
    assert "robustill.models.MODELS" in str(told.value.hint)
    assert "without out" in str(told.value.hint)
    train(method, digits, epochs=1, progress=False)
    assert method.steps == 1


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"batch_size": 16}, r"batch_size = 16: of 49 .* student.*\n  hint: set batch_size = 17,"),
        ({"batch_size": 48}, r"set batch_size = 49"),
        ({"batch_size": 1}, r"set batch_size = 5,"),
        ({"batch_size": 20, "micro_batches": 8}, r"batch_size = 20 in micro_batches = 8"),
    ],
)
def test_one_image_is_too_few_for_batch_norm(sizes: dict[str, Any], says: str, digits: Data) -> None:
    with pytest.raises(InputError, match=says):
        train(Standard(residual()), digits, epochs=1, progress=False, **sizes)


def test_a_network_beside_the_student_is_looked_at_too(digits: Data) -> None:
    with pytest.raises(InputError, match="batch norm peer"):
        train(PeerAiD(plain(), residual(), attack=ATTACK), digits, epochs=1, batch_size=16, progress=False)


@pytest.mark.parametrize(
    "method",
    [Standard(plain()), RSLAD(plain(), residual(), attack=ATTACK)],
    ids=["no batch norm", "a frozen teacher"],
)
def test_one_image_is_enough_elsewhere(method: Method, digits: Data) -> None:
    assert train(method, digits, epochs=1, batch_size=16, progress=False).history


def test_batches_that_leave_none_alone(digits: Data) -> None:
    method = Standard(residual())
    assert train(method, digits, epochs=1, batch_size=17, progress=False).history[0]["loss"] > 0
    assert not any(module._forward_pre_hooks for module in method.modules())
