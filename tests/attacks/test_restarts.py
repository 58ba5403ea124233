"""Restarts, generators, and where random numbers come from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from robustill.attacks import PGD
from robustill.errors import InputError
from tests.attacks.tiny import Counted, images, wavy

EACH: dict[str, Any] = {"eps": 0.3, "step_size": 0.05, "steps": 4}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def per_example(size: int) -> list[torch.Generator]:
    return [seeded(1000 + i) for i in range(size)]


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("init", ["uniform", "gaussian"])
def test_each_example_keeps_its_best_of_the_runs(norm: Any, init: Any) -> None:
    x, objective = images(12), wavy()
    how: dict[str, Any] = {**EACH, "norm": norm, "init": init, "sigma": 0.2}
    best = PGD(restarts=5, **how)(objective, x, generator=seeded(3))
    generator = seeded(3)
    runs = [PGD(**how)(objective, x, generator=generator) for _ in range(5)]
    values = torch.stack([objective(run) for run in runs])
    assert torch.equal(objective(best), values.amax(0))
    assert len(set(values.argmax(0).tolist())) > 1
    for i, k in enumerate(values.argmax(0).tolist()):
        assert torch.equal(best[i], runs[k][i])
    assert bool((objective(best) >= values[0]).all())
    assert bool((objective(best) > values[0]).any())


def test_values_at_the_ends_of_the_runs_are_compared_without_a_graph() -> None:
    objective = Counted(wavy())
    PGD(restarts=3, **EACH)(objective, images(2))
    assert objective.wanted == [True] * 4 + [False] + ([True] * 4 + [False]) * 2


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("init", ["uniform", "gaussian"])
@pytest.mark.parametrize("size", [1, 3, 7])
def test_one_generator_per_example_makes_the_batch_size_irrelevant(norm: Any, init: Any, size: int) -> None:
    x, objective = images(7), wavy()
    attack = PGD(restarts=2, norm=norm, init=init, sigma=0.2, **EACH)
    whole = attack(objective, x, generator=per_example(7))
    generators = per_example(7)
    parts = [attack(objective, x[i : i + size], generator=generators[i : i + size]) for i in range(0, 7, size)]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-14)
    other = attack(objective, x, generator=[seeded(i) for i in range(7)])
    assert not torch.allclose(other, whole)


def test_a_wrong_number_of_generators_is_not_spread_over_the_batch() -> None:
    for count in (1, 3):
        with pytest.raises((InputError, RuntimeError)):
            PGD(**EACH)(wavy(), images(7), generator=per_example(count))


@pytest.mark.parametrize("make", [lambda: seeded(0), lambda: per_example(4)], ids=["one", "one per example"])
@pytest.mark.parametrize("init", ["uniform", "gaussian"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_global_stream_is_untouched_when_generators_are_given(norm: Any, init: Any, make: Any) -> None:
    before = torch.get_rng_state()
    PGD(restarts=2, norm=norm, init=init, **EACH)(wavy(), images(4), generator=make())
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_generator_the_global_seed_decides() -> None:
    def run(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return PGD(**EACH)(wavy(), images(4))

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_without_a_random_start_nothing_is_drawn() -> None:
    before = torch.get_rng_state()
    PGD(init="none", **EACH)(wavy(), images(4))
    assert torch.equal(torch.get_rng_state(), before)
