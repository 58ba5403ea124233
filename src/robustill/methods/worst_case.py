"""Certified bounds as losses: the worst logits, and the largest gap to a teacher, anywhere near each image.

The bounds are of the network as it will be used: in eval mode, so that batch norm normalises by its running statistics,
and in the precision of the weights, since bounds in bfloat16 would bound nothing. They are differentiable by the
weights. Forwards in train mode come before them in a step: those move the running statistics that these read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from robustill.attacks import eval_mode
from robustill.certification import Bounder, Interval, PairBounder
from robustill.models import Frozen


def worst_logits(network: nn.Module, x: Tensor, y: Tensor, eps: float, method: str) -> Tensor:
    """Return upper bounds of `z_j - z_y` for every image within `eps` of `x`, `[B, C]`, 0 where j is y.

    Args:
        network: Put in eval mode meanwhile.
        x: Images in [0, 1], `[B, ...]`.
        y: Labels `[B]`.
        eps: Radius of the Linf ball, in units of [0, 1].
        method: "ibp" or "crown-ibp".
    """
    with _bounding(network, x):
        bounder = Bounder(network, x, eps, method)
        rows, others = _others(y, bounder.classes, x)
        upper = -bounder.ask(-rows).lower
        return upper.new_zeros(len(x), bounder.classes).scatter(1, others, upper)


@torch.no_grad()
def certified(network: nn.Module, x: Tensor, y: Tensor, eps: float, method: str) -> Tensor:
    """Return for which images no image within `eps` gets another label than y, `[B]`; arguments as `worst_logits`."""
    worst = worst_logits(network, x, y, eps, method)
    return worst.scatter(1, y[:, None], -torch.inf).amax(1) < 0


def confidence_gap(
    student: nn.Module,
    teacher: Frozen,
    x: Tensor,
    y: Tensor,
    eps: float,
    method: str,
    norm: str = "Linf",
    *,
    joint: bool = False,
    surrogate: bool = False,
) -> Tensor:
    """Return upper bounds of `|softmax(S(x'))_y - softmax(T(x))_y|` for every image x' within `eps` of `x`, `[B]`.

    Args:
        student: Put in eval mode meanwhile.
        teacher: No gradient goes to it.
        x: Images in [0, 1], `[B, ...]`.
        y: Labels `[B]`.
        eps: Radius in units of [0, 1].
        method: "ibp" or "crown-ibp".
        norm: "Linf" or "L2".
        joint: Compare with T at x' instead of x: the teacher is bounded as well, over the same images.
        surrogate: `tanh(b / 4)` instead, b being the most by which the log odds of y may differ. It is larger, and
            its slope does not vanish where the confidences are bounded by 0 and 1.
    """
    at = teacher(x).to(x.dtype)
    with _bounding(student, x):
        own = Bounder(student, x, eps, method, norm)
        rows, _ = _others(y, own.classes, x)
        if joint:
            pair = PairBounder(own, Bounder(teacher.network, x, eps, method, norm))
            gap = pair.differences(rows) if surrogate else pair.confidence_differences(y)
            return _size(gap, surrogate)
        d, d_at = own.logits(rows), (rows @ at[:, :, None]).squeeze(2)
        if surrogate:
            return _size(Interval(d.lower - d_at, d.upper - d_at), surrogate)
        p = _confidence(d_at)
        return _size(Interval(_confidence(d.upper) - p, _confidence(d.lower) - p), surrogate)


def _confidence(d: Tensor) -> Tensor:
    """Return the confidence in y from all `d_j = z_j - z_y` of the other classes, `[B, C - 1] -> [B, 1]`."""
    return (-d.logsumexp(1, keepdim=True)).sigmoid()


def _size(gap: Interval, surrogate: bool) -> Tensor:
    """Return the largest absolute value in boxes `[B, S]`, or what it says of a confidence, `[B]`."""
    size = torch.maximum(gap.upper, -gap.lower).amax(1)
    return (size / 4).tanh() if surrogate else size


def _others(y: Tensor, classes: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows `e_j - e_y` `[B, C - 1, C]` for the classes j other than y, and these classes `[B, C - 1]`."""
    every = torch.arange(classes, device=y.device).expand(len(y), classes)
    others = every[every != y[:, None]].reshape(len(y), classes - 1)
    eye = torch.eye(classes, dtype=like.dtype, device=like.device)
    return eye[others] - eye[y].unsqueeze(1), others


@contextmanager
def _bounding(network: nn.Module, x: Tensor) -> Iterator[None]:
    with eval_mode(network), torch.autocast(x.device.type, enabled=False):
        yield
