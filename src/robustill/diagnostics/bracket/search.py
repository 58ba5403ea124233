"""Gradient ascent that shows every point it meets to a witness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks.objective import input_gradient
from robustill.attacks.threat import Norm, ball
from robustill.evaluation.store import example_generators

Value = Callable[..., Tensor]
"""Maps the logits `[B, C]` of each network to what is maximised, `[B]`."""


@dataclass(frozen=True)
class Search:
    """Ascends on functions of the logits of some networks inside a ball, from x itself and from random starts.

    Args:
        networks: All see the same point; each in eval mode.
        x: Images in [0, 1], `[B, ...]`.
        eps: Radius.
        norm: Sign steps for Linf, normalised ones for L2.
        steps: Steps of `2.5 eps / steps`.
        restarts: Runs per function, the one from x included.
        seed: Decides the random starts, with the positions.
        positions: Number of each image: its starts do not depend on the batch.
    """

    networks: Sequence[nn.Module]
    x: Tensor
    eps: float
    norm: Norm
    steps: int
    restarts: int
    seed: int
    positions: Sequence[int]

    def starts(self) -> Iterator[Tensor]:
        """Yield where to begin, `[B, ...]` each."""
        yield self.x
        region = ball(self.norm, self.x, self.eps)
        for k in range(1, self.restarts):
            yield region.uniform(example_generators(self.seed, f"start {k}", self.positions))

    def climb(self, start: Tensor, value: Value, see: Callable[..., Any]) -> None:
        """Ascend on `value` from `start`; `see` gets the logits of each network at every point, the last included."""
        region, point = ball(self.norm, self.x, self.eps), start
        # In a ball without extent there is nothing to climb.
        for _ in range(self.steps if self.eps > 0 else 0):
            with torch.enable_grad():
                point = point.detach().requires_grad_()
                logits = [network(point) for network in self.networks]
                slope = input_gradient(value(*logits).sum(), point)
            see(*(each.detach() for each in logits))
            point = region.step(point.detach(), slope, 2.5 * self.eps / self.steps)
        with torch.no_grad():
            see(*(network(point) for network in self.networks))
