"""What certified training minimises, one image at a time: boxes, linear bounds, worst logits, gaps to a teacher.

Networks are an `nn.Sequential` of convolutions, batch norms, tanh, flattening and linear layers in float64. Each is
written as dense matrices; batch norm by its running statistics. Everything keeps its graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from tests.reference.distilled import fixed
from tests.reference.losses import cross_entropy, kl, mean, probabilities, rows


class Layer(NamedTuple):
    """`W v + b`, or tanh where there is no W."""

    w: Tensor | None = None
    b: Tensor | None = None


class Forms(NamedTuple):
    """`A x + b` lies below what was asked for, and so does `low`."""

    a: Tensor
    b: Tensor
    low: Tensor


def dense(network: nn.Module, x: Tensor) -> list[Layer]:
    """Write a network for the image `x` as matrices."""
    found, shape = [], x.shape
    for module in network:  # type: ignore[attr-defined]
        if isinstance(module, nn.Tanh):
            found.append(Layer())
        elif isinstance(module, nn.BatchNorm2d):
            each = shape[1:].numel()
            scale = module.weight / torch.sqrt(module.running_var + module.eps)
            shift = module.bias - module.running_mean * scale
            found.append(Layer(torch.diag(scale.repeat_interleave(each)), shift.repeat_interleave(each)))
        elif isinstance(module, nn.Conv2d | nn.Linear):
            zero = module(torch.zeros(1, *shape, dtype=x.dtype))
            units = torch.eye(shape.numel(), dtype=x.dtype).reshape(-1, *shape)
            found.append(Layer((module(units) - zero).flatten(1).T, zero.flatten()))
            shape = zero.shape[1:]
        elif isinstance(module, nn.Flatten):
            shape = torch.Size([shape.numel()])
        else:
            assert isinstance(module, nn.Identity)
    return found


def boxes(layers: list[Layer], x: Tensor, eps: float) -> list[tuple[Tensor, Tensor]]:
    """Return the box before the first layer and after each."""
    low, high = (x.flatten() - eps).clamp(min=0), (x.flatten() + eps).clamp(max=1)
    found = [(low, high)]
    for w, b in layers:
        if w is None:
            low, high = torch.tanh(low), torch.tanh(high)
        else:
            up, down = w.clamp(min=0), w.clamp(max=0)
            low, high = up @ low + down @ high + b, up @ high + down @ low + b
        found.append((low, high))
    return found


def least(a: Tensor, box: tuple[Tensor, Tensor]) -> Tensor:
    """Return the least value of `a v` on a box."""
    return a.clamp(min=0) @ box[0] + a.clamp(max=0) @ box[1]


def tanh_lines(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return slopes and shifts of a line below and one above; of four slopes the one nearest in the middle."""
    middle = (low + high) / 2
    slopes = [(torch.tanh(high) - torch.tanh(low)) / (high - low)]
    slopes += [1 - torch.tanh(z) ** 2 for z in (middle, low, high)]
    below, above = [], []
    for s in slopes:
        turn = torch.atanh(torch.sqrt((1 - s).clamp(0, 1))).detach()
        points = [low, high, *(torch.minimum(torch.maximum(z, low), high).detach() for z in (turn, -turn))]
        gaps = torch.stack([torch.tanh(z) - s * z for z in points])
        below.append((s, gaps.min(0).values))
        above.append((s, gaps.max(0).values))
    chosen = []
    for lines, sign in ((below, 1), (above, -1)):
        best = torch.stack([sign * (s * middle + shift) for s, shift in lines]).argmax(0, keepdim=True)
        chosen += [torch.stack(part).gather(0, best)[0] for part in zip(*lines, strict=True)]
    return chosen[0], chosen[1], chosen[2], chosen[3]


def below(network: nn.Module, x: Tensor, eps: float, wanted: Tensor, crown: bool) -> Forms:
    """Bound `wanted @ logits` from below on the ball around one image."""
    layers = dense(network, x)
    box = boxes(layers, x, eps)
    # By intervals: the layers behind the last tanh are one.
    a, b, low = wanted, torch.zeros(len(wanted), dtype=x.dtype), None
    for index in range(len(layers) - 1, -1, -1):
        w, shift = layers[index]
        if w is None and low is None:
            low = least(a, box[index + 1]) + b
        if w is None:
            down, down_shift, up, up_shift = tanh_lines(*box[index])
            plus, minus = a.clamp(min=0), a.clamp(max=0)
            b = b + plus @ down_shift + minus @ up_shift
            a = plus * down + minus * up
        else:
            b = b + a @ shift
            a = a @ w
    linear = least(a, box[0]) + b
    if low is None:
        return Forms(a, b, linear)
    return Forms(a, b, torch.maximum(low, linear)) if crown else Forms(0 * a, low, low)


def differences(classes: int, label: int, like: Tensor) -> Tensor:
    """Return the rows `e_j - e_y` for the other classes."""
    eye = torch.eye(classes, dtype=like.dtype)
    return torch.stack([eye[j] - eye[label] for j in range(classes) if j != label])


def worst(network: nn.Module, x: Tensor, label: int, eps: float, crown: bool, classes: int = 3) -> list[Tensor]:
    """Return `w_j >= z_j - z_y` on the ball, as logits."""
    upper = list(-below(network, x, eps, -differences(classes, label, x), crown).low)
    upper.insert(label, torch.zeros((), dtype=x.dtype))
    return upper


def ibp(student: nn.Module, x: Tensor, y: Tensor, *, eps: float, kappa: float) -> Tensor:
    """`k CE(S(x), y) + (1 - k) CE(w, y)` by intervals."""
    nat = [cross_entropy(z, c) for z, c in zip(rows(student(x)), y.tolist(), strict=True)]
    cert = [cross_entropy(worst(student, x[i], c, eps, crown=False), c) for i, c in enumerate(y.tolist())]
    return kappa * mean(nat) + (1 - kappa) * mean(cert)


def crown_ibp(student: nn.Module, x: Tensor, y: Tensor, *, eps: float, kappa: float, beta: float) -> Tensor:
    """`k CE(S(x), y) + (1 - k) CE((1 - b) w_ibp + b w_crown, y)`."""
    nat = [cross_entropy(z, c) for z, c in zip(rows(student(x)), y.tolist(), strict=True)]
    cert = []
    for i, c in enumerate(y.tolist()):
        loose, tight = (worst(student, x[i], c, eps, crown=crown) for crown in (False, True))
        cert.append(cross_entropy([(1 - beta) * u + beta * v for u, v in zip(loose, tight, strict=True)], c))
    return kappa * mean(nat) + (1 - kappa) * mean(cert)


def confidence(others: Tensor) -> Tensor:
    """Return `1 / (1 + sum_j exp d_j)`."""
    total = torch.ones((), dtype=others.dtype)
    for d in others:
        total = total + torch.exp(d)
    return 1 / total


def gap(student: nn.Module, teacher: nn.Module, x: Tensor, label: int, eps: float, **how: bool) -> Tensor:
    """Bound how far the student is from the teacher's clean opinion, or from the teacher on the whole ball."""
    with torch.no_grad():
        opinion = teacher(x[None])[0]
    up = differences(len(opinion), label, x)
    low, high = (below(student, x, eps, sign * up, how["crown"]) for sign in (1, -1))
    if not how["joint"]:
        dl, du, at = low.low, -high.low, up @ opinion
        if how["surrogate"]:
            return torch.tanh(torch.stack([*(du - at), *(at - dl)]).max() / 4)
        p = confidence(at)
        return torch.maximum(confidence(dl) - p, p - confidence(du))
    assert how["surrogate"], "bounds of the softmax itself have tests of their own"
    found = []
    box = (x.flatten() - eps).clamp(min=0), (x.flatten() + eps).clamp(max=1)
    with torch.no_grad():
        theirs = [below(teacher, x, eps, sign * up, how["crown"]) for sign in (-1, 1)]
    for ours, other in zip((low, high), theirs, strict=True):
        together = least(ours.a + other.a, box) + ours.b + other.b
        found.append(-torch.maximum(together, ours.low + other.low))
    return torch.tanh(torch.cat(found).max() / 4)


def faithful(
    student: nn.Module,
    teacher: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    lam: float,
    beta: float,
    eps: float,
    crown: bool = True,
    joint: bool = False,
    surrogate: bool = False,
) -> Tensor:
    """`(1 - lam) KL(T(x) || S(x)) + lam KL(T(x') || S(x')) + beta C`."""
    attacked, clean = rows(student(x_adv)), rows(student(x))
    opinions, others = fixed(teacher, x), fixed(teacher, x_adv)
    losses = []
    for i, label in enumerate(y.tolist()):
        guided = (1 - lam) * kl(opinions[i], clean[i]) + lam * kl(others[i], attacked[i])
        if beta == 0:
            losses.append(guided)
            continue
        certified = gap(student, teacher, x[i], label, eps, crown=crown, joint=joint, surrogate=surrogate)
        losses.append(guided + beta * certified)
    return mean(losses)


def confidences_apart(student: nn.Module, teacher: nn.Module, x_adv: Tensor, y: Tensor) -> list[Tensor]:
    """`|S(x')_y - T(x')_y|`, gradient through both."""
    found = []
    for ours, theirs, label in zip(rows(student(x_adv)), rows(teacher(x_adv)), y.tolist(), strict=True):
        found.append(torch.abs(probabilities(ours)[label] - probabilities(theirs)[label]))
    return found
