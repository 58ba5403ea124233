"""What the methods minimise in which a helper, a guide, a peer, features or a teacher that trains take part.

Every function takes networks `[B, ...] -> [B, C]`, images, adversarial images and labels, and returns a scalar. What
is detached here is what the table of the paper's code says, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tests.reference.distilled import fixed
from tests.reference.losses import Row, cross_entropy, kl, mean, rows


def hat(
    student: nn.Module, natural: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, *, beta: float, gamma: float, h: float
) -> Tensor:
    """`CE(S(x), y) + beta KL(S(x) || S(x')) + gamma CE(S(x + h (x' - x)), argmax N(x'))`, the far point not clipped."""
    clean, attacked, far = rows(student(x)), rows(student(x_adv)), rows(student(x + h * (x_adv - x)))
    opinions = fixed(natural, x_adv)
    losses = []
    for i, label in enumerate(y.tolist()):
        helper = max(range(len(opinions[i])), key=lambda c: opinions[i][c].item())
        parted = cross_entropy(clean[i], label) + beta * kl(clean[i], attacked[i])
        losses.append(parted + gamma * cross_entropy(far[i], helper))
    return mean(losses)


def lbgat(student: nn.Module, guide: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, *, beta: float) -> Tensor:
    """`MSE(S(x'), G(x)) + CE(G(x), y) + beta KL(S(x) || S(x'))`, the MSE over B and C, gradient to both networks."""
    attacked, clean, guidance = rows(student(x_adv)), rows(student(x)), rows(guide(x))
    losses = []
    for i, label in enumerate(y.tolist()):
        square = mean([(z - w) ** 2 for z, w in zip(attacked[i], guidance[i], strict=True)])
        losses.append(square + cross_entropy(guidance[i], label) + beta * kl(clean[i], attacked[i]))
    return mean(losses)


def _cut(z: Row) -> list[Tensor]:
    return [value.detach() for value in z]


def peeraid(
    student: nn.Module,
    peer: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    gamma: tuple[float, float],
    lam: tuple[float, float, float],
    t: float,
    t_peer: float,
    detach: bool = False,
) -> Tensor:
    """With `a = P(x')`, `b = S(x')`, `n = S(x)`, the sum of the peer's loss and of the student's:

    `g1 CE(a, y) + g2 tp^2 KL(b || a)` at tp, where b is detached only on request, and
    `l1 CE(b, y) + l2 t^2 KL(sg[a] || b) + l3 t^2 KL(n || b)` at t.
    """
    a, b, n = rows(peer(x_adv)), rows(student(x_adv)), rows(student(x))
    losses = []
    for i, label in enumerate(y.tolist()):
        mutual = kl(_cut(b[i]) if detach else b[i], a[i], t_peer)
        own = gamma[0] * cross_entropy(a[i], label) + gamma[1] * t_peer * t_peer * mutual
        taught = lam[1] * kl(_cut(a[i]), b[i], t) + lam[2] * kl(n[i], b[i], t)
        losses.append(own + lam[0] * cross_entropy(b[i], label) + t * t * taught)
    return mean(losses)


def _magnitude(value: Tensor) -> int:
    return math.floor(math.log10(value.item()))


def ciard(
    student: nn.Module,
    robust: nn.Module,
    natural: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    y: Tensor,
    *,
    begun: bool,
    t_push: float,
    weights: Sequence[float] = (1.0, 1.0),
    tau: Sequence[float] = (1.0, 1.0),
) -> Tensor:
    """`w_adv L_adv + w_nat L_nat - w3 L_push`, and once it has begun, CE(T_r(x'), y) for the robust teacher alone.

    L_push is the mean over the examples whose attacked image the clean teacher names wrongly, if there are any, of
    KL(T_c(x') || S(x') / t_push); w3 brings it to the power of ten of the smaller of the other two.
    """
    clean, attacked = rows(student(x)), rows(student(x_adv))
    soft_adv, soft_nat, opinions = fixed(robust, x_adv), fixed(natural, x), fixed(natural, x_adv)
    adv, nat, push = [], [], []
    for i, label in enumerate(y.tolist()):
        adv.append(kl([z / tau[0] for z in soft_adv[i]], attacked[i]))
        nat.append(kl([z / tau[1] for z in soft_nat[i]], clean[i]))
        if max(opinions[i], key=Tensor.item) is not opinions[i][label]:
            push.append(kl(opinions[i], [z / t_push for z in attacked[i]]))
    l_adv, l_nat = mean(adv), mean(nat)
    total = weights[0] * l_adv + weights[1] * l_nat
    if push:
        power = min(_magnitude(l_adv), _magnitude(l_nat)) - _magnitude(mean(push))
        total = total - 10.0**power * mean(push)
    if begun:
        learned = rows(robust(x_adv))
        total = total + mean([cross_entropy(z, int(label)) for z, label in zip(learned, y, strict=True)])
    return total


def feature_distance(
    student: nn.Sequential,
    natural: nn.Sequential,
    projection: nn.Module,
    x: Tensor,
    x_adv: Tensor,
    *,
    cosine: bool,
) -> Tensor:
    """`D(P phi_S(x'), phi_T(x)) + D(P phi_S(x), phi_T(x))`, phi the input of the last layer of a sequence."""
    with torch.no_grad():
        wanted = rows(natural[:-1](x))
    distance = _angle if cosine else _square
    found = [rows(projection(student[:-1](points))) for points in (x_adv, x)]
    return mean([distance(found[0][i], w) + distance(found[1][i], w) for i, w in enumerate(wanted)])


def _square(u: Row, v: Row) -> Tensor:
    return mean([(a - b) ** 2 for a, b in zip(u, v, strict=True)])


def _angle(u: Row, v: Row) -> Tensor:
    return 1 - _dot(u, v) / torch.sqrt(_dot(u, u) * _dot(v, v))


def _dot(u: Row, v: Row) -> Tensor:
    total = torch.zeros((), dtype=u[0].dtype)
    for a, b in zip(u, v, strict=True):
        total = total + a * b
    return total
