"""Noisy copies of images, whose noise belongs to the example and not to its batch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from robustill.errors import InputError, ModelError
from robustill.inputs import check_images
from robustill.progress import bar

# Copies of one example that are drawn together: a generator's numbers depend on how many are asked for at once.
_BLOCK = 16


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How an example is sampled: first `selection` copies that choose a class, then `samples` others that judge it.

    Args:
        sigma: Standard deviation of the Gaussian noise, in pixel units.
        selection: Copies that choose.
        samples: Copies that the bounds are made of.
        alpha: Chance that what is certified of an example is wrong, in (0, 1).
        batch_size: Copies per forward pass, rounded down to a multiple of 16 (but at least 16).
        seed: Decides the noise, together with the example's number.

    Raises:
        InputError: A value out of range.
    """

    sigma: float
    selection: int
    samples: int
    alpha: float
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise InputError(f"sigma is {self.sigma!r}", "the noise needs a standard deviation above 0, such as 0.25")
        if not 0 < self.alpha < 1:
            raise InputError(f"alpha is {self.alpha!r}", "the chance of error lies between 0 and 1, such as 0.001")
        for name in ("selection", "samples", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; it must be an integer of 1 or more")

    def copies(self, x: Tensor, index: Sequence[int], *, label: str, progress: bool) -> Iterator[tuple[Tensor, ...]]:
        """Yield batches of noisy copies: the rows of `x` they are of, which of them judge, and the copies themselves.

        Args:
            x: Images `[N, ...]`.
            index: Number of each example: it draws the same noise in any company.
            label: Text of the bar.
            progress: Show it.

        Yields:
            int64 `[B]`, bool `[B]` and `[B, ...]`, on the device of `x`.
        """
        total = self.selection + self.samples
        units = ((row, start) for row in range(len(x)) for start in range(0, total, _BLOCK))
        wide = x.detach().to(torch.promote_types(x.dtype, torch.float32))
        generator = torch.Generator(x.device)
        with bar(label, len(x) * total, show=progress, percent=True) as shown:
            while chosen := list(islice(units, max(1, self.batch_size // _BLOCK))):
                rows: list[int] = []
                numbers: list[int] = []
                noise: list[Tensor] = []
                for row, start in chosen:
                    if start == 0:
                        generator.manual_seed(_mix(self.seed, index[row]))
                    drawn = torch.randn(_BLOCK, *x.shape[1:], generator=generator, dtype=wide.dtype, device=x.device)
                    noise.append(drawn[: total - start])
                    rows += [row] * len(noise[-1])
                    numbers += range(start, start + len(noise[-1]))
                at = torch.tensor(rows, device=x.device)
                judging = torch.tensor(numbers, device=x.device) >= self.selection
                yield at, judging, (wide[at] + self.sigma * torch.cat(noise)).to(x.dtype)
                shown.advance(len(rows))


def numbered(x: Tensor, index: Tensor | None) -> list[int]:
    """Check images and return the number of each example: `index`, or 0 .. N-1.

    Raises:
        InputError: Images outside [0, 1], or not one number each.
    """
    check_images(x)
    if index is None:
        return list(range(len(x)))
    if index.shape != (len(x),) or index.is_floating_point():
        raise InputError(f"index must hold an integer for each of the {len(x)} images, found {list(index.shape)}")
    return [int(i) for i in index]


def check_mode(name: str, model: nn.Module) -> None:
    """Raise `InputError` if any part of `model` is in train mode: a certificate is about a fixed function."""
    if any(module.training for module in model.modules()):
        raise InputError(f"the {name} is in train mode", "call .eval() first; its batch norms must not move")


def logits_of(name: str, model: nn.Module, points: Tensor) -> Tensor:
    """Return the logits `[B, C]` of `points`.

    Raises:
        ModelError: The model returns something else.
    """
    logits: Tensor = model(points)
    if logits.ndim != 2 or len(logits) != len(points):
        raise ModelError(f"the {name} must return logits [batch, classes], it returned shape {list(logits.shape)}")
    return logits


def _mix(seed: int, index: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/smoothing/{index}".encode(), digest_size=8).digest(), "big") >> 1
