"""What is found out about each batch of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from robustill.attacks.threat import Norm
from robustill.certification.smoothed_pair import smooth_pair
from robustill.diagnostics.bracket.kept import Kept
from robustill.diagnostics.bracket.pair_attack import attack_pair
from robustill.diagnostics.bracket.pair_bounds import bound_pair
from robustill.diagnostics.bracket.search import Search
from robustill.diagnostics.bracket.stages import Stage
from robustill.diagnostics.bracket.subject import Subject, same_function
from robustill.diagnostics.bracket.witness import gaps
from robustill.losses import probabilities

Smoothing = tuple[float, int, float]
"""Sigma, samples, alpha."""


@dataclass(frozen=True)
class PairStages:
    """The stages of `calibrate`; arguments as there."""

    chosen: Subject
    kept: Kept
    norm: Norm
    steps: int
    restarts: int
    targets: int
    temperature: float
    seed: int
    batch_size: int

    def all(self, radii: Sequence[float], bounds: str, smoothing: Smoothing | None) -> list[Stage]:
        """Return all stages: predictions, then attack and certificate of each radius, then smoothing."""
        stages = [Stage("clean", self.clean)]
        for eps in radii:
            stages.append(Stage(f"attack@{eps!r}", partial(self.attack, eps=eps)))
            if bounds != "none":
                stages.append(Stage(f"{bounds}@{eps!r}", partial(self.bound, eps=eps, method=bounds)))
        if smoothing is not None:
            name = "smoothing {} {} {}".format(*smoothing)
            stages.append(Stage(name, lambda x, y, at: self.smooth(x, y, at, *smoothing)))
        return stages

    @property
    def networks(self) -> tuple[nn.Module, nn.Module]:
        """Student and teacher."""
        return self.chosen.networks["student"], self.chosen.networks["teacher"]

    @cached_property
    def same(self) -> bool:
        """Student and teacher are one function."""
        return same_function(*self.networks)

    @torch.no_grad()
    def clean(self, x: Tensor, y: Tensor, at: Tensor) -> dict[str, Tensor]:
        """Return classes, confidences and the gap without an attack."""
        ours, theirs = (network(x) for network in self.networks)
        found = {"gap": gaps(ours, theirs, y, self.temperature)}
        for name, each in (("student", ours), ("teacher", theirs)):
            sure = probabilities(each, temperature=self.temperature).amax(1)
            found |= {f"{name}_class": each.argmax(1), f"{name}_confidence": sure.float()}
        return found

    def attack(self, x: Tensor, y: Tensor, at: Tensor, eps: float) -> dict[str, Tensor]:
        """Return what attacks within `eps` find."""
        positions = self.chosen.index[at].tolist()
        search = Search(self.networks, x, eps, self.norm, self.steps, self.restarts, self.seed, positions)
        compared = self._compared(y, at)
        return attack_pair(search, y, compared, temperature=self.temperature, targets=self.targets)

    def bound(self, x: Tensor, y: Tensor, at: Tensor, eps: float, method: str) -> dict[str, Tensor]:
        """Return what is certified within `eps`."""
        rows = self._compared(y, at).nonzero().flatten()
        if self.same:
            zero = x.new_zeros(len(rows))
            found = {"over": zero, "under": zero, "agreement": torch.full_like(zero, -torch.inf)}
        elif len(rows):
            found = bound_pair(*self.networks, x[rows], y[rows], eps, method, self.norm, self.temperature)
        else:
            found = dict.fromkeys(("over", "under", "agreement"), x.new_zeros(0))
        return {name: _spread(value.float(), rows, len(y)) for name, value in found.items()}

    def smooth(self, x: Tensor, y: Tensor, at: Tensor, sigma: float, samples: int, alpha: float) -> dict[str, Tensor]:
        """Return what is certified of the smoothed pair."""
        rows = self._compared(y, at).nonzero().flatten()
        numbers = self.chosen.index[at][rows.cpu()]
        if len(rows):
            pair = smooth_pair(
                *self.networks, x[rows], y[rows], sigma=sigma, samples=samples, alpha=alpha,
                temperature=self.temperature, seed=self.seed, index=numbers, batch_size=16 * self.batch_size,
                progress=False,
            )  # fmt: skip
            found = pair.gap_low, pair.gap_high, pair.agreement_radius, pair.disagreement_high
        else:
            found = (torch.zeros(0, dtype=torch.float64),) * 4
        names = ("low", "high", "agreement_radius", "disagreement")
        return {name: _spread(value, rows.cpu(), len(y)) for name, value in zip(names, found, strict=True)}

    def _compared(self, y: Tensor, at: Tensor) -> Tensor:
        """Return which examples either network gets right without an attack, bool `[B]`."""
        classes = [self.kept.get("clean", f"{name}_class")[at].to(y.device) for name in ("student", "teacher")]
        return (classes[0] == y) | (classes[1] == y)


def _spread(values: Tensor, rows: Tensor, total: int) -> Tensor:
    """Return `[total]` with `values` at `rows`, not numbers elsewhere."""
    return values.new_full((total,), torch.nan).index_copy(0, rows, values)
