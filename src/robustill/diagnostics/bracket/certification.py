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

    >>> import torch
    >>> yes, no = torch.tensor([True, True]), torch.tensor([[True, False]])
    >>> found = Certification((0.1,), "Linf", "crown", torch.tensor([0, 1]), clean=yes, stands=no, certified=no)
    >>> found.to_json()["radii"][0]["certified"]["accuracy"]
    0.5
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

    def __repr__(self) -> str:
        shares = {"certified": None if self.bounds == "none" else self.certified, "attacked": self.stands}
        rows = [
            f"eps {eps:.4g} "
            + ", ".join(
                f"{kind} {100 * float(v[k].double().mean()):.2f} %" for kind, v in shares.items() if v is not None
            )
            for k, eps in enumerate(self.eps)
        ]
        return f"Certification({len(self.labels)} images, {self.norm}, {self.bounds}: {'; '.join(rows)})"

    def _repr_html_(self) -> str:
        from robustill.notebook import html, lines, table

        found = self.to_json()
        radii = [{"eps": 0.0, "certified": found["clean"], "attacked": found["clean"]}, *found["radii"]]
        kinds = [kind for kind in ("attacked", "certified") if all(each[kind] is not None for each in radii)]
        series = {kind: [100 * each[kind]["accuracy"] for each in radii] for kind in kinds}
        rows = [(f"{each['eps']:.4g}", *(f"{series[kind][k]:.1f}" for kind in kinds)) for k, each in enumerate(radii)]
        title = f"Accuracy in % on {found['images']:,} images, certified by {found['bounds'] or 'nothing'}"
        x, axis = [each["eps"] for each in radii], f"radius eps ({self.norm})"
        drawn = [lines(title, x, series, x_label=axis, y_label="right, %", y_range=(0, 100))] if series else []
        return html(*drawn, table(title, ("eps", *kinds), rows))

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
