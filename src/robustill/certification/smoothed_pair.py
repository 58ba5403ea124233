"""Certificates of a smoothed student beside its smoothed teacher: relative confidence and agreement, in L2.

Our formulation of faithful distillation, after Lamb et al., arXiv 2306.04431; the lemmas are those of Cohen et al.,
ICML 2019, and Salman et al., NeurIPS 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustill.certification.smoothing import Smoothed, cast_votes, certificate
from robustill.certification.smoothing_bounds import binomial_high, carried, check_radius, mean_margin
from robustill.certification.smoothing_noise import Noise, check_mode, logits_of, numbered
from robustill.errors import InputError, ModelError
from robustill.inputs import check_labels
from robustill.losses import probabilities

# The class of each network, the gap from below and from above, the disagreement: these hold together.
_BOUNDS = 5


@dataclass(frozen=True)
class SmoothedPair:
    """What is certified of a smoothed student and teacher at each example; tensors `[N]` on the CPU.

    With a probability of at least `1 - alpha`, for each example by itself, everything here and everything that the
    methods return holds at once, for all radii; about the smoothed networks, not about those without noise.

    Args:
        student: The student's certificate, which takes a fifth of `alpha`.
        teacher: The teacher's.
        classes: int64, the class c whose confidence is compared.
        gap: float64, mean of `p_c` of the student less that of the teacher, over the same noisy copies.
        gap_low: float64, lower confidence bound of its expectation at x.
        gap_high: float64, upper one.
        disagreements: int64, estimation copies to which the two networks give different classes.
        disagreement_high: float64, upper confidence bound of the probability of that at x.
        sigma: Standard deviation of the noise.
        samples: Number of estimation copies.
        alpha: Chance of error per example.
        temperature: What the logits were divided by for `p_c`.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> student, teacher = nn.Linear(2, 2).eval(), nn.Linear(2, 2).eval()
    >>> x = torch.tensor([[0.5, 0.5]])
    >>> from robustill.certification import smooth_pair
    >>> y = student(x).argmax(1)
    >>> found = smooth_pair(student, student, x, y, sigma=0.25, selection=20, samples=100, progress=False)
    >>> found.gap
    tensor([0.], dtype=torch.float64)
    """

    student: Smoothed
    teacher: Smoothed
    classes: Tensor
    gap: Tensor
    gap_low: Tensor
    gap_high: Tensor
    disagreements: Tensor
    disagreement_high: Tensor
    sigma: float
    samples: int
    alpha: float
    temperature: float = 1.0

    @property
    def agreement_radius(self) -> Tensor:
        """Nearer than this both smoothed networks give the same class, float64 `[N]`; 0 where that is not certified."""
        same = (self.student.prediction == self.teacher.prediction) & (self.student.prediction >= 0)
        return torch.where(same, torch.minimum(self.student.radius, self.teacher.radius), 0.0)

    def gap_at(self, radius: float) -> tuple[Tensor, Tensor]:
        """Return bounds of the smoothed gap at every point within `radius`, float64 `[N]` each.

        Raises:
            InputError: A radius below 0.
        """
        check_radius(radius)
        low, high = (self.gap_low + 1) / 2, (self.gap_high + 1) / 2
        return 2 * carried(low, -radius / self.sigma) - 1, 2 * carried(high, radius / self.sigma) - 1

    def calibration_at(self, radius: float) -> Tensor:
        """Return an upper bound of the largest absolute gap within `radius`, float64 `[N]`.

        Raises:
            InputError: A radius below 0.
        """
        low, high = self.gap_at(radius)
        return torch.maximum(-low, high)

    def disagreement_at(self, radius: float) -> Tensor:
        """Return an upper bound of the probability that the networks differ, at every point within `radius`.

        Raises:
            InputError: A radius below 0.
        """
        check_radius(radius)
        return carried(self.disagreement_high, radius / self.sigma)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain containers."""
        found = {name: value.tolist() if isinstance(value, Tensor) else value for name, value in vars(self).items()}
        both = {"student": self.student.to_json(), "teacher": self.teacher.to_json()}
        return {**found, **both, "agreement_radius": self.agreement_radius.tolist()}


def smooth_pair(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    sigma: float,
    selection: int = 100,
    samples: int = 10_000,
    alpha: float = 0.001,
    temperature: float = 1.0,
    batch_size: int = 1024,
    seed: int = 0,
    index: Tensor | None = None,
    progress: bool = True,
) -> SmoothedPair:
    """Compare the smoothed forms of `student` and `teacher` at `x`, under the same noise.

    One bound of the mean of `F = (1 + p^S_y - p^T_y) / 2` takes the place of a bound for each network: where the two
    agree copy by copy its variance is small. Means are bounded by Hoeffding or empirical Bernstein, whichever is
    tighter, counts by Clopper-Pearson; the five bounds of an example share `alpha` evenly (Bonferroni).

    Args:
        student: Maps images `[B, ...]` to logits `[B, C]`; in eval mode.
        teacher: Another with the same classes.
        x: Images in [0, 1], `[N, ...]`, on the device of the networks.
        y: Class whose confidence is compared, int64 `[N]`; usually the label.
        sigma: Standard deviation of the noise, pixel units.
        selection: Copies per example that choose the classes.
        samples: Copies per example that the bounds are made of.
        alpha: Chance of error per example.
        temperature: What the logits are divided by before the softmax; classes do not depend on it.
        batch_size: Copies per forward pass, rounded down to a multiple of 16.
        seed: Decides the noise.
        index: Number of each example, `[N]`; 0 .. N-1 when None. Give it for a part of a data set.
        progress: Show a bar.

    Raises:
        InputError: A value out of range, images outside [0, 1], a network in train mode, or labels that do not fit.
        ModelError: A network returns no logits or undefined ones, or the two have different classes.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> student, teacher = nn.Linear(2, 2).eval(), nn.Linear(2, 2).eval()
    >>> x = torch.tensor([[0.5, 0.5]])
    >>> y = student(x).argmax(1)
    >>> found = smooth_pair(student, student, x, y, sigma=0.25, selection=20, samples=100, progress=False)
    >>> found.disagreements
    tensor([0])
    """
    noise = Noise(sigma=sigma, selection=selection, samples=samples, alpha=alpha, batch_size=batch_size, seed=seed)
    numbers = numbered(x, index)
    if y.shape != (len(x),):
        raise InputError(f"y must hold a class for each of the {len(x)} images, found {list(y.shape)}")
    check_mode("student", student)
    check_mode("teacher", teacher)
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature is {temperature!r}; it must be above 0")
    tally = _Tally(y.to(x.device), temperature)
    with torch.no_grad():
        for rows, judging, points in noise.copies(x, numbers, label="smoothing a pair", progress=progress):
            logits = logits_of("student", student, points), logits_of("teacher", teacher, points)
            tally.add(*logits, rows, judging)
    return tally.result(noise)


class _Tally:
    """Sums of all copies so far: a few numbers per example."""

    def __init__(self, y: Tensor, temperature: float) -> None:
        self.y, self.temperature = y, temperature
        self.votes = [torch.zeros(2, len(y), 1, dtype=torch.int64, device=y.device) for _ in range(2)]
        self.apart = torch.zeros(len(y), dtype=torch.int64, device=y.device)
        # Sums of the difference and of its square.
        self.sums = torch.zeros(2, len(y), dtype=torch.float64, device=y.device)

    def add(self, student: Tensor, teacher: Tensor, rows: Tensor, judging: Tensor) -> None:
        """Count the logits `[B, C]` of both networks at copies of the examples `rows` `[B]`."""
        if student.shape != teacher.shape:
            raise ModelError(
                f"the student has {student.shape[1]} classes, the teacher {teacher.shape[1]}",
                "compare networks that were trained on the same classes",
            )
        if self.votes[0].shape[2] != student.shape[1]:
            check_labels(self.y, student.shape[1])
        self.votes = [cast_votes(v, z, rows, judging) for v, z in zip(self.votes, (student, teacher), strict=True)]
        label = self.y[rows][:, None]
        p_student, p_teacher = (
            probabilities(z, temperature=self.temperature).gather(1, label).squeeze(1).double()
            for z in (student, teacher)
        )
        # What chooses a class must not judge it.
        gap = (p_student - p_teacher) * judging
        self.sums.index_add_(1, rows, torch.stack([gap, gap.square()]))
        self.apart.index_add_(0, rows, ((student.argmax(1) != teacher.argmax(1)) & judging).long())

    def result(self, noise: Noise) -> SmoothedPair:
        """Return what the sums certify."""
        total, squares = self.sums.cpu()
        if not bool(total.isfinite().all()):
            raise ModelError("student or teacher returned infinite or undefined logits on noisy images")
        n, share = noise.samples, noise.alpha / _BOUNDS
        gap = total / n
        variance = (squares - n * gap.square()).clamp_min(0) / max(n - 1, 1)
        # F is half the gap, so its variance is a quarter, and its margin counts twice.
        margin = 2 * mean_margin(variance / 4, n, share)
        certificates = [certificate(votes, noise, share) for votes in self.votes]
        return SmoothedPair(
            student=certificates[0],
            teacher=certificates[1],
            classes=self.y.cpu(),
            gap=gap,
            gap_low=(gap - margin).clamp(-1, 1),
            gap_high=(gap + margin).clamp(-1, 1),
            disagreements=self.apart.cpu(),
            disagreement_high=binomial_high(self.apart, n, share),
            sigma=noise.sigma,
            samples=n,
            alpha=noise.alpha,
            temperature=self.temperature,
        )
