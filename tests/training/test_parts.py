"""A batch learned in parts: the gradient of the whole, and a refusal where there is none such."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.data import Data
from robustill.errors import InputError
from robustill.methods import DGAD, IGDM, METHODS, PGDAT, RSLAD, SAAD, Method, Standard
from robustill.methods.base import AdversarialMethod
from robustill.models import build_model
from robustill.training import AWP, Settings, train
from robustill.training.answers import Answers
from robustill.training.device import accelerator_for
from robustill.training.parts import backward, check_micro_batches, parts
from tests.methods.test_contract import CASES
from tests.methods.tiny import batch, conv, linear


@dataclass(frozen=True, kw_only=True)
class Fixed(PGD):
    """Starts where the image itself says: in double precision, the attack on parts is that on the whole."""

    def _start(self, x: Tensor, region: Any, generator: Any) -> Tensor:
        return x + 0.02 * torch.sin(40 * x)


ATTACK = Fixed(eps=0.1, step_size=0.03, steps=2)
REFUSED = {"mtard", "bmtard", "ciard", "saad"}


def build(name: str) -> Method:
    method = CASES[name](conv(0), conv(1), conv(2)).double().train()
    if isinstance(method, AdversarialMethod):
        method.attack = ATTACK
    method.begin_epoch(0, 1.0, 2)
    return method


def learn(method: Method, count: int, *, size: int = 7, loss_scale: float = 1.0) -> tuple[Tensor, dict[str, Tensor]]:
    settings = Settings(device="cpu", micro_batches=count, loss_scale=loss_scale)
    x, y = batch(size, dtype=torch.float64)
    data = Data.from_arrays(*2 * ((torch.zeros(9, 1, 4, 4, dtype=torch.uint8), torch.arange(9) % 3),))
    return backward(method, x, y, settings, accelerator_for(settings), Answers(data, settings))


def state(method: Method) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in method.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.allclose(value, b[name], rtol=1e-9, atol=1e-12) for name, value in a.items())


@pytest.mark.parametrize("count", [2, 3, 100])
@pytest.mark.parametrize("name", METHODS)
def test_parts_give_the_gradient_of_the_whole_or_are_refused(name: str, count: int) -> None:
    torch.manual_seed(0)
    whole = build(name)
    several = copy.deepcopy(whole)
    (one, terms), (other, again) = learn(whole, 1), learn(several, count)
    pairs = zip(whole.parameters(), several.parameters(), strict=True)
    equal = all(a.grad is None or torch.allclose(a.grad, b.grad, rtol=1e-9, atol=1e-12) for a, b in pairs)
    equal = equal and same(state(whole), state(several)) and bool(torch.isclose(one, other, rtol=1e-9))
    assert equal == (name not in REFUSED)
    if equal:
        check_micro_batches(whole, Settings(micro_batches=count, batch_size=200))
        # The lowest weight of a class and the like are no means over examples, but none depends on the batch.
        assert same(terms, again)
    else:
        with pytest.raises(InputError, match="whole batch"):
            check_micro_batches(whole, Settings(micro_batches=count, batch_size=200))
    check_micro_batches(whole, Settings())


def test_the_loss_is_scaled_once() -> None:
    one, other = build("rslad"), build("rslad")
    assert float(learn(one, 1)[0]) == pytest.approx(float(learn(other, 3, loss_scale=0.1)[0]))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(0.1 * a.grad, b.grad)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (lambda: IGDM(SAAD(linear(0), linear(1))), "SAAD weighs"),
        (lambda: DGAD(linear(0), linear(1), legacy_mnv2=True), "legacy_mnv2"),
        (lambda: AWP(PGDAT(linear(0)), gamma=0.01), "AWP shifts"),
    ],
    ids=["inside a wrapper", "an option", "awp"],
)
def test_what_looks_at_the_batch_is_found(method: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_micro_batches(method(), Settings(micro_batches=2))


def test_legacy_dgad_is_not_the_same_in_parts() -> None:
    def make() -> Method:
        torch.manual_seed(1)
        method = DGAD(conv(0), conv(1), legacy_mnv2=True, attack=ATTACK)
        return method.double().train()

    one, other = make(), make()
    learn(one, 1, size=9)
    learn(other, 3, size=9)
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert not all(torch.allclose(a.grad, b.grad, rtol=1e-3) for a, b in pairs)


def test_sizes_of_parts() -> None:
    for size in (1, 5, 6, 7, 64):
        for count in (1, 2, 6, 9):
            cut = list(parts(size, count))
            assert len(cut) == min(size, count)
            assert [i for part in cut for i in range(part.start, part.stop)] == list(range(size))
            lengths = [part.stop - part.start for part in cut]
            assert max(lengths) - min(lengths) <= 1


def fit(data: Data, count: int, student: str = "cnn_small") -> dict[str, Tensor]:
    torch.manual_seed(3)
    networks = [build_model(student, num_classes=3, shape=(1, 8, 8)) for _ in range(2)]
    attack = PGD(eps=0.05, step_size=0.02, steps=2, init="none")
    settings = {"epochs": 2, "batch_size": 36, "optimizer": {"lr": 0.02}, "clip_norm": 1.0, "micro_batches": count}
    result = train(RSLAD(*networks, attack=attack), data, Settings.model_validate(settings), progress=False)
    return result.student_last.state_dict()


def test_a_run_in_parts_ends_at_the_same_weights(tiny_data: Data) -> None:
    whole, several = fit(tiny_data, 1), fit(tiny_data, 4)
    for name, value in whole.items():
        torch.testing.assert_close(several[name], value, rtol=1e-3, atol=1e-4)


def test_no_part_is_larger_than_asked_for(tiny_data: Data) -> None:
    class Sizes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
            self.seen: list[int] = []

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                self.seen.append(len(x))
            logits: Tensor = self.inside(x)
            return logits

    student = Sizes()
    data = Data(tiny_data.name, tiny_data.class_names, tiny_data.train, None, tiny_data.test)
    settings = Settings.model_validate({"epochs": 1, "batch_size": 40, "micro_batches": 4})
    train(Standard(student), data, settings, progress=False)
    assert student.seen == [10, 10, 10, 10, 10, 10, 10, 10, 4, 4, 4, 4]


def test_more_parts_than_examples(tiny_data: Data) -> None:
    with pytest.raises(InputError, match=r"micro_batches = 17 is more than batch_size = 16"):
        train(Standard(linear(0)), tiny_data, batch_size=16, micro_batches=17, progress=False)
