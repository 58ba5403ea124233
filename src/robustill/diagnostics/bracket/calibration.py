"""Relative calibration: how far a student's confidence strays from its teacher's, bracketed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from robustill.certification.smoothing_bounds import carried
from robustill.diagnostics.bracket import calibration_json


class Bracket(NamedTuple):
    """What was found and what cannot be exceeded, `[k, n]` each: k radii, n examples.

    >>> import torch
    >>> ends = Bracket(torch.tensor([[0.25]]), torch.tensor([[0.75]]))
    >>> ends.upper - ends.lower
    tensor([[0.5000]])
    """

    lower: Tensor
    upper: Tensor


class Behaviour(NamedTuple):
    """One network without an attack (row 0) and at the worst points of each radius, `[1 + k, n]` each.

    Attributes:
        stands: No point was found where it is wrong.
        confidence: Its largest probability at the point with the greatest cross-entropy.
        right: Whether it is right there.

    >>> import torch
    >>> always = torch.ones(2, 3, dtype=torch.bool)
    >>> Behaviour(always, torch.full((2, 3), 0.5), always).confidence.shape
    torch.Size([2, 3])
    """

    stands: Tensor
    confidence: Tensor
    right: Tensor


class SmoothedGap(NamedTuple):
    """What randomized smoothing certifies of the smoothed pair, `[n]` each; not numbers where it was not asked.

    Attributes:
        sigma: Standard deviation of the noise.
        samples: Noisy copies per example.
        alpha: Chance of error per example.
        low: Lower confidence bound of the gap without an attack.
        high: Upper one.
        agreement_radius: Nearer than this both smoothed networks give the same class.
        disagreement: Upper bound of the probability that noisy copies are classified differently.

    >>> import torch
    >>> ones = torch.ones(1, dtype=torch.float64)
    >>> found = SmoothedGap(0.25, 100, 0.001, -0.5 * ones, 0.5 * ones, ones, 0 * ones)
    >>> bool((found.calibration_at(0.1) >= found.calibration_at(0.0)).all())
    True
    """

    sigma: float
    samples: int
    alpha: float
    low: Tensor
    high: Tensor
    agreement_radius: Tensor
    disagreement: Tensor

    def calibration_at(self, radius: float) -> Tensor:
        """Return an upper bound of the largest absolute gap of the smoothed pair within `radius`, `[n]`."""
        shift = radius / self.sigma
        low, high = carried((self.low + 1) / 2, -shift), carried((self.high + 1) / 2, shift)
        return torch.maximum(1 - 2 * low, 2 * high - 1)


@dataclass(frozen=True)
class Calibration:
    """Relative calibration and agreement of a student and a teacher; the truth lies between the two ends of a bracket.

    With D the student's confidence in the true class less the teacher's, at the same image: `over` is the largest D
    within a radius (an overconfident student, the dangerous side), `under` the largest -D, relative calibration the
    larger of the two. Only examples that one of the two gets right were compared; the others hold NaN.

    Args:
        eps: k radii in ascending order.
        norm: `"Linf"` or `"L2"`.
        bounds: How the upper ends were found; `"none"`: they are 1.
        points: Which examples the numbers of the data set are about: those that the `"teacher"`, the `"student"` or
            `"both"` get right without an attack.
        labels: int64 `[n]`.
        student_class: Predictions without an attack, int64 `[n]`.
        teacher_class: Those of the teacher.
        gap: D without an attack, `[n]`.
        over: Bracket `[k, n]`.
        under: Bracket `[k, n]`.
        apart: Where the networks were found to give different classes within a radius, bool `[k, n]`.
        agreed: Where it is certified that they never do.
        student: Its accuracy and confidence.
        teacher: Those of the teacher.
        smoothed: What smoothing certifies; None: not asked for.
        about: Origin: data, digests, seed.
        seconds: Time per stage.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> from robustill.diagnostics import calibrate
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    >>> found = calibrate(net, net, data, eps=0.05, bounds="none", steps=2, restarts=1, progress=False)
    >>> found.to_json()["clean"]["agreement"]["share"]
    1.0
    """

    eps: tuple[float, ...]
    norm: str
    bounds: str
    points: str
    labels: Tensor
    student_class: Tensor
    teacher_class: Tensor
    gap: Tensor
    over: Bracket
    under: Bracket
    apart: Tensor
    agreed: Tensor
    student: Behaviour
    teacher: Behaviour
    smoothed: SmoothedGap | None = None
    about: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def calibration(self) -> Bracket:
        """Relative calibration, the largest |D|: bracket `[k, n]`."""
        return Bracket(*(torch.maximum(a, b) for a, b in zip(self.over, self.under, strict=True)))

    def chosen(self, points: str | None = None) -> Tensor:
        """Return which examples are meant by `points`, bool `[n]`; by the result's own when None."""
        right = {"student": self.student_class == self.labels, "teacher": self.teacher_class == self.labels}
        points = points or self.points
        return right["student"] & right["teacher"] if points == "both" else right[points]

    def faithful(self, delta: float) -> Bracket:
        """Return where relative calibration exceeds `delta` for nothing found, and certainly never, bool `[k, n]`.

        The share of `lower` is certified, that of `upper` not refuted.
        """
        return Bracket(*(end <= delta for end in reversed(self.calibration)))

    def to_json(self) -> dict[str, Any]:
        """Return what `calibration.json` holds: numbers of the data set with 95% intervals."""
        return calibration_json.to_json(self)

    def __repr__(self) -> str:
        at = self.chosen()
        if not at.any():
            return f"Calibration(0 of {len(at)} images)"
        low, high = (end[:, at].mean(1).tolist() for end in self.calibration)
        rows = [f"eps {eps:.4g} within {low[k]:.3f} to {high[k]:.3f}" for k, eps in enumerate(self.eps)]
        kind = f"{self.norm}, {self.bounds}, mean relative calibration"
        return f"Calibration({int(at.sum())} of {len(at)} images, {kind}: {'; '.join(rows)})"

    def _repr_html_(self) -> str:
        from robustill.notebook import html, lines, table

        found = self.to_json()
        start, radii = found["clean"]["calibration"]["mean"], found["radii"]
        ends = ("lower", "upper") if found["bounds"] is not None else ("lower",)
        names = {"lower": "found by attack", "upper": "certified: not above"}
        series = {names[end]: [start, *(each["calibration"][end]["mean"] for each in radii)] for end in ends}
        x = [0.0, *(each["eps"] for each in radii)]
        rows = [
            (f"{eps:.4g}", *("-" if value[k] is None else f"{value[k]:.4f}" for value in series.values()))
            for k, eps in enumerate(x)
        ]
        title = f"Mean relative calibration on {found['points']['count']:,} of {found['images']:,} images"
        axis = f"radius eps ({self.norm})"
        drawn = [] if start is None else [lines(title, x, series, x_label=axis, y_label="mean relative calibration")]
        return html(*drawn, table(title, ("eps", *series), rows))
