"""Searches: attacks as steps on rows of state, one row per example, so that what has fallen leaves the batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robustill.attacks.rows import State
from robustill.attacks.running import per_example, run_search
from robustill.attacks.threat import Generators, L2Ball, LinfBall, Norm
from robustill.errors import InputError


class Search(ABC):
    """An attack that can be stopped after any step, saved row by row, and continued in other company.

    Rows never see each other, so a verdict depends on neither the batch nor what else is left in it.

    >>> from robustill.attacks import APGD
    >>> issubclass(APGD, Search), APGD(eps=0.1).length
    (True, 100)
    """

    eps: float
    norm: Norm

    @abstractmethod
    def begin(self, model: nn.Module, x: Tensor, y: Tensor, generators: Sequence[torch.Generator]) -> State:
        """Return the state before the first step; `left` is the number of steps to come."""

    @abstractmethod
    def advance(self, model: nn.Module, state: State) -> None:
        """Take one step in every row: move `x_adv`, set `fallen` where the model errs there, count `left` down."""

    @property
    def least_classes(self) -> int:
        """How many classes the attack needs."""
        return 2

    def check_classes(self, classes: int) -> None:
        """Check that the attack exists for so many classes.

        Raises:
            InputError: It does not.
        """
        if classes < self.least_classes:
            raise InputError(
                f"{self} needs at least {self.least_classes} classes, found {classes}",
                "its loss divides by a difference to a further logit; choose apgd-ce, cw, square or autoattack",
            )

    @property
    @abstractmethod
    def length(self) -> int:
        """How many steps a row takes if it never falls."""

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

    def inside(self, state: State) -> Tensor:
        """Return where `x_adv` lies in its row's ball and in the image box, bool `[B]`, in double precision."""
        delta = (state["x_adv"].double() - state["x"].double()).flatten(1)
        length = delta.abs().amax(1) if self.norm == "Linf" else torch.linalg.vector_norm(delta, dim=1)
        box = ((state["x_adv"] >= 0) & (state["x_adv"] <= 1)).flatten(1).all(1)
        return (length <= self.eps) & box


def wrong_class(logits: Tensor, y: Tensor, rank: int) -> Tensor:
    """Return the wrong class of each row that is likeliest (rank 1), next likeliest (2), ..., `[B, C], [B] -> [B]`.

    Raises:
        InputError: There are not so many wrong classes.
    """
    if logits.shape[1] <= rank:
        raise InputError(f"no wrong class number {rank} among {logits.shape[1]} classes", "lower target")
    ranked: Tensor = logits.scatter(1, y[:, None], -torch.inf).topk(rank, dim=1).indices
    return ranked[:, -1]
