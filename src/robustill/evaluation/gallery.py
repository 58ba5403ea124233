"""Some test images, what an attack makes of them, and what networks see, as plain containers."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robustill.attacks import adversarial_points, eval_mode, named_attack
from robustill.attacks.threat import Norm
from robustill.data import Data
from robustill.data.splits import to_unit
from robustill.evaluation.store import example_generators
from robustill.evaluation.subset import balanced
from robustill.models import model_digest

_LOOKED_AT, _ATTACK = 64, "pgd20"


def gallery(
    student: nn.Module,
    teachers: Mapping[str, nn.Module],
    data: Data,
    *,
    eps: float,
    norm: Norm = "Linf",
    images: int = 8,
    seed: int = 0,
) -> dict[str, Any]:
    """Return test images that `student` classifies right: half of them fall under PGD-20, half stand, if there are any.

    Args:
        student: Maps images `[B, C, H, W]` in [0, 1] to logits; it is attacked.
        teachers: By name; they only look.
        data: Its test images, and the names of its classes.
        eps: Radius in pixel units.
        norm: `"Linf"` or `"L2"`.
        images: How many at most, out of 64 that are tried.
        seed: Draws the images and the random starts.

    Returns:
        Where the numbers come from, and per image `position` in the test split, `label`, `fell`, `predictions` of each
        network on the image and on the attacked one, and base64 of PNGs: `clean`, `adversarial` and `perturbation`,
        whose grey is no change.
    """
    at = balanced(data.test.labels, _LOOKED_AT, seed)
    place = next(student.parameters()).device
    x, y = to_unit(data.test.images(at).to(place)), data.test.labels[at].to(place)
    with eval_mode(student), torch.no_grad():
        right = student(x).argmax(1) == y
    at, x, y = at[right.cpu()], x[right], y[right]
    draws = example_generators(seed, "gallery", at.tolist())
    attack = named_attack(_ATTACK, eps=eps, norm=norm)
    x_adv = adversarial_points(student, x, y, attack, generator=draws) if len(x) else x
    with eval_mode(student), torch.no_grad():
        fell = student(x_adv).argmax(1) != y
    chosen = _chosen(fell, y, images)
    networks = {"student": student, **teachers}
    seen = {name: [_seen(net, view[chosen], data.class_names) for view in (x, x_adv)] for name, net in networks.items()}
    return {
        "schema": 1, "attack": _ATTACK, "norm": norm, "eps": eps, "seed": seed, "data": data.name, "split": "test",
        "model_digest": model_digest(student),
        "images": [
            {
                "position": int(at[i]), "label": _name(int(y[i]), data.class_names), "fell": bool(fell[i]),
                "predictions": {name: {"clean": both[0][k], "adversarial": both[1][k]} for name, both in seen.items()},
                "clean": _png(x[i]), "adversarial": _png(x_adv[i]),
                "perturbation": _png(0.5 + (x_adv[i] - x[i]) / (2 * _largest(x_adv[i] - x[i]))),
            }
            for k, i in enumerate(chosen)
        ],
    }  # fmt: skip


def _chosen(fell: Tensor, y: Tensor, count: int) -> list[int]:
    """Return up to `count` positions, half of them fallen where there are enough, of as many classes as there are."""
    kinds = [_by_class(which.nonzero().flatten().tolist(), y) for which in (fell, ~fell)]
    half = max(count // 2, count - len(kinds[1]))
    own = kinds[0][:half]
    return own + kinds[1][: count - len(own)]


def _by_class(at: list[int], y: Tensor) -> list[int]:
    """Return positions in turns: the first of each class, then the second of each ..."""
    turns: dict[int, int] = {}
    keys = []
    for each in at:
        label = int(y[each])
        turns[label] = turns.get(label, 0) + 1
        keys.append((turns[label], each))
    return [each for _, each in sorted(keys)]


def _seen(network: nn.Module, x: Tensor, names: tuple[str, ...]) -> list[dict[str, Any]]:
    place = next(network.parameters()).device
    with eval_mode(network), torch.no_grad():
        shares, classes = network(x.to(place)).float().softmax(1).max(1)
    return [
        {"class": _name(label, names), "probability": share}
        for share, label in zip(shares.tolist(), classes.tolist(), strict=True)
    ]


def _name(label: int, names: tuple[str, ...]) -> str:
    return names[label] if label < len(names) else str(label)


def _largest(change: Tensor) -> float:
    return max(float(change.abs().max()), 1e-12)


def _png(image: Tensor) -> str:
    """Return base64 of a PNG of `[C, H, W]` in [0, 1], one channel or three."""
    from PIL import Image

    pixels = (255 * image.clamp(0, 1)).round().to(torch.uint8).cpu().movedim(0, -1).numpy()
    written = io.BytesIO()
    Image.fromarray(pixels[..., 0] if len(image) == 1 else pixels).save(written, "PNG", optimize=True)
    return base64.b64encode(written.getvalue()).decode("ascii")
