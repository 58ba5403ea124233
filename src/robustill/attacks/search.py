"""Searches: attacks as steps on rows of state, one row per example, so that what has fallen leaves the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from robustill.attacks.modes import eval_mode
from robustill.attacks.verdicts import correct

State = dict[str, Tensor]
"""All that an attack knows, a row `[B, ...]` per example: `index`, `x`, `y`, `x_adv`, `fallen`, `left`, and its own."""


class Search(Protocol):
    """An attack that can be stopped after any step, saved row by row, and continued in other company.

    Rows never see each other, so a verdict depends on neither the batch nor what else is left in it.
    """

    def begin(self, model: nn.Module, x: Tensor, y: Tensor, generators: Sequence[torch.Generator]) -> State:
        """Return the state before the first step; `left` is the number of steps to come."""

    def advance(self, model: nn.Module, state: State) -> None:
        """Take one step in every row: move `x_adv`, set `fallen` where the model errs there, count `left` down."""


def rows(state: State, keep: Tensor) -> State:
    """Return the rows of `state` where `keep` `[B]` holds (or that it numbers)."""
    return {name: value[keep] for name, value in state.items()}


def together(first: State, second: State) -> State:
    """Return the rows of both states."""
    return {name: torch.cat([value, second[name]]) for name, value in first.items()}


def run_search(
    search: Search,
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    generators: Sequence[torch.Generator],
    *,
    batch_size: int = 256,
    view: nn.Module | None = None,
    after_step: Callable[[int], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Attack examples until each has fallen or has no steps left; return `fallen` bool `[n]` and `x_adv` `[n, ...]`.

    Rows that are finished leave at once and the batch is filled up from those that wait. A success counts once `model`
    confirms it at the very point, in the type of `x`; otherwise the row goes on searching.

    Args:
        search: The attack.
        model: Decides what counts.
        x: Images in [0, 1], `[n, ...]`.
        y: Labels `[n]`.
        generators: One per example, for its random draws.
        batch_size: Rows at a time; verdicts do not depend on it.
        view: A faster form of `model` to search on; the model itself when None.
        after_step: Called with the number of rows that finished in this step.
    """
    searched = model if view is None else view
    fallen, found = torch.zeros_like(y, dtype=torch.bool), x.clone()
    state: State | None = None
    waiting = 0
    with eval_mode(model, searched):
        while waiting < len(x) or state is not None:
            room = batch_size - (0 if state is None else len(state["index"]))
            if waiting < len(x) and room > 0:
                part = slice(waiting, waiting + room)
                fresh = search.begin(searched, x[part], y[part], generators[part])
                fresh["index"] = torch.arange(len(x), device=x.device)[part]
                state = fresh if state is None else together(state, fresh)
                waiting += room
            else:
                assert state is not None
                search.advance(searched, state)
            assert state is not None
            state["fallen"] = _confirmed(model, state) if bool(state["fallen"].any()) else state["fallen"]
            over = state["fallen"] | (state["left"] == 0)
            if bool(over.any()):
                done = rows(state, over)
                fallen[done["index"]], found[done["index"]] = done["fallen"], _points(done)
                state = rows(state, ~over) if not bool(over.all()) else None
            if after_step is not None:
                after_step(int(over.sum()))
    return fallen, found


def _confirmed(model: nn.Module, state: State) -> Tensor:
    fallen = state["fallen"].clone()
    claimed = fallen.nonzero().flatten()
    fallen[claimed] = ~correct(model, state["x_adv"][claimed], state["y"][claimed])
    return fallen


def _points(state: State) -> Tensor:
    """Return where each row ended: the adversarial point, else the best one it remembers."""
    best = state.get("x_best", state["x_adv"])
    return torch.where(state["fallen"].reshape((-1,) + (1,) * (best.dim() - 1)), state["x_adv"], best)
