"""The balances of MTARD (ECCV), B-MTARD (journal) on plain floats."""

from __future__ import annotations

from collections.abc import Sequence


def shares(losses: Sequence[float], first: Sequence[float], power: float = 1.0) -> list[float]:
    """`r_k = l_k^b / sum_j l_j^b` with `l_k = L_k / L_k(0)`."""
    relative = [(now / then) ** power for now, then in zip(losses, first, strict=True)]
    return [value / sum(relative) for value in relative]


def conference(w_nat: float, losses: Sequence[float], first: Sequence[float], rate: float) -> tuple[float, float]:
    """ECCV rule, losses as (adv, nat): return the new (w_adv, w_nat)."""
    w_nat = w_nat - rate * (w_nat - shares(losses, first)[1])
    return 1 - w_nat, w_nat


def journal(
    weights: Sequence[float], losses: Sequence[float], first: Sequence[float], rate: float, power: float = 1.0
) -> list[float]:
    """Journal rule for any number of terms: every weight moves, is clipped at 0, and all are renormalised."""
    moved = []
    for weight, share in zip(weights, shares(losses, first, power), strict=True):
        moved.append(max(0.0, weight - rate * (weight - share)))
    return [value / sum(moved) for value in moved]


def sign(value: float) -> float:
    """-1, 0 or 1."""
    return float((value > 0) - (value < 0))


def temperatures(tau: Sequence[float], h_adv: float, h_nat: float, rate: float) -> tuple[float, float]:
    """Entropy rule of the paper, written with its ratios; both entropies must be positive."""
    tau_adv = tau[0] - rate * sign(h_adv / h_nat - 1)
    tau_nat = tau[1] - rate * sign(h_nat / h_adv - 1)
    return min(max(tau_adv, 1.0), 10.0), min(max(tau_nat, 1.0), 10.0)
