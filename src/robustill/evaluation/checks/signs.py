"""Signs of masked gradients in a model's outputs and input gradients, before any attack is run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustill.attacks import eval_mode
from robustill.evaluation.checks.check import Check, enough
from robustill.losses import cross_entropy, margin, probabilities

_RUNS = 3
# AutoAttack's flag has the same 1e-4, of another scale: the L2 norm of an image's logits.
_MOVED = 1e-4
_PERCENT = 5
# A sign step needs a sign only, and 1e-30 has one. Below the normal numbers of float32 a gradient loses its digits,
# and processors may flush it to zero.
_VANISHED = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class _Seen:
    """Of each image: where the prediction is right, logits, the losses, and the largest entry of their gradients."""

    right: Tensor
    logits: Tensor
    losses: tuple[Tensor, Tensor]
    steepest: tuple[Tensor, Tensor]


def check_model(model: nn.Module, x: Tensor, y: Tensor, *, classes: int, attacks_dlr: bool) -> list[Check]:
    """Look at a model's logits and input gradients; return the checks named below, fired or not.

    `randomised`: the same images give other logits when they are asked again. `zero-gradients`: at 5% of the right
    images or more, the gradient of the cross-entropy or of the margin vanishes (largest entry below the smallest
    normal float32) or is not finite. `overflow`: logits, losses or gradients anywhere that are not finite, or at 5% of
    the right images a softmax that is exactly 0 and 1. A cross-entropy of exactly 0 is not enough for that: float32
    rounds it to 0 from a margin of 17 on, which an honest confident network reaches, while its gradient lives on to a
    margin of about 90. `few-classes`: a DLR attack on fewer than four classes. AutoAttack flags any image with a zero
    gradient, of the DLR.

    Costs five forward and two backward passes. Modes are restored, no `.grad` is touched, and the global generator is
    used by nothing but the model itself.

    Args:
        model: Maps images to logits; float32, looked at in eval mode.
        x: Images in [0, 1], `[n, C, H, W]`; a few hundred tell enough.
        y: Labels `[n]`.
        classes: Number of classes.
        attacks_dlr: Whether an attack with a DLR loss is asked for: apgd-dlr or any form of AutoAttack.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    >>> x, y = torch.rand(8, 1, 2, 2), torch.zeros(8, dtype=torch.int64)
    >>> [check.name for check in check_model(model, x, y, classes=3, attacks_dlr=True) if check.fired]
    ['few-classes']
    """
    with eval_mode(model):
        with torch.no_grad():
            runs = torch.stack([model(x) for _ in range(_RUNS)])
        seen = _look(model, x, y)
    return [_randomised(runs), _zero_gradients(seen), _overflow(seen, y), _few_classes(classes, attacks_dlr)]


def _look(model: nn.Module, x: Tensor, y: Tensor) -> _Seen:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = model(x)
        losses = (cross_entropy(logits, y), margin(logits, y))
        # Ties a model that breaks the graph to x: its gradient is zero, not an error.
        tie = 0 * x.sum()
        first = torch.autograd.grad(losses[0].sum() + tie, x, retain_graph=True)[0]
        second = torch.autograd.grad(losses[1].sum() + tie, x)[0]
    logits = logits.detach()
    right = (logits.argmax(1) == y) & logits.isfinite().all(1)
    return _Seen(right, logits, (losses[0].detach(), losses[1].detach()), (_steepest(first), _steepest(second)))


def _steepest(grad: Tensor) -> Tensor:
    return grad.flatten(1).abs().amax(1)


def _randomised(runs: Tensor) -> Check:
    """Compare logits `[runs, n, C]` of the same images."""
    predictions = runs.argmax(2)
    # In double and without infinities: what overflows is another check's, and must not hide what differs.
    runs = runs.float().nan_to_num(nan=0.0).double()
    spread = float((runs.amax(2) - runs.amin(2)).median()) if runs.numel() else 0.0
    moved = float((runs - runs[0]).abs().max()) if runs.numel() else 0.0
    relative = moved / max(spread, _VANISHED)
    changed = int((predictions != predictions[0]).any(0).sum())
    fired = relative > _MOVED
    value = {"images": runs.shape[1], "largest_change": relative, "predictions_changed": changed}
    if not fired:
        return Check("randomised", False, value, f"The same {runs.shape[1]} images get the same logits each time.")
    says = (
        f"The output is random: asked {_RUNS} times, the logits of the same images differ by up to {relative:.2g} of "
        f"their range, and {changed} of {runs.shape[1]} predictions change. Every verdict is one draw; run --attacks "
        "autoattack-rand, which averages gradients over the randomness."
    )
    return Check("randomised", True, value, says)


def _zero_gradients(seen: _Seen) -> Check:
    right = int(seen.right.sum())
    ce, by_margin = (int((_vanished(steepest) & seen.right).sum()) for steepest in seen.steepest)
    value = {"right": right, "cross_entropy": ce / max(right, 1), "margin": by_margin / max(right, 1)}
    blind_ce, blind_margin = (enough(count, right, percent=_PERCENT) for count in (ce, by_margin))
    return Check("zero-gradients", blind_ce or blind_margin, value, _blindness(right, ce, by_margin))


def _vanished(steepest: Tensor) -> Tensor:
    return ~(steepest.isfinite() & (steepest >= _VANISHED))


def _blindness(right: int, ce: int, by_margin: int) -> str:
    blind_ce, blind_margin = (enough(count, right, percent=_PERCENT) for count in (ce, by_margin))
    seen = f"The gradient vanishes or is not finite at {ce} (cross-entropy) and {by_margin} (margin) of {right} images"
    if blind_ce and blind_margin:
        return (
            f"{seen} that are right: no gradient attack means anything there. Rely on --attacks square and on "
            "adversarial examples from another model, or attack a differentiable form of this one."
        )
    if blind_ce:
        return (
            f"{seen} that are right: the loss saturates. Attacks on the margin (cw, apgd-dlr, autoattack) see through "
            "that, attacks on the cross-entropy (fgsm, pgd, apgd-ce) do not; run --attacks autoattack."
        )
    if blind_margin:
        return (
            f"{seen} that are right: attacks on the margin (cw, apgd-dlr) are blind there, attacks on the "
            "cross-entropy (pgd, apgd-ce) are not; run --attacks autoattack, which has both and Square."
        )
    return (
        f"{seen} that are right: gradient attacks see where to go." if right else "No image is right: nothing to see."
    )


def _overflow(seen: _Seen, y: Tensor) -> Check:
    finite = seen.logits.isfinite().all(1)
    for each in (*seen.losses, *seen.steepest):
        finite = finite & each.isfinite()
    others = probabilities(seen.logits).scatter(1, y[:, None], 0.0)
    right, broken = int(seen.right.sum()), int((~finite).sum())
    certain = int(((others == 0).all(1) & seen.right).sum())
    no_loss = int(((seen.losses[0] == 0) & seen.right).sum())
    shares = {"softmax_exactly_one": certain / max(right, 1), "loss_exactly_zero": no_loss / max(right, 1)}
    value = {"images": len(y), "not_finite": broken, "right": right, **shares}
    saturated = enough(certain, right, percent=_PERCENT)
    return Check("overflow", broken > 0 or saturated, value, _scale(len(y), broken, certain if saturated else 0, right))


def _scale(images: int, broken: int, certain: int, right: int) -> str:
    says = []
    if broken:
        says.append(f"Logits, losses or gradients are not finite at {broken} of {images} images.")
    if certain:
        says.append(f"The softmax is exactly 0 and 1 in float32 at {certain} of {right} right images.")
    if not says:
        return "Logits, losses and gradients stay inside float32."
    says.append("Attacks are blind there. If the logits are too large, scale them down inside the model, which changes")
    return " ".join([*says, "no prediction, and evaluate again; otherwise run --attacks autoattack."])


def _few_classes(classes: int, attacks_dlr: bool) -> Check:
    fired = attacks_dlr and classes < 4
    says = "The losses of the attacks asked for exist for this number of classes."
    if fired and classes == 3:
        says = (
            "With 3 classes there is no targeted DLR loss: AutoAttack's targeted APGD takes the cross-entropy towards "
            "each class instead, so its robust accuracy is not quite the standard one."
        )
    elif fired:
        says = (
            "With 2 classes there is no DLR loss, which divides by a difference to the third logit: autoattack takes "
            "the cross-entropy instead; apgd-dlr and autoattack-rand cannot run, take apgd-ce, cw and square."
        )
    return Check("few-classes", fired, {"classes": classes}, says)
