"""How far a schedule inside a method has come, step by step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.errors import InputError
from robustill.methods.base import Method


class Ramp(nn.Module):
    """A value that rises from 0 to 1 during a part of the run, a little with every step.

    A method is told its epoch and not how many steps that has, which is known once the first epoch is over: the rise
    begins after that at the earliest. A run of one epoch has no rise; its value is 1 throughout, as it is where no
    epoch has been begun. The steps counted are a buffer, so that a run resumed inside an epoch goes on exactly.

    Args:
        start: Share of the run before the rise.
        length: Share of the run that it takes; it ends with the run at the latest.

    Raises:
        InputError: They are not shares of one run.

    >>> ramp = Ramp(0.25, 0.5)
    >>> values = []
    >>> for epoch in range(4):
    ...     ramp.begin_epoch(epoch, 4)
    ...     for _ in range(2):
    ...         values.append(ramp.value)
    ...         ramp.step()
    ...     ramp.end_epoch()
    >>> values
    [0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """

    steps: Tensor
    per_epoch: Tensor

    def __init__(self, start: float, length: float) -> None:
        super().__init__()
        if not (0 <= start < 1 and length >= 0 and start + length <= 1):
            raise InputError(
                f"warmup {start:g} and ramp {length:g} are not shares of one run",
                "give both as parts of 1 that add up to 1 at most",
            )
        self.start, self.length = start, length
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("per_epoch", torch.zeros((), dtype=torch.int64))
        self._epoch, self._epochs = 0, 1
        # Of the buffers, in plain numbers: reading those in every step would wait for a GPU.
        self._steps = self._per_epoch = 0

    @property
    def value(self) -> float:
        """How much has risen: 0 to 1."""
        if self._epochs == 1:
            return 1.0
        inside = min(1.0, self._steps / self._per_epoch) if self._per_epoch else 0.0
        share = (self._epoch + inside) / self._epochs
        start = max(self.start, 1 / self._epochs)
        length = min(self.length, 1 - start)
        if share < start or length == 0:
            return float(share >= start)
        return min(1.0, (share - start) / length)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Begin 0-based `epoch` of `epochs`, or go on inside it."""
        self._epoch, self._epochs = epoch, epochs
        self._steps, self._per_epoch = int(self.steps), int(self.per_epoch)

    def step(self) -> None:
        """Count an optimizer step."""
        self.steps += 1
        self._steps += 1

    def end_epoch(self) -> None:
        """Remember how many steps the epoch had."""
        if self._steps:
            self.per_epoch.copy_(self.steps)
            self.steps.zero_()
            self._per_epoch, self._steps = self._steps, 0


class Ramped(Method):
    """A method whose loss changes while `rise` does: students of different epochs do not compare, the last one counts.

    `selection.metric = "auto"` keeps its last epoch.
    """

    rise: Ramp

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.rise.begin_epoch(epoch, epochs)

    def after_step(self) -> None:
        self.rise.step()

    def end_epoch(self) -> None:
        self.rise.end_epoch()
