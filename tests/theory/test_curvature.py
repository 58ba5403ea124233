"""The bound on what is left of a margin: no move beats it, and sparing the attack its last steps changes no verdict."""

import itertools

import pytest
import torch
from torch import Tensor

from robustill.theory import Case, Settings, Teacher
from robustill.theory.attack import stands
from robustill.theory.batch import advance, draw_batch
from robustill.theory.curvature import Curvature
from robustill.theory.samples import along_u
from robustill.theory.students import Students, cubed, draw_students

PATCHES = 2


def draw(rng: torch.Generator, shared: float) -> tuple[Students, Tensor, Tensor]:
    """Return a student of six filters that share a direction, 12 points of two patches, and labels."""
    weights = torch.randn(3, 6, generator=rng)
    weights[0] += shared
    x, y = torch.randn(12, PATCHES, 3, generator=rng), torch.randint(0, 2, (12,), generator=rng) * 2.0 - 1
    return Students(weights, torch.tensor([1.0] * 3 + [-1.0] * 3), False), x, y


def lowest_change(one: Students, x: Tensor, y: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the lowest change of each margin over a grid from `low` to `high` (the margin is a sum over patches)."""
    total = torch.zeros(len(x))
    for patch in range(PATCHES):
        point, ends = x[:, patch : patch + 1], (low[:, patch : patch + 1], high[:, patch : patch + 1])
        changes = []
        for part in itertools.product(torch.linspace(0, 1, 5).tolist(), repeat=3):
            moved = point + ends[0] + (ends[1] - ends[0]) * torch.tensor(part)
            changes.append((cubed(one, moved @ one.weights) - cubed(one, point @ one.weights)) * y)
        total += torch.stack(changes).amin(0)
    return total


def kept(one: Students, x: Tensor, y: Tensor, margin: Tensor, low: Tensor, high: Tensor, most: float) -> Tensor:
    squares = one.rectified(x @ one.weights).square()
    slope = (squares * one.signs) @ one.weights.T
    return Curvature.of(one).keeps(y, margin, squares, slope, (low.clone(), high.clone()), most)


@pytest.mark.parametrize("shared", [0.0, 3.0])
@pytest.mark.parametrize("most", [0.02, 0.3, 2.0])
def test_no_move_beats_the_bound(shared: float, most: float) -> None:
    rng = torch.Generator().manual_seed(5)
    held = total = 0
    for _ in range(60):
        one, x, y = draw(rng, shared)
        low, high = (torch.rand(x.shape, generator=rng) * most * side for side in (-1, 1))
        lost = -lowest_change(one, x, y, low, high)
        assert not kept(one, x, y, 0.999 * lost, low, high, most).any()
        held, total = held + int(kept(one, x, y, 1.3 * lost, low, high, most).sum()), total + len(x)
    assert held > 0.8 * total or most > 0.1, f"{held} of {total}: short moves cost little more than their tangent says"


def test_the_attack_comes_to_the_same_verdicts_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Settings(steps=300, train=60, test=80, filters=20)
    case = Case(Teacher("t", 4.0), 0.1, 2)
    batch, students = draw_batch([case], config), draw_students(config, [case.seed])
    for step in range(config.steps):
        advance(students, batch, step, config)
    one = Students(students.weights[0], students.signs, students.odd)
    x, start = along_u(batch.test.noise[0], batch.test.signal[0]), batch.start[0]
    spared, keeps = [], Curvature.keeps

    def counting(*args: object) -> Tensor:
        spared.append(keeps(*args))  # type: ignore[arg-type]
        return spared[-1]

    for eps in (0.3, 0.6, 0.9, 1.1):
        args = (one, x, batch.test.y[0], start * (eps / config.eps), eps, 20)
        monkeypatch.setattr(Curvature, "keeps", counting)
        ours = stands(*args)
        monkeypatch.setattr(Curvature, "keeps", lambda *args: torch.zeros(len(args[1]), dtype=torch.bool))
        assert torch.equal(ours, stands(*args))
    assert sum(int(each.sum()) for each in spared) > 60


def test_a_sample_that_was_wrong_is_not_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Curvature, "keeps", lambda *args: torch.ones(len(args[1]), dtype=torch.bool))
    one = Students(torch.tensor([[1.0, -1.0], [0.0, 0.0], [0.0, 0.0]]), torch.tensor([1.0, -1.0]), False)
    x, start = torch.full((20, 1, 3), 5.0), torch.zeros(20, 1, 3)
    x[0, 0, 0], start[0, 0, 0] = 0.1, -0.5
    assert stands(one, x, torch.ones(20), start, 0.5, 20).tolist() == [False] + [True] * 19
