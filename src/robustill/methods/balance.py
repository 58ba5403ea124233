"""The two balances of MTARD and B-MTARD, for any number of teachers; their state is buffers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.methods.whole import whole_mean

# Keeps a ratio finite when a first loss or all losses are exactly zero.
_TINY = 1e-12


class LossBalance(nn.Module):
    """Normalisation loss balance: weights follow the share of the slower-improving losses.

    With `l_k = L_k / L_k(0)` and `r_k = l_k^b / sum_j l_j^b`, each step moves `w_k` by `rate (r_k - w_k)`, clips at
    0 and renormalises (arXiv 2306.16170). For two teachers this is the ECCV rule `w_adv = 1 - w_nat`.

    Args:
        terms: Number of loss terms K; weights start at 1/K.
        rate: Learning rate of the weights.
        power: The exponent b.
    """

    whole_batch = "the method balances its losses by the means of the whole batch"
    among_processes = True
    weights: Tensor
    first: Tensor
    started: Tensor

    def __init__(self, terms: int, *, rate: float, power: float = 1.0) -> None:
        super().__init__()
        self.rate, self.power = rate, power
        self.register_buffer("weights", torch.full((terms,), 1 / terms))
        self.register_buffer("first", torch.zeros(terms))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    @torch.no_grad()
    def update(self, losses: Tensor) -> None:
        """Take one step from the losses `[K]` of this batch; the first batch sets the reference L_k(0)."""
        losses = whole_mean(losses).to(self.weights.dtype)
        self.first.copy_(torch.where(self.started, self.first, losses))
        self.started.fill_(True)
        relative = (losses / self.first.clamp_min(_TINY)) ** self.power
        share = relative / relative.sum().clamp_min(_TINY)
        # All losses exactly zero: there is nothing to balance, so the weights stay.
        share = torch.where(relative.sum() > 0, share, self.weights)
        moved = (self.weights - self.rate * (self.weights - share)).clamp_min(0)
        self.weights.copy_(moved / moved.sum())


class EntropyBalance(nn.Module):
    """Entropy-based balance: each temperature moves towards the mean entropy of the teachers.

    `tau_k <- clip(tau_k - rate sign(H_k - mean H), 1, 10)`; for two teachers this is the paper's rule
    `sign(H_k / H_other - 1)`, without its division by an entropy that may vanish.

    Args:
        teachers: Number of teachers K; temperatures start at 1.
        rate: Step of the temperatures.
        low: Lowest temperature.
        high: Highest temperature.
    """

    whole_batch = "the method balances its temperatures by the means of the whole batch"
    among_processes = True
    temperatures: Tensor

    def __init__(self, teachers: int, *, rate: float, low: float = 1.0, high: float = 10.0) -> None:
        super().__init__()
        self.rate, self.low, self.high = rate, low, high
        self.register_buffer("temperatures", torch.ones(teachers))

    @torch.no_grad()
    def update(self, entropies: Tensor) -> None:
        """Take one step from the mean entropies `[K]` measured at the current temperatures."""
        entropies = whole_mean(entropies).to(self.temperatures.dtype)
        # Sum of differences instead of a mean: exact for two teachers, and zero for equal entropies.
        above = (entropies[:, None] - entropies[None, :]).sum(1)
        self.temperatures.copy_((self.temperatures - self.rate * above.sign()).clamp(self.low, self.high))
