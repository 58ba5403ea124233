"""One step, one attack and the data, against loops over samples that keep their signal along `v`."""

import math

import pytest
import torch
from torch import Tensor

from robustill.theory import Case, Settings, Teacher
from robustill.theory.attack import stands
from robustill.theory.batch import advance, draw_batch
from robustill.theory.samples import along_u
from robustill.theory.students import Students, cubed, draw_students
from tests.reference import theory as reference

SMALL = {"dimension": 6, "patches": 3, "train": 5, "test": 9, "filters": 3, "init": 0.3, "noise": 0.5, "alpha": 2.0}
CASE = Case(Teacher("t", 1.0, 3.0), 0.4, 3)


def settings(regime: str) -> Settings:
    return Settings(regime=regime, lr=0.05, steps=3, **SMALL)


def split(students: Students, run: int = 0) -> list[Tensor]:
    """Return the filters of each logit `[m, d]`."""
    columns = students.weights[run].T.clone()
    return [columns] if students.odd else [columns[students.signs > 0], columns[students.signs < 0]]


def with_v(x: Tensor, y: Tensor, unlearnable: Tensor, place: Tensor, alpha: float) -> Tensor:
    """Give unlearnable samples `[n, P, d]` the signal along `v` that the library leaves out."""
    full = x.clone()
    full[torch.arange(len(x)), place, -1] = alpha * y * unlearnable
    return full


@pytest.mark.parametrize("regime", ["experiment", "theory"])
def test_steps_are_those_of_the_loops(regime: str) -> None:
    config = settings(regime)
    batch, students = draw_batch([CASE], config), draw_students(config, [CASE.seed])
    train = batch.train
    y, unlearnable = train.y[0], train.unlearnable[0]
    assert 0 < unlearnable.sum() < len(y)
    moved = train.attacked[0] != train.signal[0]
    place = moved.int().argmax(1) if regime == "theory" else train.signal[0].abs().argmax(1)
    x = with_v(along_u(train.noise[0], train.signal[0]), y, unlearnable, place, config.alpha)
    samples = []
    for i, label in enumerate(y.tolist()):
        patches = [int(place[i])] if regime == "theory" else list(range(config.patches))
        right = 1 / (1 + math.exp(-1.0 if unlearnable[i] else -3.0))
        samples.append((reference.shifted(x[i], label, config.eps, patches), right if label > 0 else 1 - right))
    weights = split(students)
    for step in range(config.steps):
        chosen = samples if regime == "theory" else [samples[int(batch.order[0, step])]]
        weights = reference.step(weights, chosen, config.lr)
        before = students.weights.clone()
        advance(students, batch, step, config)
        assert not torch.equal(students.weights, before)
        for ours, theirs in zip(split(students), weights, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
        assert (students.weights[:, -1] == 0).all()


@pytest.mark.parametrize("regime", ["experiment", "theory"])
def test_the_attack_is_that_of_the_loops(regime: str) -> None:
    config = settings(regime)
    batch, students = draw_batch([CASE], config), draw_students(config, [CASE.seed])
    x, y, start = along_u(batch.test.noise[0], batch.test.signal[0]), batch.test.y[0], batch.start[0]
    one = Students(students.weights[0], students.signs, students.odd)
    # Labels as the student sees them, so that the attack has something to do.
    y = cubed(one, x @ one.weights).sign()
    y[0] *= -1
    counts = []
    for eps, steps in ((0.01, 4), (0.05, 4), (0.15, 7), (0.25, 7), (0.32, 7)):
        offset = start * (eps / config.eps)
        ours = stands(one, x, y, offset, eps, steps)
        loops = [
            reference.stands(split(students), x[i], float(y[i]), offset[i], eps, steps) for i in range(config.test)
        ]
        assert ours.tolist() == loops
        assert not ours[0]
        counts.append(int(ours.sum()))
    assert len(set(counts)) >= 3, f"the attack decides little here: {counts}"
