"""What the references are shown, in which mode, and what is kept of it."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import correct, named_attack, stays_correct
from robustill.data import Augment, Data
from robustill.diagnostics.learnability import Learnability, unlearnable
from robustill.diagnostics.learnability.find import check_attack
from robustill.errors import InputError
from robustill.evaluation.store import example_generators

EPS = 0.16


class Templates(nn.Module):
    """Right on `tiny_data`: the brightest rows name the class; counts how often it is asked."""

    def __init__(self, seed: int = 0, noise: float = 0.6) -> None:
        super().__init__()
        drawn = torch.randn(3, 64, generator=torch.Generator().manual_seed(seed))
        blocks = torch.zeros(3, 8, 8)
        for c in range(3):
            blocks[c, 3 * c : 3 * c + 2] = 1
        self.weight = nn.Parameter(blocks.reshape(3, 64) + noise * drawn)
        self.norm = nn.BatchNorm1d(3, affine=False)
        self.drop = nn.Dropout(0.5)
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += len(x)
        logits: Tensor = self.drop(self.norm(x.flatten(1) @ self.weight.T))
        return logits


def models(count: int = 3) -> dict[str, nn.Module]:
    return {f"t/{k}": Templates(k) for k in range(count)}


def found(data: Data, references: dict[str, nn.Module] | None = None, **changes: Any) -> Learnability:
    return unlearnable(references or models(), data, **{"eps": EPS, "progress": False, **changes})


def test_verdicts_are_those_of_each_model_attacked_by_itself(tiny_data: Data) -> None:
    own, result = models(), found(tiny_data)
    x, y = next(iter(tiny_data.train.batches(1000)))
    assert len(x) == len(result.labels) == 96
    attack = named_attack("pgd10", eps=EPS)
    for k, model in enumerate(own.values()):
        draws = example_generators(0, "pgd10", range(96))
        right = correct(model, x, y)
        right &= stays_correct(model, x, y, attack, generator=draws)
        assert torch.equal(result.right[k], right)
        assert 0 < int(right.sum()) < 96
    with torch.no_grad():
        p = torch.stack([each.eval()(x).softmax(1)[range(96), y] for each in own.values()])
    assert torch.allclose(result.belief, p.mean(0), atol=1e-6)


class Shy(Templates):
    """Wrong on the very images of the data, right as soon as they are perturbed."""

    def forward(self, x: Tensor) -> Tensor:
        grey = x * 255
        perturbed = ((grey - grey.round()).abs().flatten(1).amax(1) > 1e-3).float()[:, None]
        return super().forward(x) * (2 * perturbed - 1)


def test_what_is_wrong_without_an_attack_is_wrong_under_it(tiny_data: Data) -> None:
    model = Shy(noise=0.0)
    x, y = next(iter(tiny_data.train.batches(1000)))
    assert not bool(correct(model, x, y).any())
    assert bool(correct(model, x + 0.001, y).all())
    assert found(tiny_data, {"a": model}, eps=0.001).score.tolist() == [0] * 96


def test_the_order_of_references_and_the_batch_size_change_nothing(tiny_data: Data) -> None:
    one, own = found(tiny_data), models()
    other = found(tiny_data, dict(reversed(own.items())), batch_size=7)
    assert other.references == one.references[::-1]
    assert torch.equal(other.right.flip(0), one.right)
    assert torch.equal(other.unlearnable(), one.unlearnable())
    assert torch.equal(other.agreed, one.agreed)


def test_images_are_clean_training_images_in_order_without_augmentation(tiny_data: Data) -> None:
    wild = Data(
        tiny_data.name, tiny_data.class_names, tiny_data.train, tiny_data.validation, tiny_data.test, Augment(3, True)
    )
    one, other = found(tiny_data), found(wild)
    assert torch.equal(one.right, other.right)
    assert one.index.tolist() == list(range(96))
    assert torch.equal(one.labels, tiny_data.train.labels)
    assert torch.equal(one.rows, tiny_data.train.indices)
    assert not torch.equal(one.rows, one.index), "the validation split was taken out of the middle"


def test_references_are_in_eval_mode_and_left_as_they_were(tiny_data: Data) -> None:
    quiet, loud = Templates().eval(), Templates().train()
    before = copy.deepcopy(loud.state_dict())
    one, other = found(tiny_data, {"a": quiet}), found(tiny_data, {"a": loud})
    assert torch.equal(one.right, other.right)
    assert loud.training
    assert loud.drop.training
    assert all(torch.equal(value, before[name]) for name, value in loud.state_dict().items())


def test_some_images_of_each_class(tiny_data: Data) -> None:
    whole, some = found(tiny_data), found(tiny_data, images=30)
    assert torch.bincount(some.labels).tolist() == [10, 10, 10]
    assert torch.equal(some.right, whole.right[:, some.index])


def test_label_errors_need_every_witness(tiny_data: Data) -> None:
    images, labels = tiny_data.train.images(torch.arange(96)), tiny_data.train.labels.clone()
    labels[5] = (labels[5] + 1) % 3
    data = Data.from_arrays((images, labels), (images, labels), validation=0, class_names=["a", "b", "c"])
    positions, classes = found(data, eps=0.01).label_errors()
    assert positions.tolist() == [5]
    assert classes.tolist() == [(int(labels[5]) + 2) % 3]

    class Blunt(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.flatten(1))

    stubborn = Blunt(64, 3)
    nn.init.zeros_(stubborn.weight)
    nn.init.constant_(stubborn.bias, -2.0)
    stubborn.bias.data[int(labels[5])] = 5.0
    asked = found(data, eps=0.01, teachers={"t": stubborn})
    assert asked.label_errors()[0].tolist() == []
    assert asked.about["teachers_asked"] == ["t"]


def test_verdicts_are_kept(tiny_data: Data, tmp_path: Path) -> None:
    model = Templates()
    one = found(tiny_data, {"a": model}, out=tmp_path)
    first, model.asked = model.asked, 0
    again = found(tiny_data, {"other name": model}, out=tmp_path)
    assert torch.equal(one.right, again.right)
    assert model.asked == first - 2 * 96, "it is only asked what it sees without an attack"
    assert len(list(tmp_path.rglob("verdicts.safetensors"))) == 1
    other = found(tiny_data, {"a": model}, eps=0.12, out=tmp_path)
    assert not torch.equal(other.right, one.right)
    assert not list(tmp_path.rglob("*.old*")), "another radius has a place of its own"
    assert torch.equal(found(tiny_data, {"a": model}, out=tmp_path).right, one.right)


def test_all_that_defines_the_set_is_kept_with_it(tiny_data: Data) -> None:
    about = found(tiny_data, eps=0.07, norm="L2", attack="pgd5", checkpoint_rule="last").about
    assert about["data_digest"] == tiny_data.digest
    assert (about["eps"], about["norm"], about["attack"], about["checkpoint_rule"]) == (0.07, "L2", "pgd5", "last")
    assert list(about["reference_digests"]) == ["t/0", "t/1", "t/2"]


def test_mistakes(tiny_data: Data) -> None:
    with pytest.raises(InputError, match="no reference models"):
        unlearnable({}, tiny_data, eps=0.1)
    with pytest.raises(InputError, match="pgd10"):
        check_attack("pdg10", 0.1, "Linf")
    with pytest.raises(InputError, match="8/255"):
        check_attack("pgd10", 8.0, "Linf")
    check_attack("pgd10", 2.0, "L2")
