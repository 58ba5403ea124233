"""From a teacher's logits to its scores: a mean, an interval and resampled values for each group of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from torch import Tensor

from robustill.diagnostics.ranking.bootstrap import middle, resampled_differences, resampled_means, weighted_mean
from robustill.losses import cross_entropy, entropy, margin

COLUMNS = ("entropy", "label_probability", "confident_right", "confident_wrong", "accuracy", "nll")


@dataclass(frozen=True)
class Score:
    """A mean over images and its 95% bootstrap interval over them; None where there is no such image."""

    mean: float | None
    low: float | None
    high: float | None

    def to_json(self, classes: int | None = None) -> dict[str, Any]:
        """Return plain containers; with `classes`, also the mean as a share of the largest entropy."""
        found: dict[str, Any] = {"mean": self.mean, "interval": None if self.low is None else [self.low, self.high]}
        if classes is not None:
            found["of_log_classes"] = None if self.mean is None else self.mean / log(classes)
        return found

    def above(self, other: Score) -> bool:
        """Return whether this interval lies wholly above the other's."""
        return self.low is not None and other.high is not None and self.low > other.high


def columns(logits: Tensor, y: Tensor, temperature: float, confident: float) -> Tensor:
    """Return what is averaged of each image, `[n, C], [n] -> float64 [n, 6]`, in the order of `COLUMNS`.

    Entropy and negative log-likelihood are in nats, of `softmax(logits / temperature)`.
    """
    logits = logits.double() / temperature
    p = logits.softmax(1)
    top, seen = p.max(1)
    sure = top > confident
    right = seen == y
    own = p.gather(1, y[:, None]).squeeze(1)
    found = (entropy(logits), own, sure & right, sure & ~right, right, cross_entropy(logits, y))
    return torch.stack([each.double() for each in found], 1)


def scored(
    logits: Tensor,
    y: Tensor,
    groups: Mapping[str, Tensor],
    *,
    temperature: float,
    confident: float,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Score]]:
    """Return `{column: {group: Score}}`; entropy has also the group "contrast", unlearnable less learnable.

    Args:
        logits: `[n, C]` on one surface.
        y: int64 `[n]`.
        groups: Weights `[n]` by name, `unlearnable` and `learnable` among them.
        temperature: Divides the logits.
        confident: Largest probability from which on a prediction is confident.
        resamples: Bootstrap draws.
        seed: Of the draws, which touch no other random state.
    """
    values = columns(logits, y, temperature, confident)
    means = {name: weighted_mean(values, weights) for name, weights in groups.items()}
    drawn = {
        name: resampled_means(values, weights, resamples, seed + k)
        for k, (name, weights) in enumerate(groups.items())
    }  # fmt: skip
    means["contrast"] = means["unlearnable"] - means["learnable"]
    drawn["contrast"] = _contrasts(values, groups, drawn, resamples, seed)
    found: dict[str, dict[str, Score]] = {name: {} for name in COLUMNS}
    for group, mean in means.items():
        low, high = middle(drawn[group])
        for k, name in enumerate(COLUMNS):
            if group != "contrast" or name == "entropy":
                found[name][group] = _score(mean[k], low[k], high[k])
    return found


def _contrasts(
    values: Tensor, groups: Mapping[str, Tensor], drawn: Mapping[str, Tensor], resamples: int, seed: int
) -> Tensor:
    """Return resampled means of the unlearnable less those of the learnable, `[R, K]`."""
    apart = drawn["unlearnable"] - drawn["learnable"]
    one, other = groups["unlearnable"], groups["learnable"]
    if not bool(((one > 0) & (other > 0)).any()):
        return apart
    together = resampled_differences(values, one, other, resamples, seed)
    return together if len(together) else apart


def median_margin(logits: Tensor, y: Tensor, weights: Tensor, temperature: float) -> float | None:
    """Return the median over images of positive weight of the logit of `y` less the best other one, divided by t."""
    at = weights > 0
    if not bool(at.any()):
        return None
    # Of an even number the mean of both in the middle, where `median` takes the lower.
    return float(-margin(logits[at], y[at]).double().quantile(0.5)) / temperature


def _score(mean: Tensor, low: Tensor, high: Tensor) -> Score:
    if bool(mean.isnan()):
        return Score(None, None, None)
    # A mean of equal numbers may differ from them in the last digit.
    return Score(float(mean), min(float(low), float(mean)), max(float(high), float(mean)))
