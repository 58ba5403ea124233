"""The stages of a bracket, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustill.diagnostics.bracket.kept import Kept
from robustill.diagnostics.bracket.subject import Subject
from robustill.progress import bar


@dataclass(frozen=True)
class Stage:
    """One thing to find out about every example.

    Args:
        name: Key of its results.
        compute: Gives values `[k]` by name for images `[k, ...]`, labels `[k]` and numbers `[k]` of examples.
    """

    name: str
    compute: Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]

    @property
    def title(self) -> str:
        """The name for people."""
        kind, at, eps = self.name.partition("@")
        return f"{kind}, eps {float(eps):.4g}" if at else kind


def run_stages(
    chosen: Subject,
    kept: Kept,
    stages: Sequence[Stage],
    *,
    batch_size: int,
    label: str,
    progress: bool,
    check: Callable[[Tensor], None],
) -> None:
    """Run all stages on a batch before the next batch, so that the time that remains can be told.

    Args:
        chosen: Networks and images.
        kept: Gets the results; what it has is not computed again.
        stages: In this order.
        batch_size: Examples per batch.
        label: Text of the bar.
        progress: Show it.
        check: Called with the numbers of a batch when it has passed all stages.

    Raises:
        KeyboardInterrupt: With a message that says what is kept.
    """
    left = {stage.name: kept.missing(stage.name) for stage in stages}
    total = len(chosen) * len(stages)
    done = total - sum(int(each.sum()) for each in left.values())
    try:
        with bar(label, total, done=done, show=progress) as shown:
            for at in torch.split(torch.arange(len(chosen)), batch_size):
                for stage in stages:
                    rows = at[left[stage.name][at]]
                    if not len(rows):
                        continue
                    shown.note(stage.title)
                    began = time.monotonic()
                    found = stage.compute(*chosen.examples(rows), rows)
                    kept.put(stage.name, rows, found, time.monotonic() - began)
                    shown.advance(len(rows))
                check(at)
    except KeyboardInterrupt as error:
        where = f"; {kept.path} holds what is finished, the same call goes on from there" if kept.path else ""
        raise KeyboardInterrupt(f"interrupted{where}") from error
    finally:
        kept.save()
