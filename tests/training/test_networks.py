"""Networks and data that do not fit are one error that names the network, before the first step."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.data import Data
from robustill.errors import ModelError
from robustill.methods import MTARD, RSLAD, Standard
from robustill.models import build_model
from robustill.training import AWP, Settings, train
from robustill.training.networks import check_networks, teacher_digests, teachers

ATTACK = PGD(eps=0.1, step_size=0.05, steps=2)
CPU = torch.device("cpu")


def net(classes: int = 3, side: int = 8, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("cnn_small", num_classes=classes, shape=(1, side, side))


class Constant(nn.Module):
    """Returns one row for every image."""

    def __init__(self, *row: float) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.tensor(row))

    def forward(self, x: Tensor) -> Tensor:
        return self.row.expand(len(x), -1)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (net(classes=5), "teacher: the model has 5 classes, the data set 3"),
        (nn.Sequential(net(), nn.Softmax(1)), "teacher: the model returns probabilities, not logits"),
        (Constant(0.0, float("nan"), 1.0), "teacher: the model returned infinite or undefined logits"),
        (net(side=12), "teacher cannot take images of 1x8x8 from arrays: mat1 and mat2"),
        (nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten()), "teacher cannot take images of 1x8x8 from arrays"),
        (nn.Sequential(nn.Conv2d(1, 3, 3)), r"teacher: the model must return logits \[batch, classes\]"),
    ],
)
def test_a_teacher_that_does_not_fit(teacher: nn.Module, message: str, tiny_data: Data, tmp_path: Path) -> None:
    method = RSLAD(net(), teacher, attack=ATTACK)
    with pytest.raises(ModelError, match=f"^{message}"):
        train(method, tiny_data, Settings(epochs=1), out=tmp_path, progress=False)
    assert not (tmp_path / "last.pt").exists()


def test_the_student_is_checked_too(tiny_data: Data) -> None:
    with pytest.raises(ModelError, match=r"^student: the model has 4 classes, the data set 3"):
        train(Standard(net(classes=4)), tiny_data, Settings(epochs=1), progress=False)


def test_the_second_of_two_teachers_is_named(tiny_data: Data) -> None:
    method = MTARD(net(), net(seed=1), net(classes=7), attack=ATTACK)
    names = list(teachers(method))
    assert len(names) == 2
    with pytest.raises(ModelError) as caught:
        check_networks(method, tiny_data, CPU)
    assert str(caught.value).startswith(f"{names[1]}: the model has 7 classes")
    assert "nat" in names[1]


def test_log_probabilities_are_logits(tiny_data: Data) -> None:
    check_networks(RSLAD(net(), nn.Sequential(net(), nn.LogSoftmax(1)), attack=ATTACK), tiny_data, CPU)


def test_a_network_within_awp_is_found(tiny_data: Data) -> None:
    with pytest.raises(ModelError, match="teacher: the model has 5 classes"):
        check_networks(AWP(RSLAD(net(), net(classes=5), attack=ATTACK), gamma=0.01), tiny_data, CPU)


def test_the_check_leaves_batch_norm_and_modes_alone(tiny_data: Data) -> None:
    student = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 3)).train()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    check_networks(Standard(student), tiny_data, CPU)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    assert student.training


def test_a_digest_tells_teachers_apart() -> None:
    one, same, other = (teacher_digests(RSLAD(net(), net(seed=seed), attack=ATTACK)) for seed in (1, 1, 2))
    assert one == same
    assert one.keys() == other.keys() == {"teacher"}
    assert one != other
    assert teacher_digests(Standard(net())) == {}
