"""The ways in which a teacher is not the one that its user believes it is."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD, correct, stays_correct
from robustill.data import Data
from robustill.data.statistics import channel_statistics
from robustill.diagnostics import TeacherCheck, verify_teacher
from robustill.errors import InputError, ModelError
from robustill.losses import entropy
from robustill.methods import PGDAT, Standard
from robustill.models import Normalize, build_model, model_digest
from robustill.training import Settings, train

SETTINGS = Settings.model_validate({"epochs": 15, "batch_size": 16, "optimizer": {"lr": 0.05}})


def check(teacher: nn.Module, data: Data, **changes: Any) -> TeacherCheck:
    return verify_teacher(teacher, data, **{"eps": 0.05, **changes})


@pytest.fixture(scope="module")
def trained() -> dict[bool, nn.Module]:
    """Return one network with and one without a normalisation inside, trained on the data of `tiny_data`."""
    return {}


@pytest.fixture
def teacher(tiny_data: Data, trained: dict[bool, nn.Module]) -> nn.Module:
    return fitted(tiny_data, trained, normalized=False)


@pytest.fixture
def pale() -> Data:
    """Return `tiny_data` with little contrast far from 0, where normalisation matters."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(160) % 3
    images = torch.randint(190, 210, (160, 1, 8, 8), generator=generator)
    for k, label in enumerate(labels.tolist()):
        images[k, 0, 3 * label : 3 * label + 2] += 30
    images = images.to(torch.uint8)
    return Data.from_arrays((images[:120], labels[:120]), (images[120:], labels[120:]), validation=0)


@pytest.fixture
def normalized(pale: Data, trained: dict[bool, nn.Module]) -> nn.Module:
    return fitted(pale, trained, normalized=True)


def fitted(data: Data, trained: dict[bool, nn.Module], *, normalized: bool) -> nn.Module:
    if normalized not in trained:
        torch.manual_seed(0)
        mean, std = channel_statistics(data.train) if normalized else (None, None)
        net = build_model("cnn_small", num_classes=3, shape=(1, 8, 8), mean=mean, std=std)
        eps = 0.01 if normalized else 0.05
        method = PGDAT(net, attack=PGD(eps=eps, step_size=eps / 2, steps=3))
        train(method, data, SETTINGS, progress=False)
        trained[normalized] = net
    return copy.deepcopy(trained[normalized])


class Permuted(nn.Module):
    """A network whose classes come in another order."""

    def __init__(self, network: nn.Module, order: list[int]) -> None:
        super().__init__()
        self.network, self.order = network, order

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[:, self.order]


class Scaled(nn.Module):
    """A network that expects `factor * x + shift`."""

    def __init__(self, network: nn.Module, factor: float, shift: float = 0.0) -> None:
        super().__init__()
        self.network, self.factor, self.shift = network, factor, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x - self.shift) / self.factor)


def test_a_good_teacher_passes(teacher: nn.Module, tiny_data: Data) -> None:
    found = check(teacher, tiny_data)
    assert found.problems == ()
    assert found.notes == ()
    assert found.images == 40
    assert found.clean > 0.9
    assert 0.5 < found.robust <= found.clean
    assert found.digest == model_digest(teacher)
    assert found.normalization == "none inside (takes [0, 1] as it is)"
    x = tiny_data.test.images(torch.arange(40)).float() / 255
    with torch.no_grad():
        assert found.entropy == pytest.approx(float(entropy(teacher(x)).mean()), rel=1e-5)
    assert found.clean == pytest.approx(float(correct(teacher, x, tiny_data.test.labels).float().mean()))


def test_a_normalisation_inside_is_shown(normalized: nn.Module, pale: Data) -> None:
    found = check(normalized, pale, eps=0.01)
    assert found.problems == ()
    (mean,), (std,) = channel_statistics(pale.train)
    assert found.normalization == f"inside: mean [{round(mean, 4)}], std [{round(std, 4)}]"


def test_a_teacher_that_expects_normalised_images(normalized: nn.Module, pale: Data) -> None:
    assert isinstance(normalized.normalize, Normalize)
    normalized.normalize = nn.Identity()  # as when it is built without mean and std
    found = check(normalized, pale, eps=0.01)
    (problem,) = [each for each in found.problems if "may expect a normalisation" in each]
    assert "on inputs normalised to mean 0 and deviation 1" in problem
    assert "build it with mean= and std=" in problem


def test_a_teacher_whose_file_says_how_it_was_made_is_not_doubted(normalized: nn.Module, pale: Data) -> None:
    normalized.normalize = nn.Identity()
    assert not any("normalisation" in each for each in check(normalized, pale, eps=0.01, described=True).problems)


def test_a_normalisation_is_not_missed_by_chance(normalized: nn.Module, pale: Data) -> None:
    normalized.normalize = nn.Identity()
    # Too few images to tell a third from all of them: the exact intervals overlap.
    assert not any("normalisation" in each for each in check(normalized, pale, eps=0.01, images=4).problems)


@pytest.mark.parametrize(("factor", "shift"), [(255.0, 0.0), (2.0, -1.0)])
def test_a_teacher_of_another_input_range(factor: float, shift: float, normalized: nn.Module, pale: Data) -> None:
    found = check(Scaled(normalized, factor, shift), pale, eps=0.01)
    (problem,) = [each for each in found.problems if "may expect a normalisation" in each]
    # What is scaled to [-1, 1] may do as well on images of mean 0, and the other way round.
    assert ("inputs in 0..255" in problem) == (factor == 255)


def test_permuted_labels_are_recognised_with_their_mapping(teacher: nn.Module, tiny_data: Data) -> None:
    found = check(Permuted(teacher, [1, 2, 0]), tiny_data)
    (problem,) = [each for each in found.problems if "label order differs" in each]
    assert "(0->1, 1->2, 2->0)" in problem
    assert "accuracy would be 100%" in problem


def test_an_untrained_teacher_is_near_chance(tiny_data: Data) -> None:
    constant = Permuted(build_model("cnn_small", num_classes=3, shape=(1, 8, 8)), [0, 1, 2])
    nn.init.zeros_(constant.network.layers[-1].weight)
    found = check(constant, tiny_data)
    assert len(found.problems) == 1
    assert "near chance" in found.problems[0]


class Sometimes(nn.Module):
    """Right about a share of two classes of grey images."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.weight, self.share = nn.Parameter(torch.ones(1)), share

    def forward(self, x: Tensor) -> Tensor:
        level = (255 * x.mean((1, 2, 3))).round().clamp(0, 255)
        bright, number = level // 128, level % 128
        shown = torch.where(number < 100 * self.share, bright, 1 - bright).long()
        return 4 * self.weight * nn.functional.one_hot(shown, 2).float() + 0 * x.sum((1, 2, 3))[:, None]


@pytest.mark.parametrize(("share", "problem"), [(0.55, True), (0.7, False)])
def test_near_chance_with_two_classes(share: float, problem: bool) -> None:
    levels = torch.cat([torch.arange(100), 128 + torch.arange(100)])
    images = levels.to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous()
    data = Data.from_arrays((images, levels // 128), (images, levels // 128), validation=0)
    found = check(Sometimes(share), data)
    assert found.clean == pytest.approx(share)
    assert any("near chance" in each for each in found.problems) is problem


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (build_model("cnn_small", num_classes=5, shape=(1, 8, 8)), "the model has 5 classes, the data set 3"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1)), "returns probabilities, not logits"),
    ],
)
def test_what_is_no_teacher_at_all(wrong: nn.Module, message: str, tiny_data: Data) -> None:
    with pytest.raises(ModelError, match=message):
        check(wrong, tiny_data)


@pytest.mark.parametrize("images", [0, -5])
def test_no_images(images: int, teacher: nn.Module, tiny_data: Data) -> None:
    with pytest.raises(InputError, match=f"images is {images}"):
        check(teacher, tiny_data, images=images)


def test_the_robust_accuracy_is_pgd_20(teacher: nn.Module, tiny_data: Data) -> None:
    found = check(teacher, tiny_data, eps=0.15, images=16, seed=3)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))[:16]
    x, y = tiny_data.test.images(order).float() / 255, tiny_data.test.labels[order]
    right = stays_correct(
        teacher, x, y, PGD(eps=0.15, step_size=0.15 / 4, steps=20), generator=torch.Generator().manual_seed(3)
    )
    assert found.images == 16
    assert found.robust == float((right & correct(teacher, x, y)).float().mean())
    assert found.robust < found.clean
    assert check(teacher, tiny_data, eps=0.0).robust == check(teacher, tiny_data, eps=0.0).clean


def test_a_teacher_without_robustness_is_noted(tiny_data: Data) -> None:
    torch.manual_seed(0)
    net = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    train(Standard(net), tiny_data, SETTINGS, progress=False)
    found = check(net, tiny_data, eps=0.5)
    assert found.robust < 0.05
    assert found.problems == ()
    assert found.notes == ("not robust: use it as a clean teacher only",)
    assert ("note", found.notes[0]) in found.rows()


def test_the_teacher_is_left_as_it_was(tiny_data: Data) -> None:
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 3)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    check(net, tiny_data)
    assert all(module.training for module in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())


def test_rows_are_for_people(teacher: nn.Module, tiny_data: Data) -> None:
    rows = dict(check(teacher, tiny_data, eps=8 / 255).rows())
    assert rows["images"] == "40"
    assert rows["clean accuracy"].endswith("%")
    assert "PGD-20 accuracy, Linf eps 0.03137" in rows
    assert len(rows["digest"]) == 16
