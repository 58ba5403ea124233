"""Training attacks that grow over the epochs."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.data import Data, load_data
from robustill.errors import InputError
from robustill.methods import ARD, IGDM, PGDAT, RSLAD, Standard
from robustill.models import build_model
from robustill.training import Interrupted, train
from robustill.training.growth import Growth


def network() -> nn.Module:
    torch.manual_seed(0)
    return build_model("cnn_small", num_classes=10, shape=(1, 8, 8))


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_data("digits", limit=96, validation=32)


@pytest.mark.parametrize(
    ("first", "last", "epochs", "steps"),
    [
        (1, 2, 3, [1, 1, 2]),
        (1, 3, 4, [1, 1, 2, 3]),
        (1, 10, 9, [1, 2, 3, 4, 5, 6, 7, 8, 10]),
        (1, 10, 10, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (1, 10, 11, [1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (1, 10, 5, [1, 3, 5, 7, 10]),
        (1, 10, 2, [1, 10]),
        (1, 10, 20, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10]),
        (4, 4, 2, [4, 4]),
        (1, 3, 1, [3]),
    ],
)
def test_equal_shares_of_the_epochs(first: int, last: int, epochs: int, steps: list[int]) -> None:
    method = PGDAT(network(), attack=PGD(eps=0.1, step_size=0.02, steps=last))
    growth, found = Growth(method, first), []
    for epoch in range(epochs):
        growth.begin_epoch(epoch, epochs)
        found.append(method.attack.steps)
    assert found == steps


@pytest.mark.parametrize("epochs", range(1, 30))
@pytest.mark.parametrize(("first", "last"), [(1, 10), (3, 7), (5, 5)])
def test_the_last_epoch_has_all_steps(first: int, last: int, epochs: int) -> None:
    method = PGDAT(nn.Linear(2, 2), attack=PGD(eps=0.1, step_size=0.02, steps=last))
    growth, found = Growth(method, first), []
    for epoch in range(epochs):
        growth.begin_epoch(epoch, epochs)
        found.append(method.attack.steps)
    assert found[-1] == last
    assert found == sorted(found)
    assert epochs == 1 or found[0] == first


def test_fewer_steps_are_longer_up_to_the_radius() -> None:
    method = PGDAT(network(), attack=PGD(eps=0.1, step_size=0.03, steps=6))
    growth, sizes = Growth(method, 1), []
    for epoch in range(6):
        growth.begin_epoch(epoch, 6)
        sizes.append(method.attack.step_size)
    assert sizes == pytest.approx([0.1, 0.09, 0.06, 0.045, 0.036, 0.03])
    assert (method.attack.eps, method.attack.init) == (0.1, "uniform")


def test_the_same_epoch_again_gives_the_same_attack() -> None:
    method = PGDAT(network(), attack=PGD(eps=0.1, step_size=0.02, steps=10))
    growth = Growth(method, 2)
    growth.begin_epoch(4, 5)
    growth.begin_epoch(1, 5)
    once = method.attack
    growth.begin_epoch(1, 5)
    assert method.attack == once != PGD(eps=0.1, step_size=0.02, steps=10)


def test_a_wrapped_method_grows_too() -> None:
    base = RSLAD(network(), network(), attack=PGD(eps=0.1, step_size=0.02, steps=8))
    Growth(IGDM(base), 2).begin_epoch(0, 10)
    assert base.attack.steps == 2


def test_without_it_attacks_stay() -> None:
    attack = PGD(eps=0.1, step_size=0.02, steps=8)
    method = ARD(network(), network(), attack=attack)
    Growth(method, None).begin_epoch(0, 10)
    assert method.attack is attack


@pytest.mark.parametrize(
    ("method", "first", "says"),
    [
        (Standard(network()), 1, "no adversary"),
        (PGDAT(network(), attack=PGD(eps=0.1, step_size=0.1, steps=2)), 3, "2 s"),
    ],
)
def test_what_cannot_grow(method: Any, first: int, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Growth(method, first)


class Counting(PGDAT):
    """Notes how many steps each batch was attacked with."""

    def perturb(self, x: Tensor, y: Tensor) -> Tensor:
        self.seen = [*getattr(self, "seen", []), self.attack.steps]
        return super().perturb(x, y)


def test_a_run_grows_and_goes_on_growing(digits: Data, tmp_path: Any) -> None:
    """Resumed in its second epoch, a run has the attacks of the second epoch."""
    how: dict[str, Any] = {"epochs": 3, "batch_size": 32, "first_attack_steps": 1, "progress": False}
    whole = Counting(network(), attack=PGD(eps=0.1, step_size=0.02, steps=3))
    train(whole, digits, **how)
    assert whole.seen == [1, 1, 2, 2, 3, 3]

    cut = Counting(network(), attack=PGD(eps=0.1, step_size=0.02, steps=3))
    cut.after_step = lambda: _stop(cut)  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        train(cut, digits, out=tmp_path, checkpoint_steps=1, **how)
    again = Counting(network(), attack=PGD(eps=0.1, step_size=0.02, steps=3))
    train(again, digits, out=tmp_path, resume=True, checkpoint_steps=1, **how)
    assert cut.seen + again.seen == whole.seen
    weights = zip(again.student.parameters(), whole.student.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


def _stop(method: Counting) -> None:
    if len(method.seen) == 3:
        import signal

        signal.raise_signal(signal.SIGTERM)


def test_the_same_method_goes_on_growing_after_an_interruption(digits: Data, tmp_path: Any) -> None:
    """Its attack is its own again wherever a run ends, so that the resumed run grows to the same one."""
    how: dict[str, Any] = {"epochs": 3, "batch_size": 32, "first_attack_steps": 1, "progress": False}
    attack = PGD(eps=0.1, step_size=0.02, steps=3)
    whole = Counting(network(), attack=attack)
    train(whole, digits, **how)
    assert whole.attack is attack

    cut = Counting(network(), attack=attack)
    cut.after_step = lambda: _stop(cut)  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        train(cut, digits, out=tmp_path, checkpoint_steps=1, **how)
    assert cut.attack is attack
    del cut.after_step
    train(cut, digits, out=tmp_path, resume=True, checkpoint_steps=1, **how)
    assert cut.seen == whole.seen == [1, 1, 2, 2, 3, 3]
    assert all(map(torch.equal, cut.student.parameters(), whole.student.parameters()))
