"""Small attacks that show whether the gradient attacks of an evaluation came to their end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from robustill.attacks import Square, correct, eval_mode, gradient, run_search
from robustill.attacks.threat import Norm, ball
from robustill.evaluation.checks.check import Check, enough
from robustill.losses import cross_entropy

_STEPS = (5, 10, 20, 40, 80)
_RESTARTS, _RESTART_STEPS = 5, 20
_PERCENT = 5


def steps_sweep(
    model: nn.Module, x: Tensor, y: Tensor, *, eps: float, norm: Norm, generators: Sequence[torch.Generator]
) -> Check:
    """Attack with PGD of 5, 10, 20, 40 and 80 steps, and of 20 steps with 1 and 5 restarts; is more still better?

    Steps are eps/4 long and maximise the cross-entropy from a uniform start, as `pgd20` does. All counts share their
    starts, so they are one walk that is looked at on the way, and an image that fell stays fallen. An attack that has
    converged finds nothing with more effort (Carlini et al. 2019); it fires if the last doubling of the
    steps, or four more restarts, fell 3 images or more that are 5% or more of those that stood.

    Args:
        model: Maps images to logits; attacked in eval mode, modes are restored.
        x: Images in [0, 1], `[n, C, H, W]`; those that are wrong without an attack are left out.
        y: Labels `[n]`.
        eps: Radius in pixel units.
        norm: `"Linf"` or `"L2"`.
        generators: One per image, for its five starts. At most 160 forward and backward passes per image.

    Raises:
        InputError: Images outside [0, 1], or an unknown norm.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    >>> x = torch.rand(4, 1, 2, 2)
    >>> y, draws = model(x).argmax(1), [torch.Generator().manual_seed(k) for k in range(4)]
    >>> found = steps_sweep(model, x, y, eps=0.1, norm="Linf", generators=draws)
    >>> found.name, found.fired
    ('steps-sweep', False)
    """
    right = correct(model, x, y)
    by_steps = _walk(model, x, y, right, eps, norm, generators, _STEPS)
    by_restarts = {1: by_steps[_RESTART_STEPS]}
    for restart in range(2, _RESTARTS + 1):
        before = by_restarts[restart - 1]
        by_restarts[restart] = _walk(model, x, y, before, eps, norm, generators, (_RESTART_STEPS,))[_RESTART_STEPS]
    by_restarts = {1: by_restarts[1], _RESTARTS: by_restarts[_RESTARTS]}
    value = {"images": len(y), "steps": _accuracies(by_steps), "restarts": _accuracies(by_restarts)}
    steps, restarts = _last(by_steps), _last(by_restarts)
    fired = any(enough(fell, stood, percent=_PERCENT, least=3) for fell, stood in (steps, restarts))
    seen = (
        f"{_STEPS[-1]} PGD steps instead of {_STEPS[-2]} fell {steps[0]} of {steps[1]} standing images, {_RESTARTS} "
        f"restarts instead of 1 fell {restarts[0]} of {restarts[1]}"
    )
    says = f"{seen}: the attack has come to its end."
    if fired:
        says = (
            f"{seen}: the attack has not come to its end, and more effort would find more. Do not believe a robust "
            "accuracy from PGD; run --attacks autoattack, or pgd with many more steps and restarts."
        )
    return Check("steps-sweep", fired, value, says)


def square_probe(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    standing: Tensor,
    *,
    eps: float,
    norm: Norm,
    generators: Sequence[torch.Generator],
    queries: int = 500,
) -> Check:
    """Attack what stood up to the gradient attacks so far with Square, which needs no gradient.

    Where a black-box attack finds what white-box ones did not, gradients are masked (Athalye et al. 2018),
    or the white-box attacks were too weak. Fires if 2 images or more fall that are 5% or more of those standing.

    Args:
        model: Maps images to logits; attacked in eval mode, modes are restored.
        x: Images in [0, 1], `[n, C, H, W]`.
        y: Labels `[n]`.
        standing: Where the prediction is right under every gradient attack so far, bool `[n]`.
        eps: Radius in pixel units.
        norm: `"Linf"` or `"L2"`.
        generators: One per image.
        queries: Forward passes per image.

    Raises:
        InputError: Images outside [0, 1], or an impossible radius or norm.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    >>> x = torch.rand(4, 1, 2, 2)
    >>> y, draws = model(x).argmax(1), [torch.Generator().manual_seed(k) for k in range(4)]
    >>> found = square_probe(model, x, y, y >= 0, eps=0.1, norm="Linf", generators=draws, queries=20)
    >>> found.name
    'square-probe'
    """
    at = standing.to(x.device).nonzero().flatten()
    own = [generators[i] for i in at.tolist()]
    fell = int(run_search(Square(eps=eps, norm=norm, queries=queries), model, x[at], y[at], own)[0].sum())
    fired = enough(fell, len(at), percent=_PERCENT, least=2)
    seen = f"Square with {queries} queries and no gradient fells {fell} of {len(at)} images that stood so far"
    says = f"{seen}: no sign that gradients are masked."
    if fired:
        says = (
            f"{seen}: the gradient attacks are misled (masking), or were too weak to begin with. Do not believe their "
            "robust accuracy; run --attacks autoattack."
        )
    return Check("square-probe", fired, {"standing": len(at), "fell": fell, "queries": queries}, says)


def _walk(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    standing: Tensor,
    eps: float,
    norm: Norm,
    generators: Sequence[torch.Generator],
    counts: Sequence[int],
) -> dict[int, Tensor]:
    """Run PGD on the standing images from fresh starts; return what stands after each count of steps, bool `[n]`."""
    standing, found = standing.clone(), {}
    left = standing.nonzero().flatten()
    points = x.clone()
    points[left] = ball(norm, x[left], eps).uniform([generators[i] for i in left.tolist()])
    with eval_mode(model):
        for begin, end in pairwise((0, *counts)):
            left = standing.nonzero().flatten()
            if len(left):
                points[left] = _steps(model, x[left], y[left], points[left], eps, norm, end - begin)
                standing[left] = correct(model, points[left], y[left])
            found[end] = standing.clone()
    return found


def _steps(model: nn.Module, x: Tensor, y: Tensor, points: Tensor, eps: float, norm: Norm, steps: int) -> Tensor:
    region = ball(norm, x, eps)
    for _ in range(steps):
        # The second term ties a model that breaks the graph to its input: a zero gradient, not an error.
        grad = gradient(lambda x_adv: cross_entropy(model(x_adv), y) + 0 * x_adv.flatten(1).sum(1), points)
        points = region.step(points, grad, eps / 4)
    return points


def _accuracies(standing: dict[int, Tensor]) -> dict[str, float]:
    return {str(effort): float(right.double().mean()) for effort, right in standing.items() if len(right)}


def _last(standing: dict[int, Tensor]) -> tuple[int, int]:
    """Return how many images the largest effort felled, and how many stood before it."""
    *_, before, after = (int(right.sum()) for right in standing.values())
    return before - after, before
