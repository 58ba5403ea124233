"""Teachers are asked about the training images once per run, and say what they would have said."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.data import Augment, Data
from robustill.data.splits import TensorSplit
from robustill.methods import KD, RSLAD, Method
from robustill.models import Frozen, build_model
from robustill.training import Settings, train
from robustill.training.answers import Answers

ATTACK = PGD(eps=0.05, step_size=0.02, steps=2)
# Before the first step: two images that show its logits, and all 96, to see that it does not guess.
BEFORE = 2 + 96


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_model("cnn_small", num_classes=3, shape=(1, 8, 8))


class Counting(nn.Module):
    """A teacher that notes how many images it was asked about; with `noise` it never gives the same answer twice."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__()
        self.inside, self.noise, self.images = network(1), noise, 0

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        logits: Tensor = self.inside(x)
        return logits + self.noise * torch.randn_like(logits)


def fit(method: Method, data: Data, **changes: Any) -> dict[str, Tensor]:
    plain = {"epochs": 3, "batch_size": 16, "optimizer": {"lr": 0.05}, "attack_view": False}
    result = train(method, data, Settings.model_validate({**plain, **changes}), progress=False)
    return {name: value.clone() for name, value in result.student_last.state_dict().items()}


@pytest.mark.parametrize("changes", [{}, {"attack_view": True}, {"micro_batches": 3}, {"channels_last": True}], ids=str)
def test_a_run_is_the_same_up_to_rounding(tiny_data: Data, changes: dict[str, Any]) -> None:
    runs = [
        fit(RSLAD(network(0), network(1), attack=ATTACK), tiny_data, **changes, remember_teachers=on)
        for on in (True, False)
    ]
    for name, value in runs[0].items():
        torch.testing.assert_close(value, runs[1][name], rtol=1e-3, atol=1e-4)
    assert not torch.equal(value, network(0).state_dict()[name])


@pytest.mark.parametrize(
    ("changes", "epochs_asked"),
    [({}, 1), ({"remember_teachers": False}, 3), ({"epochs": 1}, 1), ({"epochs": 5}, 1), ({"micro_batches": 4}, 1)],
    ids=str,
)
def test_how_often_a_teacher_is_asked(tiny_data: Data, changes: dict[str, Any], epochs_asked: int) -> None:
    teacher = Counting()
    fit(RSLAD(network(0), teacher, attack=ATTACK), tiny_data, **changes)
    remembers = changes.get("remember_teachers", True) and changes.get("epochs", 3) > 1
    # Besides: what is asked before, and the first batch again, to see that it does not draw.
    again = 16 // changes.get("micro_batches", 1) if remembers else 0
    assert teacher.images == BEFORE + again + epochs_asked * len(tiny_data.train)


def test_augmented_or_streamed_images_are_shown_each_time(tiny_data: Data) -> None:
    data = tiny_data
    moved = Data(data.name, data.class_names, data.train, data.validation, data.test, augment=Augment(flip=True))
    teacher = Counting()
    fit(KD(network(0), teacher), moved)
    assert teacher.images == BEFORE + 3 * len(data.train)
    assert Answers(data, Settings()).on
    assert not Answers(moved, Settings()).on
    assert not Answers(data, Settings(epochs=1)).on


def test_a_teacher_that_draws_is_asked_each_time(tiny_data: Data) -> None:
    results = []
    for on in (True, False):
        teacher = Counting(noise=0.1)
        results.append(fit(KD(network(0), teacher), tiny_data, remember_teachers=on))
        assert teacher.images == BEFORE + 3 * len(tiny_data.train) + (32 if on else 0)
    # The attempt leaves the global generator as it was.
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def walk(data: Data, frozen: Frozen, answers: Answers, epoch: int, start: int = 0) -> list[bool]:
    """Ask about each batch of an epoch and say where the answer is that of the network."""
    right = []
    settings = answers.settings
    batches = data.batches(epoch, batch_size=settings.batch_size, seed=settings.seed, start=start)
    for (x, _), rows in zip(batches, answers.order(epoch, start), strict=True):
        answers.begin(rows)
        answers.expect(x, slice(0, len(x)))
        right.append(bool(torch.allclose(frozen(x), frozen.network(x), atol=1e-5)))
    return right


def remembered(data: Data) -> tuple[Frozen, Answers]:
    answers = Answers(data, Settings(batch_size=13, seed=4))
    frozen = Frozen(Counting())
    frozen.use(answers.of(frozen.network, frozen.network))
    return frozen, answers


def test_answers_belong_to_their_images(tiny_data: Data) -> None:
    assert isinstance(tiny_data.train, TensorSplit)
    frozen, answers = remembered(tiny_data)
    for epoch, start in ((0, 0), (1, 0), (2, 3), (7, 7)):
        right = walk(tiny_data, frozen, answers, epoch, start)
        assert right == [True] * (8 - start)


def test_other_images_are_computed(tiny_data: Data) -> None:
    frozen, answers = remembered(tiny_data)
    walk(tiny_data, frozen, answers, 0)
    x, _ = next(iter(tiny_data.batches(0, batch_size=13, seed=4)))
    answers.begin(next(answers.order(0, 0)))
    answers.expect(x, slice(0, 13))
    # Perturbed, or the same values in another tensor: only the tensor that was announced is known.
    for other in (x + 0.05, x.flip(0), x.clone()):
        before = frozen.network.images
        torch.testing.assert_close(frozen(other), frozen.network(other))
        assert frozen.network.images == before + 26


def test_a_teacher_that_changes_is_asked_again(tiny_data: Data) -> None:
    frozen, answers = remembered(tiny_data)
    assert all(walk(tiny_data, frozen, answers, 0))
    with torch.no_grad():
        for weight in frozen.network.parameters():
            weight.mul_(1.5)
    assert all(walk(tiny_data, frozen, answers, 1))


def test_another_precision_is_another_answer(tiny_data: Data) -> None:
    frozen, answers = remembered(tiny_data)
    walk(tiny_data, frozen, answers, 0)
    x, _ = next(iter(tiny_data.batches(0, batch_size=13, seed=4)))
    answers.begin(next(answers.order(0, 0)))
    answers.expect(x, slice(0, 13))
    with torch.autocast("cpu", torch.bfloat16):
        assert frozen(x).dtype == torch.bfloat16


def test_too_many_numbers_are_not_kept(tiny_data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robustill.training.answers._MOST", 3 * len(tiny_data.train) - 1)
    frozen, answers = remembered(tiny_data)
    before = frozen.network.images
    assert all(walk(tiny_data, frozen, answers, 0))
    assert frozen.network.images - before == 3 * len(tiny_data.train) - len(tiny_data.train) + 26


def test_what_is_known_is_no_part_of_the_method(tiny_data: Data) -> None:
    method = RSLAD(network(0), network(1), attack=ATTACK)
    names, weights = list(method.state_dict()), len(list(method.parameters()))
    fit(method, tiny_data)
    assert list(method.state_dict()) == names
    assert len(list(method.parameters())) == weights
