"""Adversarial loss of a network with other weights, while the network itself stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.errors import InputError
from robustill.losses import cross_entropy

Adversary = Literal["regenerated", "fixed"]
Direction = Mapping[str, Tensor]


class Walk:
    """Moves a copy of a network through weight space and measures its adversarial loss there.

    The network is never written to: whatever happens, an interrupt included, its weights stay as they are, to the bit.
    The copy is in eval mode, so that batch norm keeps the statistics of the trained weights, and every point is reached
    from them, not from the point before.

    Args:
        network: Maps images to logits.
        x: Images in [0, 1], `[N, C, H, W]`, on the network's device.
        y: Labels `[N]`.
        attack: Finds the adversarial examples, by maximising the cross-entropy of the label.
        adversary: `regenerated`: attacks the weights of each point, from the same random starts. `fixed`: attacks the
            trained weights once and keeps the examples found there.
        batch_size: Images per batch.
        seed: Seed of the random starts.
    """

    def __init__(
        self,
        network: nn.Module,
        x: Tensor,
        y: Tensor,
        attack: PGD,
        *,
        adversary: Adversary = "regenerated",
        batch_size: int = 256,
        seed: int = 0,
    ) -> None:
        self.copy = copy.deepcopy(network).eval().requires_grad_(False)
        self.home = {name: weight.detach().clone() for name, weight in self.copy.named_parameters()}
        self.attack, self.adversary, self.seed = attack, adversary, seed
        self.batches = list(zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True))
        self._fixed: list[Tensor] | None = None
        if adversary == "fixed":
            self._fixed = self._attacked()

    def measure(self, *steps: tuple[float, Direction]) -> tuple[Tensor, Tensor]:
        """Return what each image's adversarial example costs at the trained weights plus the steps, two times `[N]`.

        The first is the cross-entropy, the second is 1 where the prediction is right, else 0; both float64.

        Raises:
            InputError: The loss is not finite there.
        """
        self._move(steps)
        points = self._attacked() if self._fixed is None else self._fixed
        losses, right = [], []
        with torch.no_grad():
            for x_adv, (_, y) in zip(points, self.batches, strict=True):
                logits = self.copy(x_adv)
                losses.append(cross_entropy(logits, y))
                right.append(logits.argmax(1) == y)
        found = torch.cat(losses).double().cpu()
        if not bool(found.isfinite().all()):
            length = max((abs(r) for r, _ in steps), default=0.0)
            raise InputError(f"the loss is not finite at a distance of {length:g}", "give a smaller radius")
        return found, torch.cat(right).double().cpu()

    def _move(self, steps: Sequence[tuple[float, Direction]]) -> None:
        with torch.no_grad():
            for name, weight in self.copy.named_parameters():
                weight.copy_(self.home[name])
                for r, direction in steps:
                    if r and name in direction:
                        weight.add_(direction[name], alpha=r)

    def _attacked(self) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        return [
            self.attack(lambda points, y=y: cross_entropy(self.copy(points), y), x, generator=generator)  # type: ignore[misc]
            for x, y in self.batches
        ]
