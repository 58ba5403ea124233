"""All that is measured around one network: curves along directions, a plane, and how flat it is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from robustill.diagnostics.landscape_directions import filter_normalised
from robustill.diagnostics.landscape_walk import Direction, Walk
from robustill.progress import Bar


def measured(walk: Walk, settings: dict[str, Any], radii: Sequence[float], shown: Bar) -> dict[str, Any]:
    """Return losses and robust accuracies around a network, as plain containers; see `landscape`.

    Args:
        walk: Holds the network.
        settings: Those of a `landscape.json`.
        radii: Points of the curves; 0 and, with both signs, `settings["flatness_at"]` are among them.
        shown: Moves by one for every point.
    """

    def measure(*steps: tuple[float, Direction]) -> tuple[Tensor, Tensor]:
        found = walk.measure(*steps)
        shown.advance()
        return found

    ways = [
        filter_normalised(walk.copy, torch.Generator().manual_seed(_mixed(settings["seed"], k)))
        for k in range(max(settings["directions"], 2 if settings["plane"] else 0))
    ]
    centre, at = measure(), settings["flatness_at"]
    curves, robust, rises, drops = [], [], [], []
    for way in ways[: settings["directions"]]:
        values = {r: measure((r, way)) if r else centre for r in radii}
        curves.append([values[r][0].mean().item() for r in radii])
        robust.append([values[r][1].mean().item() for r in radii])
        rises.append((values[at][0] + values[-at][0]) / 2 - centre[0])
        drops.append(centre[1] - (values[at][1] + values[-at][1]) / 2)
    plane = None
    if settings["plane"]:
        sides = grid(settings["radius"], settings["plane"])
        losses = [[(measure((a, ways[0]), (b, ways[1])) if a or b else centre)[0] for a in sides] for b in sides]
        plane = {"radii": sides, "losses": [[each.mean().item() for each in row] for row in losses]}
    flatness = {"radius": at, "rise": _spread(torch.stack(rises)), "robust_drop": _spread(torch.stack(drops))}
    return {
        "loss": centre[0].mean().item(),
        "robust": centre[1].mean().item(),
        "curves": curves,
        "robust_curves": robust,
        "flatness": flatness,
        "plane": plane,
    }


def grid(radius: float, points: int) -> list[float]:
    """Return an odd number of evenly spaced points from `-radius` to `radius`, 0 in the middle.

    >>> grid(1.0, 5)
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """
    half = points // 2
    return [radius * k / half for k in range(-half, half + 1)]


def _spread(values: Tensor) -> dict[str, Any]:
    """Return mean and spreads of values `[directions, images]`."""
    each, over_images = values.mean(1).tolist(), values.mean(0)
    return {
        "mean": statistics.fmean(each),
        "sd_directions": statistics.stdev(each) if len(each) > 1 else None,
        "se_images": (over_images.std() / math.sqrt(len(over_images))).item() if len(over_images) > 1 else None,
        "by_direction": each,
    }


def _mixed(seed: int, number: int) -> int:
    """Return a seed for a direction; neighbouring seeds share none."""
    return (seed * 1_000_003 + number) % 2**63
