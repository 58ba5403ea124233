"""Searches: attacks as steps on rows of state, one row per example, so that what has fallen leaves the batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from robustill.attacks.modes import eval_mode
from robustill.attacks.threat import Generators, L2Ball, LinfBall, Norm, per_image
from robustill.attacks.verdicts import correct
from robustill.errors import InputError
from robustill.inputs import check_images

State = dict[str, Tensor]
"""All that an attack knows, a row `[B, ...]` per example: `index`, `x`, `y`, `x_adv`, `fallen`, `left`, and its own."""


class Search(ABC):
    """An attack that can be stopped after any step, saved row by row, and continued in other company.

    Rows never see each other, so a verdict depends on neither the batch nor what else is left in it.
    """

    eps: float
    norm: Norm

    @abstractmethod
    def begin(self, model: nn.Module, x: Tensor, y: Tensor, generators: Sequence[torch.Generator]) -> State:
        """Return the state before the first step; `left` is the number of steps to come."""

    @abstractmethod
    def advance(self, model: nn.Module, state: State) -> None:
        """Take one step in every row: move `x_adv`, set `fallen` where the model errs there, count `left` down."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, *, generator: Generators = None) -> Tensor:
        """Return points `[B, ...]` around `x` that `model` misclassifies, or else the best that the search remembers.

        The model is attacked in eval mode; its modes are restored.
        """
        return run_search(self, model, x, y, per_example(generator, len(x)), batch_size=max(len(x), 1))[1]

    def bounds(self, x: Tensor) -> State:
        """Return what `project` needs in the state besides `x`."""
        if self.norm == "L2":
            return {}
        region = LinfBall(x, self.eps)
        return {"low": region.low, "high": region.high}

    def project(self, state: State, points: Tensor) -> Tensor:
        """Return the nearest points inside each row's ball and the image box."""
        if self.norm == "L2":
            return L2Ball(state["x"], self.eps).project(points)
        return torch.clamp(points, state["low"], state["high"])


def per_example(generator: Generators, count: int) -> Sequence[torch.Generator]:
    """Return a generator per example; one generator, or none, draws the seeds of all."""
    if isinstance(generator, Sequence):
        return generator
    seeds = torch.randint(2**62, (count,), generator=generator)
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


def wrong_class(logits: Tensor, y: Tensor, rank: int) -> Tensor:
    """Return the wrong class of each row that is likeliest (rank 1), next likeliest (2), ..., `[B, C], [B] -> [B]`.

    Raises:
        InputError: There are not so many wrong classes.
    """
    if logits.shape[1] <= rank:
        raise InputError(f"no wrong class number {rank} among {logits.shape[1]} classes", "lower target")
    ranked: Tensor = logits.scatter(1, y[:, None], -torch.inf).topk(rank, dim=1).indices
    return ranked[:, -1]


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

    Raises:
        InputError: Images outside [0, 1].
    """
    check_images(x)
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


def _confirmed(model: nn.Module, state: State) -> Tensor:
    fallen = state["fallen"].clone()
    claimed = fallen.nonzero().flatten()
    fallen[claimed] = ~correct(model, state["x_adv"][claimed], state["y"][claimed])
    return fallen


def _points(state: State) -> Tensor:
    """Return where each row ended: the adversarial point, else the best one it remembers."""
    best = state.get("x_best", state["x_adv"])
    return torch.where(state["fallen"].reshape(per_image(best)), state["x_adv"], best)
