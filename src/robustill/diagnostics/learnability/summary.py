"""An unlearnable set as JSON: its sizes, classes, stability, suspect labels; and pictures of its ends."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from robustill.data import Data
from robustill.diagnostics.learnability.scores import Learnability

_DIGITS = 6


def summary(found: Learnability) -> dict[str, Any]:
    """Return the content of `unlearnable.json`; the sets themselves are in the file of `save_learnability`."""
    positions, classes = found.label_errors()
    names = found.about.get("class_names", [])
    rows = dict(zip(found.index.tolist(), zip(found.rows.tolist(), found.labels.tolist(), strict=True), strict=True))
    return {
        "schema": 1,
        **found.about,
        "references": list(found.references),
        "images": len(found.labels),
        "sizes": {name: _sizes(found, name) for name in ("single", "intersection")},
        "soft_size": round(float(found.soft_weights().sum()), _DIGITS),
        "groups": {group: _sizes(found.subset(own), "intersection") for group, own in found.groups().items()},
        "histogram": torch.bincount(found.score, minlength=len(found.references) + 1).tolist(),
        "classes": _classes(found),
        "jaccard": [[round(value, _DIGITS) for value in row] for row in found.jaccard().tolist()],
        "stability": [asdict(point) for point in found.stability_curve()],
        "label_errors": [
            {"position": at, "row": rows[at][0], "label": _name(names, rows[at][1]), "seen_as": _name(names, seen)}
            for at, seen in zip(positions.tolist(), classes.tolist(), strict=True)
        ],
    }


def picture(found: Learnability, data: Data, count: int = 10) -> dict[str, Any]:
    """Return the least and the most learnable images as plain lists, for a figure.

    From the images that all references get wrong those whose label gets the lowest probability without an attack, from
    the images that all get right those with the highest; of each class in turn.

    Args:
        found: What was found on `data`.
        data: Where the pixels are.
        count: Images per row.
    """
    names = found.about.get("class_names", [])
    rows = []
    for title, members, sign in (
        ("least learnable", found.score == 0, 1.0),
        ("most learnable", found.score == len(found.references), -1.0),
    ):
        chosen = _in_turn(members.nonzero().flatten(), sign * found.belief, found.labels, count)
        images = [
            {
                "pixels": _pixels(data.train.images(found.index[at : at + 1])[0]),
                "caption": _name(names, int(found.labels[at])),
                "seen_as": _name(names, int(found.agreed[at])) if found.agreed[at] >= 0 else None,
            }
            for at in chosen
        ]
        rows.append({"title": title, "of": int(members.sum()), "images": images})
    return {"references": len(found.references), "rows": rows}


def _sizes(found: Learnability, estimator: str) -> dict[str, int]:
    unlearnable, learnable = (int(each.sum()) for each in found.weights(estimator))
    sizes = {"references": 1 if estimator == "single" else len(found.references)}
    return sizes | {"unlearnable": unlearnable, "learnable": learnable}


def _classes(found: Learnability) -> list[dict[str, Any]]:
    unlearnable, learnable = found.weights()
    names, table = found.about.get("class_names", []), []
    for label in torch.unique(found.labels).tolist():
        own = found.labels == label
        sizes = {"unlearnable": int(unlearnable[own].sum()), "learnable": int(learnable[own].sum())}
        table.append({"name": _name(names, label), "images": int(own.sum()), **sizes})
    return table


def _name(names: list[str], label: int) -> str:
    return str(names[label]) if label < len(names) else str(label)


def _in_turn(at: Tensor, order: Tensor, labels: Tensor, count: int) -> list[int]:
    """Return up to `count` of the positions `at`: the first of each class by `order`, then the second of each ..."""
    ordered = at[order[at].sort(stable=True).indices].tolist()
    turns: dict[int, int] = {}
    keys = []
    for place, each in enumerate(ordered):
        label = int(labels[each])
        turns[label] = turns.get(label, 0) + 1
        keys.append((turns[label], place, each))
    return [each for _, _, each in sorted(keys)[:count]]


def _pixels(image: Tensor) -> list[Any]:
    """Return uint8 `[C, H, W]` as rows of grey values, or of (red, green, blue)."""
    moved = image.cpu()[0] if len(image) == 1 else image.cpu().movedim(0, -1)
    return moved.tolist()
