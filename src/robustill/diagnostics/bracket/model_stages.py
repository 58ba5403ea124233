"""What is found out about each batch of one network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from robustill.attacks.threat import Norm
from robustill.certification import Bounder
from robustill.certification.smoothing import smooth
from robustill.diagnostics.bracket.kept import Kept
from robustill.diagnostics.bracket.sandwich import further_rounding
from robustill.diagnostics.bracket.search import Search
from robustill.diagnostics.bracket.stages import Stage
from robustill.diagnostics.bracket.subject import Subject
from robustill.diagnostics.bracket.witness import Witness
from robustill.losses import cross_entropy, margin


@dataclass(frozen=True)
class ModelStages:
    """The stages of `certify`; arguments as there."""

    chosen: Subject
    kept: Kept
    norm: Norm
    steps: int
    restarts: int
    seed: int
    batch_size: int

    def all(self, radii: Sequence[float], bounds: str, smoothing: tuple[float, int, float] | None) -> list[Stage]:
        """Return all stages: predictions, then attack and certificate of each radius, or smoothing."""
        stages = [Stage("clean", self.clean)]
        if smoothing is not None:
            name = "smoothing {} {} {}".format(*smoothing)
            return [*stages, Stage(name, lambda x, y, at: self.smooth(x, at, *smoothing))]
        for eps in radii:
            stages.append(Stage(f"attack@{eps!r}", partial(self.attack, eps=eps)))
            if bounds != "none":
                stages.append(Stage(f"{bounds}@{eps!r}", partial(self.bound, eps=eps, method=bounds)))
        return stages

    @property
    def model(self) -> nn.Module:
        """What is certified."""
        return self.chosen.networks["model"]

    @torch.no_grad()
    def clean(self, x: Tensor, y: Tensor, at: Tensor) -> dict[str, Tensor]:
        """Return classes without an attack."""
        return {"class": self.model(x).argmax(1)}

    def attack(self, x: Tensor, y: Tensor, at: Tensor, eps: float) -> dict[str, Tensor]:
        """Attack what is right, until it falls."""
        witness = Witness(y)
        witness.stands = self._right(y, at)
        positions = self.chosen.index[at].tolist()
        search = Search((self.model,), x, eps, self.norm, self.steps, self.restarts, self.seed, positions)
        for start in search.starts():
            for loss in (cross_entropy, margin):
                rows = witness.stands.nonzero().flatten()
                if not len(rows):
                    break
                part = replace(search, x=x[rows], positions=[positions[i] for i in rows.tolist()])
                own = y[rows]
                part.climb(
                    start[rows],
                    lambda z, own=own, loss=loss: loss(z, own),
                    lambda z, rows=rows: witness.see(z, rows),
                )
        return {"stands": witness.stands}

    @torch.no_grad()
    def bound(self, x: Tensor, y: Tensor, at: Tensor, eps: float, method: str) -> dict[str, Tensor]:
        """Bound the margin, the largest other logit less that of the label, where it is below 0 at x."""
        rows = self._right(y, at).nonzero().flatten()
        found = x.new_full((len(y),), torch.inf)
        if len(rows):
            above = Bounder(self.model, x[rows], eps, method, self.norm).margins(y[rows]).upper.squeeze(1)
            least = above.scatter(1, y[rows][:, None], -torch.inf).amax(1)
            found[rows] = least + further_rounding(self.model(x[rows]))
        return {"margin": found.float()}

    def smooth(self, x: Tensor, at: Tensor, sigma: float, samples: int, alpha: float) -> dict[str, Tensor]:
        """Certify the smoothed network."""
        found = smooth(
            self.model, x, sigma=sigma, samples=samples, alpha=alpha, batch_size=16 * self.batch_size,
            seed=self.seed, index=self.chosen.index[at], progress=False,
        )  # fmt: skip
        return {"prediction": found.prediction, "radius": found.radius}

    def _right(self, y: Tensor, at: Tensor) -> Tensor:
        right: Tensor = self.kept.get("clean", "class")[at].to(y.device) == y
        return right
