"""A softened teacher: which images, how soft, and that no other image is ever meant."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD, Objective
from robustill.data import Augment, Data
from robustill.errors import CheckpointError, DataError, InputError, RecipeError
from robustill.losses import entropy, kl_div
from robustill.methods import ARD, IGDM, PGDAT, RSLAD, FairARD, Method, Soften, VFDAdv
from robustill.methods.base import AdversarialMethod, Loss
from robustill.methods.soften_rows import Rows
from robustill.methods.soften_target import softened
from robustill.models import Frozen, build_model
from robustill.recipe import parse_recipe
from robustill.training import Settings, train
from robustill.training.run import Run
from tests.methods.tiny import ATTACK, batch, conv, conv_bn, linear
from tests.recipe.tables import tree
from tests.reference.losses import rows as split
from tests.reference.softened import cooled

STEP = PGD(eps=1e-4, step_size=1e-4, steps=1, init="none")
CHOSEN = tuple(range(0, 120, 7))


class Sure(nn.Module):
    """Sure of class 0, whatever it sees."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tensor([[10.0, 0.0, 0.0]]).expand(len(x), 3).contiguous()


class Spy(AdversarialMethod):
    """Notes which image got which answer of its teacher, in the attack and in the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.student, self.teacher, self.attack = small(), Frozen(Sure()), STEP
        self.seen: list[tuple[int, bool]] = []

    def note(self, x: Tensor) -> Tensor:
        answers = self.teacher(x)
        images = (x[:, 0, 3, 3] * 255).round().long()
        self.seen += zip(images.tolist(), (answers == 0).all(1).tolist(), strict=True)
        return answers

    def inner(self, x: Tensor, y: Tensor) -> Objective:
        return lambda x_adv: kl_div(self.student(x_adv), self.note(x_adv))

    def outer(self, x: Tensor, x_adv: Tensor, y: Tensor) -> Loss:
        nat = kl_div(self.student(x_adv), self.note(x)) + self.note(x_adv).sum(1)
        return Loss(nat, {"nat": nat})


def small() -> nn.Module:
    torch.manual_seed(0)
    return build_model("cnn_small", num_classes=3, shape=(1, 8, 8))


@pytest.fixture
def numbered() -> Data:
    """120 training images, each of the brightness of its row; 24 are held out."""
    images = np.arange(120, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 8, 8), dtype=np.uint8)
    part = (images, np.arange(120) % 3)
    return Data.from_arrays(part, part, validation=0.2)


def fit(method: Method, data: Data, **changes: Any) -> Any:
    plain = {"epochs": 2, "batch_size": 10, "optimizer": {"lr": 1e-3}, "attack_view": False}
    return train(method, data, Settings.model_validate({**plain, **changes}), progress=False, out=changes.get("out"))


def check_seen(spy: Spy, data: Data, chosen: set[int]) -> None:
    assert {image for image, _ in spy.seen} == set(data.train.indices.tolist())
    assert all(soft == (image in chosen) for image, soft in spy.seen)


@pytest.mark.parametrize(
    ("changes", "augment"),
    [
        ({}, Augment()),
        ({"remember_teachers": False}, Augment()),
        ({"micro_batches": 3}, Augment()),
        ({"awp": {"gamma": 0.01}}, Augment()),
        ({"attack_view": True}, Augment()),
        ({}, Augment(crop=2, flip=True)),
        ({"micro_batches": 4}, Augment(flip=True)),
    ],
    ids=str,
)
def test_exactly_the_chosen_images_are_softened(numbered: Data, changes: dict[str, Any], augment: Augment) -> None:
    numbered.augment, spy = augment, Spy()
    fit(Soften(spy, subset=CHOSEN, mode="uniform"), numbered, **changes)
    check_seen(spy, numbered, set(CHOSEN))
    assert len(spy.seen) >= 2 * 3 * 96, "two epochs, once in the attack and twice in the loss"


def test_a_wrapper_around_it_keeps_it_in_the_attack_too(numbered: Data) -> None:
    spy = Spy()
    fit(FairARD(Soften(spy, subset=CHOSEN, mode="uniform")), numbered)
    check_seen(spy, numbered, set(CHOSEN))


def test_a_run_that_was_cut_off_inside_an_epoch_softens_the_same(
    numbered: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, left = Run._train_step, iter(range(100))

    def dying(self: Run, x: Tensor, y: Tensor) -> None:
        if next(left) == 13:
            raise KeyboardInterrupt
        step(self, x, y)

    settings = Settings.model_validate({"epochs": 2, "batch_size": 10, "checkpoint_steps": 1, "attack_view": False})
    monkeypatch.setattr(Run, "_train_step", dying)
    first, second = Spy(), Spy()
    with pytest.raises(KeyboardInterrupt):
        train(Soften(first, subset=CHOSEN, mode="uniform"), numbered, settings, out=tmp_path, progress=False)
    monkeypatch.undo()
    other = Soften(Spy(), subset=CHOSEN[1:], mode="uniform")
    with pytest.raises(CheckpointError, match="softened other images"):
        train(other, numbered, settings, out=tmp_path, progress=False, resume=True)
    train(Soften(second, subset=CHOSEN, mode="uniform"), numbered, settings, out=tmp_path, progress=False, resume=True)
    first.seen += second.seen
    check_seen(first, numbered, set(CHOSEN))
    assert len(second.seen) == 3 * (192 - 96 - 30)


def test_the_placebo_is_softened_instead(numbered: Data) -> None:
    spy = Spy()
    method = Soften(spy, subset=CHOSEN, mode="uniform", placebo=True, seed=3)
    fit(method, numbered)
    soft = {image for image, is_soft in spy.seen if is_soft}
    check_seen(spy, numbered, soft)
    held_in = set(numbered.train.indices.tolist()) & set(CHOSEN)
    assert not soft & set(CHOSEN)
    assert sorted(image % 3 for image in soft) == sorted(image % 3 for image in held_in)
    again, other = Spy(), Spy()
    fit(Soften(again, subset=CHOSEN, mode="uniform", placebo=True, seed=3), numbered)
    fit(Soften(other, subset=CHOSEN, mode="uniform", placebo=True, seed=4), numbered)
    assert {image for image, is_soft in again.seen if is_soft} == soft
    assert {image for image, is_soft in other.seen if is_soft} != soft


def test_a_placebo_that_cannot_be(numbered: Data) -> None:
    with pytest.raises(DataError, match=r"class 1 has 32 images of the subset and 0 others"):
        fit(Soften(Spy(), subset=[row for row in range(120) if row % 3 == 1], placebo=True), numbered)
    with pytest.raises(InputError, match="a placebo of all images is none"):
        Soften(Spy(), placebo=True)


def test_a_batch_that_nobody_announced_is_an_error(numbered: Data) -> None:
    method = Soften(Spy(), subset=CHOSEN)
    x, y = next(iter(numbered.batches(0, batch_size=10)))
    with pytest.raises(InputError, match="was not told which training images"):
        method(x, y)
    method.begin_run(numbered.train)
    with pytest.raises(InputError, match="was not told"):
        method(x, y)
    method.expect(x, torch.arange(10))
    method(x, y)
    with pytest.raises(InputError, match="was not told"):
        method(x.clone(), y)


def test_outside_of_the_method_the_teacher_is_itself() -> None:
    method = Soften(RSLAD(conv(0), Sure(), attack=ATTACK), mode="uniform")
    x, y = batch()
    objective = method.inner(x, y)
    assert method.base.teacher(x)[0, 0] == 10  # type: ignore[operator, union-attr]
    inside = objective(x)
    torch.testing.assert_close(inside, kl_div(method.student(x), torch.zeros(6, 3)))
    with pytest.raises(RuntimeError):
        objective(x[:, :, :2])
    assert method.base.teacher(x)[0, 0] == 10  # type: ignore[operator, union-attr]
    assert not method.base.teacher._forward_hooks  # type: ignore[union-attr]


def test_a_control_with_original_answers_changes_nothing(numbered: Data) -> None:
    def student(method: Method) -> list[Tensor]:
        return list(fit(method, numbered).student_last.parameters())

    plain = student(RSLAD(small(), Sure(), attack=STEP))
    control = student(Soften(RSLAD(small(), Sure(), attack=STEP), subset=CHOSEN, mode="original"))
    soft = student(Soften(RSLAD(small(), Sure(), attack=STEP), subset=CHOSEN, mode="uniform"))
    assert all(torch.equal(a, b) for a, b in zip(plain, control, strict=True))
    assert not torch.equal(plain[0], soft[0])


LOGITS = torch.tensor([[9.0, 1.0, 0.0], [0.3, 0.2, 0.1], [-50.0, 60.0, 0.0], [0.0, 3.0, 3.0]], dtype=torch.float64)
LABELS = torch.tensor([2, 0, 1, 0])


@pytest.mark.parametrize("least", [0.2, 0.9, 1.09])
def test_entropy_is_reached_and_no_more(least: float) -> None:
    found = softened(LOGITS, LABELS, mode="entropy", entropy=least)
    for ours, z in zip(split(found), split(LOGITS), strict=True):
        torch.testing.assert_close(torch.stack(ours), torch.stack(cooled(z, least)), rtol=2e-4, atol=1e-9)
    unsure = entropy(LOGITS) >= least
    assert unsure.tolist() == [False, True, False, least < 0.9]
    assert torch.equal(found[unsure], LOGITS[unsure])
    assert bool((entropy(found) >= least - 1e-12).all())
    assert bool((entropy(softened(LOGITS.float(), LABELS, mode="entropy", entropy=least)) >= least - 1e-6).all())


def test_entropy_at_a_temperature_is_that_of_what_the_loss_reads() -> None:
    found = softened(LOGITS, LABELS, mode="entropy", entropy=0.9, temperature=4.0)
    torch.testing.assert_close(entropy(found[2:3] / 4), torch.tensor([0.9], dtype=torch.float64))


@pytest.mark.parametrize("t", [1.0, 30.0])
def test_the_other_modes_are_distributions(t: float) -> None:
    def read(**given: Any) -> Tensor:
        return (softened(LOGITS, LABELS, temperature=t, **given) / t).softmax(1)

    q = (LOGITS / t).softmax(1)
    torch.testing.assert_close(read(mode="mix", lam=0.25), 0.75 * q + 0.25 / 3)
    torch.testing.assert_close(read(mode="mix", lam=1.0), torch.full_like(q, 1 / 3))
    assert torch.equal(read(mode="uniform"), read(mode="mix", lam=1.0))
    torch.testing.assert_close(read(mode="one_hot"), torch.eye(3, dtype=torch.float64)[LABELS])
    assert torch.equal(read(mode="original"), q)
    assert torch.equal(read(mode="mix", lam=0.0), q)


def test_impossible_settings() -> None:
    base = RSLAD(conv(0), conv(1), attack=ATTACK)
    for given, message in (
        ({"mode": "onehot"}, "no mode 'onehot'.*\n.*one_hot"),
        ({"lam": 1.5}, "lam = 1.5"),
        ({"lam": math.nan}, "lam = nan"),
        ({"entropy": -1.0}, "entropy = -1"),
    ):
        with pytest.raises(InputError, match=message):
            Soften(base, **given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Soften needs a frozen teacher, and PGDAT has none"):
        Soften(PGDAT(conv(0)))
    with pytest.raises(InputError, match=r"entropy = 1.2, but 3 classes have 1.099 nats at most"):
        Soften(base, mode="entropy", entropy=1.2)(*batch())


def test_its_temperature_is_that_of_what_it_wraps() -> None:
    assert Soften(ARD(conv(0), conv(1))).temperature == 30
    assert Soften(IGDM(ARD(conv(0), conv(1), temperature=5.0))).temperature == 5
    assert Soften(RSLAD(conv(0), conv(1))).temperature == 1
    assert Soften(ARD(conv(0), conv(1)), temperature=2.0).temperature == 2


def test_a_teacher_of_features_alone_is_warned_of() -> None:
    method = Soften(VFDAdv(PGDAT(conv_bn(0), attack=ATTACK), conv_bn(1))).train()
    method(*batch())
    with pytest.warns(UserWarning, match="VFDAdv never asked a frozen teacher for its logits"):
        method.end_epoch()
    useful = Soften(RSLAD(linear(0), linear(1), attack=ATTACK)).train()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        useful.end_epoch()
        useful(*batch())
        useful.end_epoch()


def test_rows_that_are_no_training_images(numbered: Data) -> None:
    held_out = sorted(set(range(120)) - set(numbered.train.indices.tolist()))
    with pytest.raises(DataError, match="none of its 24 rows is among the 96 training images"):
        Rows(torch.tensor(held_out)).find(numbered.train)
    with pytest.raises(DataError, match="below 0"):
        Soften(Spy(), subset=[-1, 3])
    with pytest.raises(DataError, match="int64 vector"):
        Soften(Spy(), subset=torch.zeros(3))


def test_in_a_recipe(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from tests.recipe.tables import teacher

    save_file({"unlearnable": torch.tensor([5, 2, 5])}, tmp_path / "set.safetensors")
    table = {"name": "soften", "mode": "one_hot", "subset": str(tmp_path / "set.safetensors"), "placebo": True}
    networks = {"teacher": str(teacher(tmp_path / "t.safetensors"))}
    base = {"base": {"name": "ard", "temperature": 7}}
    method: Any = parse_recipe(tree({**table, **base, "lam": "1/4", "seed": 2}, networks)).build()[0]
    assert (type(method), type(method.base), method.mode, method.lam) == (Soften, ARD, "one_hot", 0.25)
    assert (method.rows.unlearnable.tolist(), method.placebo, method.seed, method.temperature) == ([2, 5], True, 2, 7)
    for wrong, message in (
        ({"mode": "onehot"}, "method.mode: 'onehot' is no value for .*\n.*did you mean 'one_hot'"),
        ({"mode": 3}, "method.mode: 3 is no value"),
        ({"subset": 3}, "method.subset: 3 is no value"),
        ({"subset": True}, "method.subset: True is no value"),
        ({"placebo": "yes"}, "method.placebo: 'yes' is no value"),
    ):
        with pytest.raises(RecipeError, match=message):
            parse_recipe(tree({**table, **base, **wrong}, networks)).build()
