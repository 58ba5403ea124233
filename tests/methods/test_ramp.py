"""What rises during a run: its value at every step, whatever interrupts the run."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from robustill.errors import InputError
from robustill.methods import IBP, IGDM, FaithfulDistillation
from robustill.methods.ramp import Ramp
from tests.methods.tiny import ATTACK, batch, conv_bn, teacher


def drive(ramp: Ramp, epochs: int, steps: int, pause: Callable[[Ramp], Ramp] | None = None) -> list[float]:
    """Return the value before each step of a run; `pause` replaces the ramp before each."""
    values = []
    for epoch in range(epochs):
        ramp.begin_epoch(epoch, epochs)
        for _ in range(steps):
            if pause is not None:
                ramp = pause(ramp)
                ramp.begin_epoch(epoch, epochs)
            values.append(ramp.value)
            ramp.step()
        ramp.end_epoch()
    return values


def test_it_rises_with_every_step() -> None:
    values = drive(Ramp(0.2, 0.4), 10, 5)
    expected = [min(1.0, max(0.0, (step / 50 - 0.2) / 0.4)) for step in range(50)]
    assert values == pytest.approx(expected, abs=1e-12)


def test_it_waits_for_the_second_epoch() -> None:
    assert drive(Ramp(0.0, 0.5), 4, 2) == [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_it_ends_with_the_run() -> None:
    assert drive(Ramp(0.0, 1.0), 2, 4) == [0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.75]


def test_without_a_length_it_jumps() -> None:
    assert drive(Ramp(0.5, 0.0), 4, 1) == [0.0, 0.0, 1.0, 1.0]


def test_a_run_of_one_epoch_has_no_rise() -> None:
    assert drive(Ramp(0.2, 0.5), 1, 3) == [1.0, 1.0, 1.0]
    assert Ramp(0.2, 0.5).value == 1.0


def test_an_interruption_before_any_step_changes_nothing() -> None:
    def resumed(ramp: Ramp) -> Ramp:
        fresh = Ramp(0.1, 0.6)
        fresh.load_state_dict(copy.deepcopy(ramp.state_dict()))
        return fresh

    straight = drive(Ramp(0.1, 0.6), 5, 3)
    assert drive(Ramp(0.1, 0.6), 5, 3, resumed) == straight
    assert len(set(straight)) > 8


def test_beginning_an_epoch_again_counts_nothing_twice() -> None:
    assert drive(Ramp(0.1, 0.6), 5, 3, lambda ramp: ramp) == drive(Ramp(0.1, 0.6), 5, 3)


def test_a_longer_last_batch_of_steps_does_not_go_beyond_the_epoch() -> None:
    ramp = Ramp(0.0, 1.0)
    drive(ramp, 1, 2)
    ramp.begin_epoch(1, 4)
    for _ in range(5):
        ramp.step()
    assert ramp.value == pytest.approx(1 / 3)


@pytest.mark.parametrize(("start", "length"), [(-0.1, 0.5), (1.0, 0.0), (0.6, 0.5), (0.1, -0.2), (float("nan"), 0.1)])
def test_shares_that_are_none(start: float, length: float) -> None:
    with pytest.raises(InputError, match="shares of one run"):
        Ramp(start, length)


def test_parts_of_a_batch_are_one_step() -> None:
    method = IBP(conv_bn(0), eps=0.02)
    method.begin_epoch(0, 1.0, 3)
    for _ in range(2):
        method(*batch(4))
    method.after_step()
    method.end_epoch()
    assert int(method.rise.per_epoch) == 1


def test_a_wrapper_lets_it_rise() -> None:
    inside = FaithfulDistillation(conv_bn(0), teacher(1), cert_eps=0.02, ramp=0.5, attack=ATTACK)
    method = IGDM(inside)
    found = []
    for epoch in range(4):
        method.begin_epoch(epoch, 1.0, 4)
        for _ in range(2):
            found.append(inside.rise.value)
            method.after_step()
        method.end_epoch()
    assert found == [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
