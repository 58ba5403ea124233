"""What frozen teachers say of the training images, asked once per run where no augmentation changes the images.

No example carries its number: the order of an epoch is known beforehand, and with it which rows of the training split
the next batch will be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.data.augment import Augment
from robustill.data.order import epoch_order
from robustill.data.splits import TensorSplit, batches_of
from robustill.training.settings import Settings

# Numbers that one teacher's answers may take: 256 MiB in float32.
_MOST = 2**26


class Answers:
    """The answers of all teachers of a run to its training images, and which of the images are due.

    Args:
        data: Its training split is read, on its device.
        settings: `remember_teachers` switches it on; nothing is remembered where it would not pay or not hold: with
            one epoch, with augmentation, and of data that is streamed.
    """

    def __init__(self, data: Data, settings: Settings) -> None:
        self.train = data.train
        self.settings = settings
        self.on = settings.remember_teachers and settings.epochs > 1 and data.augment == Augment()
        self.on = self.on and isinstance(data.train, TensorSplit)
        self.due: tuple[Tensor, Tensor] | None = None
        self._rows: Tensor | None = None

    def of(self, asked: nn.Module, teacher: nn.Module) -> nn.Module:
        """Return what answers in place of `asked`, the teacher itself or a faster form of it."""
        return _Remembering(asked, teacher, self) if self.on else asked

    def order(self, epoch: int, start: int) -> Iterator[Tensor]:
        """Yield the rows of each batch of an epoch from batch `start` on, int64 `[B]`, augmented or not."""
        settings = self.settings
        return iter(batches_of(epoch_order(len(self.train), settings.seed, epoch), settings.batch_size, start))

    def begin(self, rows: Tensor) -> None:
        """Say which rows of the training split the next batch holds."""
        self._rows = rows.to(self.train.device) if self.on else rows

    def expect(self, x: Tensor, part: slice) -> Tensor | None:
        """Say that `x` is this part of the batch, and return its rows; None if no batch was begun.

        A teacher that is asked for this very tensor need not compute.
        """
        rows = None if self._rows is None else self._rows[part]
        self.due = None if rows is None or not self.on else (x, rows)
        return rows


class _Remembering(nn.Module):
    """A teacher that computes its answers to all training images when it is first asked for one of them."""

    def __init__(self, asked: nn.Module, teacher: nn.Module, answers: Answers) -> None:
        super().__init__()
        # In a tuple: the networks must not be registered, nor moved, saved or trained.
        self._held = (asked, teacher, answers)
        self._known: Tensor | None = None
        self._state: tuple[Any, ...] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[B, C, H, W]` to logits `[B, classes]`."""
        asked, _, answers = self._held
        if answers.due is None or answers.due[0] is not x:
            logits: Tensor = asked(x)
            return logits
        if self._state is None:
            self._state = self._now(x)
            self._known = self._learned(x)
        if self._known is None or self._state != self._now(x):
            return asked(x)  # type: ignore[no-any-return]
        return self._known[answers.due[1]]

    @torch.no_grad()
    def _learned(self, like: Tensor) -> Tensor | None:
        """Return the answers to all training images `[N, classes]`; None for a teacher that draws, or too many.

        Always in the same order and batches, so that a resumed run knows what the whole run knew.
        """
        asked, _, answers = self._held
        size = max(1, answers.settings.batch_size // answers.settings.micro_batches)
        layout = torch.channels_last if answers.settings.channels_last else torch.contiguous_format
        found: list[Tensor] = []
        devices = [like.device] if like.is_cuda else []
        with torch.random.fork_rng(devices):
            for x, _ in answers.train.batches(size, device=like.device):
                x = x.contiguous(memory_format=layout)
                found.append(asked(x))
                if len(found) == 1 and self._unfit(found[0], asked(x), len(answers.train)):
                    return None
        return torch.cat(found)

    @staticmethod
    def _unfit(once: Tensor, again: Tensor, examples: int) -> bool:
        return examples * once[0].numel() > _MOST or not torch.equal(once, again)

    def _now(self, x: Tensor) -> tuple[Any, ...]:
        """Return everything that, once changed, makes what is known wrong."""
        kind = x.device.type
        tensors = self._held[1].state_dict(keep_vars=True).values()
        mode = (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
        return (*mode, *((t.data_ptr(), t._version) for t in tensors))
