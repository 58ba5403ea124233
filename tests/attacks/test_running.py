"""A search over many examples: what leaves, what takes its place, what counts, and what a saved state is good for."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import APGD, FAB, Running, Search, Square, run_search
from robustill.attacks.rows import State
from robustill.attacks.running import alike
from tests.attacks.rugged import generators, images, labelled, network


def case(count: int = 12) -> tuple[nn.Module, Tensor, Tensor]:
    model, x = network(), images(count)
    return model, x, labelled(model, x)


def test_what_has_fallen_leaves_and_others_take_its_place() -> None:
    model, x, y = case()
    sizes: list[int] = []
    model.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    fallen, _ = run_search(APGD(eps=0.05, steps=10), model, x, y, generators(12), batch_size=4)
    assert max(sizes) <= 4
    assert sum(sizes) < 11 * 12 - 3 * int(fallen.sum())


class Watched(APGD):
    """Notes how many examples have begun, and how many rows a step has while others wait."""

    begun: list[int]
    sizes: list[int]

    def begin(self, model: nn.Module, x: Tensor, y: Tensor, generators: Sequence[torch.Generator]) -> State:
        self.begun.append(len(y))
        return super().begin(model, x, y, generators)

    def advance(self, model: nn.Module, state: State) -> None:
        if sum(self.begun) < 12:
            self.sizes.append(len(state["y"]))
        super().advance(model, state)


def test_the_batch_is_full_as_long_as_examples_wait() -> None:
    model, x, y = case()
    Watched.begun, Watched.sizes = [], []
    fallen, _ = run_search(Watched(eps=0.05, steps=10), model, x, y, generators(12), batch_size=4)
    assert 0 < int(fallen.sum()) < 12
    assert Watched.sizes
    assert set(Watched.sizes) == {4}


def test_a_few_free_places_wait_for_more() -> None:
    model, x, y = case(40)
    Watched.begun, Watched.sizes = [], []
    run_search(Watched(eps=0.05, steps=10), model, x, y, generators(40), batch_size=16)
    assert sum(Watched.begun) == 40
    assert min(Watched.begun[:-1]) >= 4


class View(nn.Module):
    """Another network in the place of the model."""

    def __init__(self, model: nn.Module, scale: float) -> None:
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, points: Tensor) -> Tensor:
        logits: Tensor = self.model(points) * self.scale
        return logits


def test_a_success_of_the_view_counts_only_if_the_model_confirms_it() -> None:
    model, x, y = case()
    attack = APGD(eps=0.05, steps=10)
    few, points = run_search(attack, model, x, y, generators(12), view=View(model, -1))
    assert torch.equal(few, model(points).argmax(1) != y)
    assert int(few.sum()) < int(run_search(attack, model, x, y, generators(12))[0].sum())


class Blind(nn.Module):
    """A view with the model's gradients that never sees it err."""

    def __init__(self, model: nn.Module, y: Tensor) -> None:
        super().__init__()
        self.model, self.y = model, y

    def forward(self, points: Tensor) -> Tensor:
        logits: Tensor = self.model(points)
        return logits + 100 * nn.functional.one_hot(self.y, logits.shape[1])


def test_the_best_point_is_tried_on_the_model_at_the_end() -> None:
    model, x, y = case()
    attack = APGD(eps=0.05, steps=10, loss="dlr")
    fallen, points = run_search(attack, model, x, y, generators(12), view=Blind(model, y))
    assert int(fallen.sum()) > 0
    assert torch.equal(fallen, model(points).argmax(1) != y)


class Cheat(APGD):
    """Leaves the ball."""

    def project(self, state: State, points: Tensor) -> Tensor:
        return points


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 1e-3), ("L2", 5e-3)])
def test_a_success_outside_the_ball_does_not_count(norm: str, eps: float) -> None:
    model, x, y = case()
    cheat = Cheat(eps=eps, steps=60, norm=norm, rho=0)  # type: ignore[arg-type]
    fallen, points = run_search(cheat, model, x, y, generators(12))
    assert int((model(points).argmax(1) != y).sum()) > int(fallen.sum())
    assert not bool(fallen.any())


def seeds_of(index: Tensor) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(i) for i in index.tolist()]


@pytest.mark.parametrize("cut", [1, 9, 23])
@pytest.mark.parametrize("other_size", [3, 64])
@pytest.mark.parametrize(
    "attack",
    [
        APGD(eps=0.03, steps=12),
        APGD(eps=0.03, steps=12, loss="dlr-targeted", target=2),
        FAB(eps=0.03, steps=8, target=1),
        Square(eps=0.05, queries=40),
        Square(eps=0.4, queries=40, norm="L2"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_search_goes_on_from_its_rows(attack: Search, other_size: int, cut: int) -> None:
    model, x, y = case(20)

    def take(index: Tensor, number: int) -> tuple[Tensor, Tensor, list[torch.Generator]]:
        return x[index], y[index], seeds_of(index)

    def note(done: State, found: Tensor) -> None:
        if done:
            found[done["index"]] = done["fallen"]

    def finish(running: Running, found: Tensor) -> None:
        while not running.finished:
            note(running.step(), found)

    whole, again = torch.zeros(20, dtype=torch.bool), torch.zeros(20, dtype=torch.bool)
    finish(Running([attack], model, take, torch.arange(20), batch_size=6), whole)
    first = Running([attack], model, take, torch.arange(20), batch_size=6)
    for _ in range(cut):
        note(first.step(), again)
    assert first.state is not None
    kept = {name: value.clone() for name, value in first.state.items()}
    left = torch.unique(torch.cat([kept["index"], first.queue[:, 0]]))
    finish(Running([attack], model, take, left, batch_size=other_size, state=kept), again)
    assert torch.equal(again, whole)
    assert 0 < int(whole.sum()) < 20


def test_searches_that_differ_in_their_target_alone_are_alike() -> None:
    apgd = [APGD(eps=0.1, loss="dlr-targeted", target=k) for k in (1, 2, 3)]
    fab = [FAB(eps=0.1, target=k) for k in (1, 2)]
    assert alike([*apgd, *fab, Square(eps=0.1), Square(eps=0.1)]) == [[0, 1, 2], [3, 4], [5], [6]]
    assert alike([apgd[0], APGD(eps=0.2, loss="dlr-targeted", target=2)]) == [[0], [1]]
    assert alike([]) == []


@pytest.mark.parametrize("batch_size", [1, 5, 16, 200])
@pytest.mark.parametrize("kind", [APGD, FAB])
def test_targets_side_by_side_find_what_they_find_in_turn(kind: Any, batch_size: int) -> None:
    model, x, y = case(16)
    loss = {"loss": "dlr-targeted"} if kind is APGD else {}
    searches = [kind(eps=0.02, steps=8, target=k, **loss) for k in (1, 2, 3, 4)]
    alone = [run_search(search, model, x, y, generators(16))[0] for search in searches]
    standing = torch.zeros(16, dtype=torch.long)
    order: list[tuple[int, int]] = []

    def take(index: Tensor, number: int) -> tuple[Tensor, Tensor, list[torch.Generator]]:
        return x[index], y[index], seeds_of(index)

    running = Running(searches, model, take, torch.arange(16), batch_size=batch_size)
    fallen = torch.zeros(16, dtype=torch.bool)
    with running.modes():
        while not running.finished:
            done = running.step()
            if done:
                assert not bool(fallen[done["index"]].any()), "an example that fell is still searched"
                order += list(zip(done["index"].tolist(), done["number"].tolist(), strict=True))
                fallen[done["index"][done["fallen"]]] = True
                standing.index_add_(0, done["index"], (~done["fallen"]).long())
    assert torch.equal(fallen, torch.stack(alone).any(0))
    assert 0 < int(fallen.sum()) < 16
    assert bool((standing[~fallen] == 4).all())
    for i in range(16):
        assert [k for j, k in order if j == i] == sorted(k for j, k in order if j == i), "out of order"
    assert running.steps == 16 * 4 * 8
