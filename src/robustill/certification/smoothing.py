"""Randomized smoothing: L2 certificates of the class that a model gives most often under Gaussian noise.

Paper: Cohen, Rosenfeld, Kolter, "Certified Adversarial Robustness via Randomized Smoothing", ICML 2019,
arXiv 1902.02918.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustill.certification.smoothing_bounds import binomial_low, check_radius
from robustill.certification.smoothing_noise import Noise, check_mode, logits_of, numbered
from robustill.inputs import check_labels

ABSTAIN = -1


@dataclass(frozen=True)
class Smoothed:
    """What is certified of the smoothed model at each example; tensors `[N]` on the CPU.

    The smoothed model gives the class that the model itself gives most often at `x + N(0, sigma^2 I)`. With a
    probability of at least `1 - alpha`, for each example by itself, its class is `prediction` at every point nearer
    than `radius` in L2. Says nothing about the model without noise. Holds up to rounding of the network's arithmetic.

    Args:
        prediction: int64; -1 where no class could be shown to have more than half of the votes.
        radius: float64, pixel units; 0 where it abstains.
        probability: float64, lower confidence bound of the probability of the class `selected`.
        selected: int64, the class that the selection copies chose, also where it abstains.
        counts: int64 `[N, C]`, votes of the estimation copies; one with infinite or undefined logits votes for none.
        sigma: Standard deviation of the noise.
        samples: Number of estimation copies.
        alpha: Chance of error per example.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> student, teacher = nn.Linear(2, 2).eval(), nn.Linear(2, 2).eval()
    >>> x = torch.tensor([[0.5, 0.5]])
    >>> from robustill.certification import smooth
    >>> found = smooth(student, x, sigma=0.25, selection=20, samples=100, progress=False)
    >>> found.counts.sum().item()
    100
    """

    prediction: Tensor
    radius: Tensor
    probability: Tensor
    selected: Tensor
    counts: Tensor
    sigma: float
    samples: int
    alpha: float

    def certified(self, y: Tensor, radius: float) -> Tensor:
        """Return where class `y`, int64 `[N]`, is certified at every point within `radius`, bool `[N]`.

        Raises:
            InputError: A radius below 0, or labels that do not fit.
        """
        check_radius(radius)
        check_labels(y.cpu(), self.counts.shape[1], len(self.prediction))
        return (self.prediction == y.cpu()) & (self.radius > radius)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain containers."""
        return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in vars(self).items()}


def smooth(
    model: nn.Module,
    x: Tensor,
    *,
    sigma: float,
    selection: int = 100,
    samples: int = 10_000,
    alpha: float = 0.001,
    batch_size: int = 1024,
    seed: int = 0,
    index: Tensor | None = None,
    progress: bool = True,
) -> Smoothed:
    """Certify the smoothed form of `model` at `x`.

    The class is chosen on `selection` noisy copies and judged on `samples` others; judging it on the copies that chose
    it would overrate it. The noise of an example depends on `seed`, its number and the kind of device alone: neither
    on the batch size nor on the examples beside it. The largest radius that can be certified is
    `sigma Phi^-1(alpha^(1 / samples))`: 3.2 sigma by default.

    Args:
        model: Maps images `[B, ...]` to logits `[B, C]`; in eval mode, best trained with noise of this sigma. Noisy
            images leave [0, 1].
        x: Images in [0, 1], `[N, ...]`, on the device of the model.
        sigma: Standard deviation of the noise, pixel units.
        selection: Copies per example that choose its class.
        samples: Copies per example that judge it.
        alpha: Chance of error per example.
        batch_size: Copies per forward pass, rounded down to a multiple of 16.
        seed: Decides the noise.
        index: Number of each example, `[N]`; 0 .. N-1 when None. Give it for a part of a data set.
        progress: Show a bar.

    Raises:
        InputError: A value out of range, images outside [0, 1], or a model in train mode.
        ModelError: The model returns no logits.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> student, teacher = nn.Linear(2, 2).eval(), nn.Linear(2, 2).eval()
    >>> x = torch.tensor([[0.5, 0.5]])
    >>> found = smooth(student, x, sigma=0.25, selection=20, samples=100, progress=False)
    >>> bool(found.prediction == student(x).argmax(1)), bool(found.radius > 0)
    (True, True)
    """
    noise = Noise(sigma=sigma, selection=selection, samples=samples, alpha=alpha, batch_size=batch_size, seed=seed)
    numbers = numbered(x, index)
    check_mode("model", model)
    votes = torch.zeros(2, len(x), 1, dtype=torch.int64, device=x.device)
    with torch.no_grad():
        for rows, judging, points in noise.copies(x, numbers, label="smoothing", progress=progress):
            votes = cast_votes(votes, logits_of("model", model, points), rows, judging)
    return certificate(votes, noise, alpha)


def cast_votes(votes: Tensor, logits: Tensor, rows: Tensor, judging: Tensor) -> Tensor:
    """Return `votes` int64 `[2, N, C]` (row 0 chooses, row 1 judges) with those of `logits` `[B, C]` added.

    Votes without classes yet, `[2, N, 1]`, get those of the logits.
    """
    classes = logits.shape[1]
    if votes.shape[2] != classes:
        votes = votes.new_zeros(2, votes.shape[1], classes)
    place = (judging.long() * votes.shape[1] + rows) * classes + logits.argmax(1)
    votes.view(-1).index_add_(0, place, logits.isfinite().all(1).long())
    return votes


def certificate(votes: Tensor, noise: Noise, alpha: float) -> Smoothed:
    """Return what votes int64 `[2, N, C]` certify with a chance of error of `alpha` per example."""
    choosing, counts = votes.cpu()
    selected = choosing.argmax(1)
    probability = binomial_low(counts.gather(1, selected[:, None]).squeeze(1), noise.samples, alpha)
    sure = probability > 0.5
    return Smoothed(
        prediction=torch.where(sure, selected, ABSTAIN),
        radius=torch.where(sure, noise.sigma * torch.special.ndtri(probability), 0.0),
        probability=probability,
        selected=selected,
        counts=counts,
        sigma=noise.sigma,
        samples=noise.samples,
        alpha=alpha,
    )
