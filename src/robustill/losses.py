"""Losses per example: logits `[B, C]` -> `[B]`.

Nothing here reduces over the batch; the one reduction stands in a method's `outer`. Logits in half precision are
lifted to float32 first, since an exponential of a bfloat16 logit is right to two digits only.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from robustill.errors import InputError


def _lift(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return `-log softmax(logits)[y]`, `[B, C], [B] -> [B]`.

    >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2])).exp()
    tensor([4.])
    """
    return F.cross_entropy(_lift(logits), y, reduction="none")


def kl_div(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return `KL(softmax(teacher / t) || softmax(student / t))`, summed over classes, `[B, C], [B, C] -> [B]`.

    The target comes second and its gradient is *not* stopped: whether it is detached is part of a method and is
    written there. No factor `t^2` is applied.

    >>> z = torch.tensor([[1.0, 2.0, 3.0]])
    >>> kl_div(z, z)
    tensor([0.])
    """
    log_q = F.log_softmax(_lift(student) / temperature, dim=1)
    log_p = F.log_softmax(_lift(teacher) / temperature, dim=1)
    return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)


def probabilities(logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Return `softmax(logits / t)`, `[B, C] -> [B, C]`, in float32 or better."""
    return F.softmax(_lift(logits) / temperature, dim=1)


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return `-sum_c target_c log softmax(logits)_c` for a target distribution, `[B, C], [B, C] -> [B]`."""
    return -(target * F.log_softmax(_lift(logits), dim=1)).sum(1)


def entropy(logits: Tensor, *, order: float = 1.0) -> Tensor:
    """Return the entropy of `softmax(logits)` in nats, `[B, C] -> [B]`, between 0 and `log C`.

    Shannon's for order 1, otherwise Renyi's: `log(sum_c p_c^order) / (1 - order)`.
    """
    log_p = F.log_softmax(_lift(logits), dim=1)
    if order == 1:
        return -(log_p.exp() * log_p).sum(1)
    return (order * log_p).logsumexp(1) / (1 - order)


def squared_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean over features of `(a - b)^2`, `[B, D], [B, D] -> [B]`."""
    return (_lift(a) - _lift(b)).square().mean(1)


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return `1 - cos(a, b)`, `[B, D], [B, D] -> [B]`, between 0 and 2."""
    return 1 - F.cosine_similarity(_lift(a), _lift(b), dim=1)


def _best_other(logits: Tensor, y: Tensor) -> Tensor:
    return logits.scatter(1, y[:, None], -torch.inf).amax(1)


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return `max_{k != y} z_k - z_y`, `[B, C], [B] -> [B]`: positive where the prediction is wrong.

    >>> margin(torch.tensor([[3.0, 1.0, 2.5]]), torch.tensor([0]))
    tensor([-0.5000])
    """
    logits = _lift(logits)
    return _best_other(logits, y) - logits.gather(1, y[:, None]).squeeze(1)


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """Return the difference-of-logits ratio `margin / (z_(1) - z_(3))`, `[B, C], [B] -> [B]`.

    Invariant to shift and scale of the logits (Croce and Hein 2020b, eq. 6).

    Raises:
        InputError: Fewer than three classes.
    """
    if logits.shape[1] < 3:
        raise InputError(f"the DLR loss needs at least 3 classes, found {logits.shape[1]}", "use cross_entropy")
    logits = _lift(logits)
    top = logits.topk(3, dim=1).values
    return margin(logits, y) / (top[:, 0] - top[:, 2]).clamp_min(1e-12)


def dlr_targeted(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """Return `(z_t - z_y) / (z_(1) - (z_(3) + z_(4)) / 2)`, `[B, C], [B], [B] -> [B]` (Croce and Hein 2020b, eq. 7).

    Raises:
        InputError: Fewer than four classes.
    """
    if logits.shape[1] < 4:
        raise InputError(f"the targeted DLR loss needs at least 4 classes, found {logits.shape[1]}", "use ce-targeted")
    logits = _lift(logits)
    top = logits.topk(4, dim=1).values
    ahead = (logits.gather(1, target[:, None]) - logits.gather(1, y[:, None])).squeeze(1)
    return ahead / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2).clamp_min(1e-12)


def boosted_cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return MART's boosted cross-entropy, `[B, C], [B] -> [B]`.

    `-log p_y - log(1.0001 - max_{k != y} p_k + 1e-12)` (Wang et al., ICLR 2020); the constants are the released ones
    and keep the second term finite for a confident mistake.
    """
    p = F.softmax(_lift(logits), dim=1)
    return cross_entropy(logits, y) - torch.log(1.0001 - _best_other(p, y) + 1e-12)


def mart(student_adv: Tensor, student_nat: Tensor, y: Tensor, *, lam: float) -> Tensor:
    """Return MART's loss per example, `BCE(S(x'), y) + lam * KL(S(x) || S(x')) * (1 - S(x)_y)`.

    Neither the KL target nor the weight is detached, as in the paper's code.
    """
    p_y = F.softmax(_lift(student_nat), dim=1).gather(1, y[:, None]).squeeze(1)
    weight = 1.0000001 - p_y
    return boosted_cross_entropy(student_adv, y) + lam * kl_div(student_adv, student_nat) * weight
