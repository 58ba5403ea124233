"""Running a search over many examples, a step at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
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

Take = Callable[[Tensor, int], tuple[Tensor, Tensor, Sequence[torch.Generator]]]
"""Positions int64 `[k]` and the number of a search to images `[k, ...]`, labels `[k]` and a generator for each."""


class Running:
    """Searches over examples: what is finished leaves the batch, which is filled up from what waits.

    Each example is given to the searches in order, until it falls; where few examples are left, several searches of one
    example run side by side. A success counts once `model` confirms it at the very point, in the type of the images,
    inside the ball; otherwise the row goes on searching. Rows that end without one are tried once more at their best
    point. Steps are taken inside `with running.modes():`, which puts the networks in eval mode.

    Args:
        searches: Equal but for their target; see `alike`.
        model: Decides what counts.
        take: Gives the examples at some positions to a search.
        waiting: Positions to attack, int64 `[n]`.
        first: How many of the searches each of them has stood already, int64 `[n]`; none when None.
        batch_size: Rows at a time; verdicts do not depend on it.
        view: A faster form of `model` to search on; the model itself when None.
        state: Rows in flight of a run that was cut off, from its `state`.

    Raises:
        InputError: Images outside [0, 1].

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> from robustill.attacks import APGD
    >>> def take(at, search):
    ...     return x[at], y[at], [torch.Generator().manual_seed(int(k)) for k in at]
    >>> running = Running([APGD(eps=0.25)], model, take, torch.arange(2))
    >>> with running.modes():
    ...     while not running.finished:
    ...         done = running.step()
    ...         if done:
    ...             print(done["fallen"].tolist())
    [True]
    [False]
    """

    def __init__(
        self,
        searches: Sequence[Search],
        model: nn.Module,
        take: Take,
        waiting: Tensor,
        *,
        first: Tensor | None = None,
        batch_size: int = 256,
        view: nn.Module | None = None,
        state: State | None = None,
    ) -> None:
        self.searches, self.model, self.take = searches, model, take
        self.batch_size, self.view, self.state = batch_size, view, state
        self.queue = _queue(waiting.cpu(), first, len(searches), state)
        self.steps = 0

    @property
    def finished(self) -> bool:
        """No row is in flight and none waits."""
        return self.state is None and not len(self.queue)

    def step(self) -> State:
        """Fill up the batch or take one step in every row; return the rows that are finished, `{}` if none is.

        `number` in them says of which search. `steps` counts what was taken in all rows, and what examples that fell
        need not take any more.
        """
        room = self.batch_size - (0 if self.state is None else len(self.state["index"]))
        searched = self.model if self.view is None else self.view
        # Not for a single row: a start costs as much as a step.
        if self.state is None or (len(self.queue) and room >= max(self.batch_size // 4, 1)):
            self._fill(searched, room)
        else:
            before = int(self.state["left"].sum())
            self.searches[0].advance(searched, self.state)
            self.steps += before - int(self.state["left"].sum())
        return self._leave()

    def _fill(self, searched: nn.Module, room: int) -> None:
        entries, self.queue = self.queue[:room], self.queue[room:]
        for number in torch.unique(entries[:, 1]).tolist():
            index = entries[entries[:, 1] == number, 0]
            x, y, generators = self.take(index, number)
            check_images(x)
            fresh = self.searches[number].begin(searched, x, y, generators)
            fresh |= {"index": index.to(x.device), "number": torch.full_like(y, number)}
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
        # Whoever fell is of no more interest to the other searches.
        lost = torch.isin(state["index"], done["index"][done["fallen"]])
        self.steps += int(state["left"][over | lost].sum())
        self.state = rows(state, ~(over | lost)) if not bool((over | lost).all()) else None
        dropped = torch.isin(self.queue[:, 0], done["index"][done["fallen"]].cpu())
        self.steps += int(dropped.sum()) * self.searches[0].length
        self.queue = self.queue[~dropped]
        return done

    def _confirmed(self, state: State, claimed: Tensor) -> Tensor:
        fallen, at = claimed.clone(), claimed.nonzero().flatten()
        some = rows(state, at)
        fallen[at] = self.searches[0].inside(some) & ~correct(self.model, some["x_adv"], some["y"])
        return fallen

    def _try_best(self, state: State, ended: Tensor) -> None:
        """What the view thought right may be wrong for the model."""
        state["x_adv"] = torch.where(ended.reshape(per_image(state["x"])), best_points(state), state["x_adv"])
        state["fallen"] = state["fallen"] | self._confirmed(state, ended)

    def modes(self) -> AbstractContextManager[None]:
        """Return what keeps the networks in eval mode while steps are taken."""
        return eval_mode(self.model, *([] if self.view is None else [self.view]))


def alike(searches: Sequence[Search]) -> list[list[int]]:
    """Return the numbers of the searches in runs of neighbours that are equal but for their target.

    >>> from robustill.attacks import APGD, Square
    >>> alike([APGD(eps=0.1), APGD(eps=0.1, target=2), Square(eps=0.1)])
    [[0, 1], [2]]
    """
    runs: list[list[int]] = []
    for number, search in enumerate(searches):
        before = searches[runs[-1][0]] if runs else None
        if type(before) is type(search) and hasattr(search, "target") and replace(search, target=1) == before:  # type: ignore[type-var]
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _queue(waiting: Tensor, first: Tensor | None, count: int, state: State | None) -> Tensor:
    """Return what waits, int64 `[q, 2]`: position and number of the search, all of the first search before the next."""
    start = torch.zeros_like(waiting) if first is None else first
    numbers = torch.arange(count)[:, None].expand(-1, len(waiting))
    entries = torch.stack([waiting.expand(count, -1), numbers], 2)[numbers >= start]
    if state is None:
        return entries
    flying = state["index"].cpu() * count + state["number"].cpu()
    return entries[~torch.isin(entries[:, 0] * count + entries[:, 1], flying)]


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

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> from robustill.attacks import APGD
    >>> draws = [torch.Generator().manual_seed(k) for k in range(2)]
    >>> fallen, points = run_search(APGD(eps=0.25), model, x, y, draws)
    >>> fallen
    tensor([ True, False])
    """
    return _run([search], model, x, y, generators, batch_size, view)


def run_searches(
    searches: Sequence[Search],
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    generators: Sequence[torch.Generator],
    *,
    batch_size: int = 256,
) -> tuple[Tensor, Tensor]:
    """As `run_search`, one search after the other, each on what the ones before left; the others' points stay `x`.

    Returns `fallen` bool `[n]` and points `[n, ...]`.

    >>> import torch
    >>> from torch import nn
    >>> model = nn.Linear(2, 2)
    >>> _ = model.load_state_dict({"weight": torch.eye(2), "bias": torch.zeros(2)})
    >>> x, y = torch.tensor([[0.6, 0.4], [0.9, 0.1]]), torch.tensor([0, 0])
    >>> from robustill.attacks import APGD
    >>> draws = [torch.Generator().manual_seed(k) for k in range(2)]
    >>> fallen, points = run_searches([APGD(eps=0.05), APGD(eps=0.05)], model, x, y, draws)
    >>> fallen
    tensor([False, False])
    """
    fallen, found = torch.zeros_like(y, dtype=torch.bool), x.clone()
    for group in alike(searches):
        left = (~fallen).nonzero().flatten()
        own = [generators[i] for i in left.tolist()]
        fell, points = _run([searches[k] for k in group], model, x[left], y[left], own, batch_size, None)
        fallen[left], found[left[fell]] = fell, points[fell]
    return fallen, found


def _run(
    searches: Sequence[Search],
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    generators: Sequence[torch.Generator],
    batch_size: int,
    view: nn.Module | None,
) -> tuple[Tensor, Tensor]:
    check_images(x)

    def take(index: Tensor, number: int) -> tuple[Tensor, Tensor, Sequence[torch.Generator]]:
        at = index.to(x.device)
        return x[at], y[at], [generators[i] for i in index.tolist()]

    running = Running(searches, model, take, torch.arange(len(x)), batch_size=batch_size, view=view)
    fallen, found = torch.zeros_like(y, dtype=torch.bool), x.clone()
    with running.modes():
        while not running.finished:
            done = running.step()
            if not done:
                continue
            fell = done["fallen"]
            # In this order: one search of an example may have ended, and another one felled it, in the same step.
            found[done["index"][~fell]] = best_points(done)[~fell]
            found[done["index"][fell]] = done["x_adv"][fell]
            fallen[done["index"][fell]] = True
    return fallen, found


def per_example(generator: Generators, count: int) -> Sequence[torch.Generator]:
    """Return a generator per example; one generator, or none, draws the seeds of all."""
    if isinstance(generator, Sequence):
        return generator
    seeds = torch.randint(2**62, (count,), generator=generator)
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]
