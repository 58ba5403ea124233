"""Running a search over many examples, a step at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from robustill.attacks.modes import eval_mode
from robustill.attacks.rows import State, best_points, rows, together
from robustill.attacks.threat import Generators, per_image
from robustill.attacks.verdicts import correct
from robustill.inputs import check_images

if TYPE_CHECKING:
    from robustill.attacks.search import Search

Take = Callable[[Tensor], tuple[Tensor, Tensor, Sequence[torch.Generator]]]
"""Positions int64 `[k]` to images `[k, ...]`, labels `[k]` and a generator for each."""


class Running:
    """A search over the examples `waiting`: what is finished leaves the batch, which is filled up from those that wait.

    Steps are taken inside `with running.modes():`, which puts the networks in eval mode.

    A success counts once `model` confirms it at the very point, in the type of the images, inside the ball; otherwise
    the row goes on searching. Rows that end without one are tried once more at their best point.

    Args:
        search: The attack.
        model: Decides what counts.
        take: Gives the examples at some positions.
        waiting: Positions to attack, int64 `[n]`.
        batch_size: Rows at a time; verdicts do not depend on it.
        view: A faster form of `model` to search on; the model itself when None.
        state: Rows in flight of a run that was cut off, from its `state`; none of them in `waiting`.

    Raises:
        InputError: Images outside [0, 1].
    """

    def __init__(
        self,
        search: Search,
        model: nn.Module,
        take: Take,
        waiting: Tensor,
        *,
        batch_size: int = 256,
        view: nn.Module | None = None,
        state: State | None = None,
    ) -> None:
        self.search, self.model, self.take, self.waiting = search, model, take, waiting.cpu()
        self.batch_size, self.view, self.state = batch_size, view, state
        self.steps = 0

    @property
    def finished(self) -> bool:
        """No row is in flight and none waits."""
        return self.state is None and not len(self.waiting)

    def step(self) -> State:
        """Fill up the batch or take one step in every row; return the rows that are finished, `{}` if none is.

        `steps` counts what was taken in all rows, and what those that fell need not take any more.
        """
        room = self.batch_size - (0 if self.state is None else len(self.state["index"]))
        searched = self.model if self.view is None else self.view
        # Not for a single row: a start costs as much as a step.
        if self.state is None or (len(self.waiting) and room >= max(self.batch_size // 4, 1)):
            self._fill(searched, room)
        else:
            before = int(self.state["left"].sum())
            self.search.advance(searched, self.state)
            self.steps += before - int(self.state["left"].sum())
        return self._leave()

    def _fill(self, searched: nn.Module, room: int) -> None:
        index, self.waiting = self.waiting[:room], self.waiting[room:]
        x, y, generators = self.take(index)
        check_images(x)
        fresh = self.search.begin(searched, x, y, generators)
        fresh["index"] = index.to(x.device)
        self.state = fresh if self.state is None else together(self.state, fresh)

    def _leave(self) -> State:
        state = self.state
        assert state is not None
        claimed = state["fallen"]
        if bool(claimed.any()):
            state["fallen"] = self._confirmed(state, claimed)
        ended = state["left"] == 0
        if self.view is not None and bool(ended.any()):
            self._try_best(state, ended & ~state["fallen"])
        over = state["fallen"] | ended
        if not bool(over.any()):
            return {}
        done = rows(state, over)
        self.steps += int(done["left"].sum())
        self.state = None if len(done["index"]) == len(over) else rows(state, ~over)
        return done

    def _confirmed(self, state: State, claimed: Tensor) -> Tensor:
        fallen, at = claimed.clone(), claimed.nonzero().flatten()
        some = rows(state, at)
        fallen[at] = self.search.inside(some) & ~correct(self.model, some["x_adv"], some["y"])
        return fallen

    def _try_best(self, state: State, ended: Tensor) -> None:
        """What the view thought right may be wrong for the model."""
        state["x_adv"] = torch.where(ended.reshape(per_image(state["x"])), best_points(state), state["x_adv"])
        state["fallen"] = state["fallen"] | self._confirmed(state, ended)

    def modes(self) -> AbstractContextManager[None]:
        """Return what keeps the networks in eval mode while steps are taken."""
        return eval_mode(self.model, *([] if self.view is None else [self.view]))


def run_search(
    search: Search,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    generators: Sequence[torch.Generator],
    *,
    batch_size: int = 256,
    view: nn.Module | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a search over examples in memory; return `fallen` bool `[n]` and the points it ended at, `[n, ...]`.

    Arguments as in `Running`; the point of an example that stands is the best that the search remembers.
    """
    check_images(x)

    def take(index: Tensor) -> tuple[Tensor, Tensor, Sequence[torch.Generator]]:
        at = index.to(x.device)
        return x[at], y[at], [generators[i] for i in index.tolist()]

    running = Running(search, model, take, torch.arange(len(x)), batch_size=batch_size, view=view)
    fallen, found = torch.zeros_like(y, dtype=torch.bool), x.clone()
    with running.modes():
        while not running.finished:
            done = running.step()
            if not done:
                continue
            fallen[done["index"]] = done["fallen"]
            standing = ~done["fallen"].reshape(per_image(x))
            found[done["index"]] = torch.where(standing, best_points(done), done["x_adv"])
    return fallen, found


def run_searches(
    searches: Sequence[Search],
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    generators: Sequence[torch.Generator],
    *,
    batch_size: int = 256,
) -> tuple[Tensor, Tensor]:
    """As `run_search`, one search after the other, each on what the ones before left; the others' points stay `x`."""
    fallen, found = torch.zeros_like(y, dtype=torch.bool), x.clone()
    for search in searches:
        left = (~fallen).nonzero().flatten()
        own = [generators[i] for i in left.tolist()]
        fell, points = run_search(search, model, x[left], y[left], own, batch_size=batch_size)
        fallen[left], found[left[fell]] = fell, points[fell]
    return fallen, found


def per_example(generator: Generators, count: int) -> Sequence[torch.Generator]:
    """Return a generator per example; one generator, or none, draws the seeds of all."""
    if isinstance(generator, Sequence):
        return generator
    seeds = torch.randint(2**62, (count,), generator=generator)
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]
