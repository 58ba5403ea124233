"""Certified accuracy over the radius, below the accuracy that attacks leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustill.diagnostics.bracket.numbers import SMALL, accuracy
from robustill.diagnostics.bracket.versions import versions


class SmoothedClass(NamedTuple):
    """What randomized smoothing certifies of the smoothed network, `[n]` each.

    Attributes:
        sigma: Standard deviation of the noise.
        samples: Noisy copies per example.
        alpha: Chance of error per example.
        prediction: int64; -1 where it abstains.
        radius: float64; the prediction holds at every point nearer than this in L2.
    """

    sigma: float
    samples: int
    alpha: float
    prediction: Tensor
    radius: Tensor


@dataclass(frozen=True)
class Certification:
    """Where a network is right, stays right under attack, and certainly stays right.

    With `smoothed` the certificates are about the smoothed network and no attack was made.

    Args:
        eps: k radii in ascending order.
        norm: `"Linf"` or `"L2"`.
        bounds: `"crown"`, `"crown-ibp"`, `"ibp"`, `"none"` or `"smoothing"`.
        labels: int64 `[n]`.
        clean: Where the network is right without an attack and without noise, bool `[n]`.
        stands: Where no attack within a radius was found, bool `[k, n]`; None: not attacked.
        certified: Where there is none, bool `[k, n]`.
        smoothed: Predictions and radii of the smoothed network.
        about: Origin: data, digest, seed.
        seconds: Time per stage.
    """

    eps: tuple[float, ...]
    norm: str
    bounds: str
    labels: Tensor
    clean: Tensor
    stands: Tensor | None
    certified: Tensor
    smoothed: SmoothedClass | None = None
    about: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what `certification.json` holds: accuracies with exact 95% intervals."""
        return {
            "schema": 1,
            "images": len(self.labels),
            "small_sample": len(self.labels) < SMALL,
            "threat": {"norm": self.norm, "eps": list(self.eps)},
            "bounds": None if self.bounds == "none" else self.bounds,
            "clean": accuracy(self.clean),
            "radii": [self._radius(k) for k in range(len(self.eps))],
            **({} if self.smoothed is None else {"smoothed": self._smoothed(self.smoothed)}),
            **self.about,
            "seconds": round(sum(self.seconds.values()), 3),
            "versions": versions(),
        }

    def _radius(self, k: int) -> dict[str, Any]:
        return {
            "eps": self.eps[k],
            "certified": None if self.bounds == "none" else accuracy(self.certified[k]),
            "attacked": None if self.stands is None else accuracy(self.stands[k]),
        }

    def _smoothed(self, found: SmoothedClass) -> dict[str, Any]:
        right = found.prediction == self.labels
        return {
            "sigma": found.sigma,
            "samples": found.samples,
            "alpha": found.alpha,
            "abstains": float((found.prediction < 0).double().mean()),
            **accuracy(right),
            # All there is to know of the curve: certified accuracy at r is the share of radii above r.
            "right_radii": [round(float(r), 6) for r in torch.sort(found.radius[right]).values],
        }
