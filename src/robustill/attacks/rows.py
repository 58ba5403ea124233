"""What a search knows: a row per example."""

from __future__ import annotations

import torch
from torch import Tensor

State = dict[str, Tensor]
"""All that an attack knows, a row `[B, ...]` per example: `index`, `x`, `y`, `x_adv`, `fallen`, `left`, and its own."""


def best_points(state: State) -> Tensor:
    """Return the best point that each row remembers, `[B, ...]`."""
    return state.get("x_best", state["x_adv"])


def rows(state: State, keep: Tensor) -> State:
    """Return the rows of `state` where `keep` `[B]` holds (or that it numbers)."""
    return {name: value[keep] for name, value in state.items()}


def together(first: State, second: State) -> State:
    """Return the rows of both states."""
    return {name: torch.cat([value, second[name]]) for name, value in first.items()}
