"""Threat models: the Linf and L2 balls around x, intersected with the image box [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from numbers import Real
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from robustill.attacks.share import current_share
from robustill.errors import InputError
from robustill.inputs import check_images

Norm = Literal["Linf", "L2"]
Generators = torch.Generator | Sequence[torch.Generator] | None
"""Source of random starts: the global one (None), one for the batch, or one per example."""

_ONE_FOR_ALL = "a setting holds for all images; call an attack for each group of images that has another"
_NOT_EACH = {
    "target": "it is a rank: 1 is the likeliest wrong class of each image, 2 the next; towards classes of your own, "
    "let PGD maximise lambda x_adv: -cross_entropy(model(x_adv), target)"
}


class Ball(Protocol):
    """The points an adversary may choose; holds x and eps."""

    def step(self, x_adv: Tensor, grad: Tensor, size: float) -> Tensor:
        """Go `size` along the steepest ascent direction of this norm and project back."""

    def project(self, x_adv: Tensor) -> Tensor:
        """Return the nearest points inside the ball, then inside [0, 1]."""

    def uniform(self, generator: Generators) -> Tensor:
        """Draw points uniformly from the ball, clipped to [0, 1]."""


def unit_hint(eps: float) -> str:
    """Return the hint for a radius that is too large: most likely levels of 255 are meant."""
    return f"it is a radius in units of [0, 1]; {eps:g} levels of 255 are {eps:g}/255"


def check_attack(attack: Any) -> None:
    """Check that an attack's settings are numbers, and its radius of Linf at most 1, all that a pixel can change.

    Args:
        attack: A dataclass with `eps` and `norm`.

    Raises:
        InputError: They are not.
    """
    for field in fields(attack):
        value = getattr(attack, field.name)
        # A tensor without dimensions is as good as a number.
        if field.type not in ("float", "int") or isinstance(value, Real) or getattr(value, "shape", None) == ():
            continue
        name = f"{field.name} of {type(attack).__name__}" if field.name != "eps" else "eps"
        if isinstance(value, str):
            raise InputError(f"{name} is {value!r}, which is a text", "in Python write a number, such as 8 / 255")
        raise InputError(f"{name} is a {type(value).__name__}, not a number", _NOT_EACH.get(field.name, _ONE_FOR_ALL))
    if attack.norm == "Linf" and attack.eps > 1:
        raise InputError(f"eps {attack.eps:g} is not in [0, 1]", unit_hint(attack.eps))


class LinfBall:
    """All points with `max |x' - x| <= eps`, but for a hair: the radius holds exactly whatever the rounding."""

    def __init__(self, x: Tensor, eps: float) -> None:
        self.x, self.eps = x, eps
        # A hair inside, so that rounding the bounds, of values below 2, never leaves the ball.
        reach = max(0.0, _below(eps - torch.finfo(x.dtype).eps / 2, x.dtype))
        self.low, self.high = (x - reach).clamp_(0, 1), (x + reach).clamp_(0, 1)

    def step(self, x_adv: Tensor, grad: Tensor, size: float) -> Tensor:
        """Go `size` along the sign of the gradient and project back."""
        return self.project(x_adv + size * grad.sign())

    def project(self, x_adv: Tensor) -> Tensor:
        """Clip to the ball and to [0, 1]."""
        return torch.clamp(x_adv, self.low, self.high)

    def uniform(self, generator: Generators) -> Tensor:
        """Draw uniformly from the cube, clipped to [0, 1]."""
        noise = draw(torch.rand, self.x, generator)
        return self.project(self.x + self.eps * (2 * noise - 1))


class L2Ball:
    """All points with `||x' - x||_2 <= eps`, the norm over all pixels of an image."""

    def __init__(self, x: Tensor, eps: float) -> None:
        # A hair inside, so that rounding of the norm, and of each pixel near 1, never leaves the ball.
        hair, pixels = torch.finfo(x.dtype).eps, x.shape[1:].numel()
        self.x, self.eps = x, max(0.0, eps * (1 - 4 * hair) - hair / 2 * pixels**0.5)

    def step(self, x_adv: Tensor, grad: Tensor, size: float) -> Tensor:
        """Go `size` along the gradient, normalised per image, and project back."""
        return self.project(x_adv + size * l2_direction(grad))

    def project(self, x_adv: Tensor) -> Tensor:
        """Shrink to the ball, then clip to [0, 1] (which only moves closer to x)."""
        delta: Tensor = x_adv - self.x
        length = _l2(delta)
        shrink: Tensor = (self.eps / length.clamp_min(torch.finfo(length.dtype).tiny)).clamp_max(1.0)
        inside: Tensor = self.x + delta * shrink.to(delta.dtype)
        return inside.clamp(0, 1)

    def uniform(self, generator: Generators) -> Tensor:
        """Draw uniformly from the ball, clipped to [0, 1]."""
        direction = draw(torch.randn, self.x, generator)
        direction = direction / _l2(direction).clamp_min(torch.finfo(direction.dtype).tiny)
        radius = draw(torch.rand, self.x[:, :1].flatten(1)[:, :1], generator).reshape(per_image(self.x))
        dimensions = self.x[0].numel() if len(self.x) else 1
        return self.project(self.x + self.eps * radius ** (1 / dimensions) * direction)


def ball(norm: Norm, x: Tensor, eps: float) -> Ball:
    """Return the ball of radius `eps` around `x` `[B, ...]`.

    Half-precision inputs get a float32 ball: a step of 2/255 is smaller than the spacing of bfloat16 near 1.

    Raises:
        InputError: An unknown norm, or images outside [0, 1].
    """
    check_images(x)
    x = x.detach()
    x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    if norm == "Linf":
        return LinfBall(x, eps)
    if norm == "L2":
        return L2Ball(x, eps)
    raise InputError(f"unknown norm {norm!r}", "choose 'Linf' or 'L2'")


def l2_direction(grad: Tensor) -> Tensor:
    """Return `grad` `[B, ...]` divided by its L2 norm per image; zero stays zero."""
    tiny = torch.finfo(grad.dtype).tiny
    # The largest entry comes out first: the square of a tiny or huge gradient leaves the range of float32.
    direction = grad / grad.abs().flatten(1).amax(1).reshape(per_image(grad)).clamp_min(tiny)
    unit: Tensor = direction / _l2(direction).clamp_min(tiny)
    return unit


def draw(sample: Callable[..., Tensor], x: Tensor, generator: Generators) -> Tensor:
    """Draw noise shaped like `x` with `torch.rand` or `torch.randn` from the given source.

    Where `x` is one process's share of a batch, the noise is drawn for the whole batch: so every process draws the same
    numbers, and each image gets those that it would get in one process.
    """
    share = current_share()
    mine, shape = slice(None), x.shape
    if share is not None and share.rows == len(x):
        mine, shape = slice(share.start, share.stop), torch.Size((share.total, *x.shape[1:]))
    if generator is None:
        return sample(shape, dtype=x.dtype, device=x.device)[mine]
    if isinstance(generator, torch.Generator):
        return sample(shape, dtype=x.dtype, generator=generator, device=generator.device)[mine].to(x.device)
    if len(generator) != len(x):
        raise InputError(f"{len(generator)} generators for {len(x)} images", "give one per image, or a single one")
    rows = [sample(x.shape[1:], dtype=x.dtype, generator=g, device=g.device) for g in generator]
    return torch.stack(rows).to(x.device) if rows else torch.empty_like(x)


def store(x_adv: Tensor, x: Tensor) -> Tensor:
    """Return `x_adv` in the type of `x`, rounded towards `x`, so that storing never enlarges the perturbation."""
    stored = x_adv.to(x.dtype)
    if stored.dtype == x_adv.dtype:
        return stored
    wanted = (x_adv.double() - x.double()).abs()
    too_far = (stored.double() - x.double()).abs() > wanted
    return torch.where(too_far, torch.nextafter(stored, x.detach()), stored)


def _below(value: float, dtype: torch.dtype) -> float:
    """Return the largest number of this type that is not above `value`."""
    near = torch.tensor(value, dtype=dtype)
    return float(near if float(near) <= value else torch.nextafter(near, torch.tensor(-torch.inf, dtype=dtype)))


def per_image(x: Tensor) -> tuple[int, ...]:
    """Return the shape that lets a `[B]` act on each image of `x` `[B, ...]`."""
    return (-1,) + (1,) * (x.dim() - 1)


def _l2(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1)
    return length.reshape(per_image(x))
