"""Differences between two rows, paired by seed, and by image where there is a verdict for each."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from robustill.study.spread import spread


def over_seeds(values: Mapping[int, float], base: Mapping[int, float], confidence: float = 0.95) -> Any:
    """Return the mean of `values - base` over the seeds that both have, with its t interval over seeds.

    Returns:
        `seeds`, `difference`, `interval` (None for one seed); None without a common seed.
    """
    seeds = sorted(values.keys() & base.keys())
    if not seeds:
        return None
    found = spread([values[seed] - base[seed] for seed in seeds], confidence)
    return {"seeds": seeds, "difference": found["mean"], "interval": found["interval"]}


def over_seeds_and_images(
    values: Mapping[int, Sequence[float]], base: Mapping[int, Sequence[float]], confidence: float = 0.95
) -> Any:
    """Return the mean of `values - base`, given per seed and image, with an interval over both.

    Seeds are the same images seen by other students, images are other images seen by the same ones: the half-width
    of the t interval over seeds and that of the normal interval over images are added as squares.

    Args:
        values: For each seed a number per image, all for the same images.
        base: Those of the other row.
        confidence: Of the interval.

    Returns:
        `seeds`, `difference`, `interval`, and its parts `half_seeds` and `half_images` (of one seed and of one image
        there are none); None without a common seed.
    """
    seeds = sorted(values.keys() & base.keys())
    if not seeds:
        return None
    rows = [[a - b for a, b in zip(values[seed], base[seed], strict=True)] for seed in seeds]
    found = spread([statistics.fmean(row) for row in rows], confidence)
    images = [statistics.fmean(column) for column in zip(*rows, strict=True)]
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    half_images = z * statistics.stdev(images) / math.sqrt(len(images)) if len(images) > 1 else None
    half_seeds = None if found["interval"] is None else (found["interval"][1] - found["interval"][0]) / 2
    half = None if half_seeds is None or half_images is None else math.hypot(half_seeds, half_images)
    return {
        "seeds": seeds,
        "difference": found["mean"],
        "interval": None if half is None else [found["mean"] - half, found["mean"] + half],
        "half_seeds": half_seeds,
        "half_images": half_images,
    }
