"""Robust accuracy class by class, and over a grid of radii."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robustill.evaluation.interval import clopper_pearson


@dataclass(frozen=True)
class Curve:
    """The worst case over some attacks at each of several radii.

    Args:
        eps: Radii in ascending order, in pixel units.
        verdicts: Where the prediction stays right at each radius and all below it, bool `[k, n]`.
        attacks: The attacks that were run at each.

    >>> import torch
    >>> Curve((0.1, 0.2), torch.tensor([[True, True], [True, False]]), ("fgsm",)).rows()
    [('0.1', '100.00', '15.8 to 100.0'), ('0.2', '50.00', '1.3 to 98.7')]
    """

    eps: tuple[float, ...]
    verdicts: Tensor
    attacks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the part of `evaluation.json`: attacks, and eps, accuracy and interval of each point."""
        points = [{"eps": eps, **_share(right)} for eps, right in zip(self.eps, self.verdicts, strict=True)]
        return {"attacks": list(self.attacks), "points": points}

    def rows(self) -> list[tuple[str, str, str]]:
        """Return table rows (eps, accuracy, 95% interval) as text."""
        return [
            (f"{point['eps']:.4g}", f"{100 * point['accuracy']:.2f}", "{:.1f} to {:.1f}".format(*_percent(point)))
            for point in self.to_json()["points"]
        ]


def class_table(verdicts: Mapping[str, Tensor], labels: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row per class that occurs: its name, number of images, and accuracy and interval per kind of verdict."""
    table = []
    for label in torch.unique(labels).tolist():
        own = labels == label
        name = names[label] if label < len(names) else str(label)
        table.append({"name": name, "images": int(own.sum())} | {kind: _share(v[own]) for kind, v in verdicts.items()})
    return table


def _share(right: Tensor) -> dict[str, Any]:
    return {"accuracy": float(right.double().mean()), "interval": list(clopper_pearson(right))}


def _percent(point: dict[str, Any]) -> list[float]:
    return [100 * end for end in point["interval"]]
