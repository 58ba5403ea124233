"""The stages of a bracket, batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustill.diagnostics.bracket.kept import Kept
from robustill.diagnostics.bracket.subject import Subject
from robustill.evaluation.shards import everyones
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

    Of several processes each takes a batch of its own, side by side, and gets the results of all after each stage.

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
    own, processes = chosen.shard
    left = {stage.name: kept.missing(stage.name) for stage in stages}
    total = len(chosen) * len(stages)
    done = total - sum(int(each.sum()) for each in left.values())
    batches = torch.split(torch.arange(len(chosen)), batch_size)
    try:
        with bar(label, total, done=done, show=progress and own == 0) as shown:
            for start in range(0, len(batches), processes):
                here = batches[start : start + processes]
                for stage in stages:
                    todo = [at[left[stage.name][at]] for at in here]
                    if any(len(rows) for rows in todo):
                        shown.note(stage.title)
                        shown.advance(_run(chosen, kept, stage, todo[own : own + 1]))
                for at in here:
                    check(at)
    except KeyboardInterrupt as error:
        where = f"; {kept.path} holds what is finished, the same call goes on from there" if kept.path else ""
        raise KeyboardInterrupt(f"interrupted{where}") from error
    finally:
        kept.save()


def _run(chosen: Subject, kept: Kept, stage: Stage, own: Sequence[Tensor]) -> int:
    """Keep what `stage` finds about the examples of this process and of the others; return how many those are."""
    found: dict[str, Tensor] = {}
    rows, began = torch.cat([torch.zeros(0, dtype=torch.int64), *own]), time.monotonic()
    if len(rows):
        found = {name: value.cpu() for name, value in stage.compute(*chosen.examples(rows), rows).items()}
    answers = everyones((rows, found, time.monotonic() - began), chosen.shard[1])
    # They worked side by side.
    seconds = max(took for _, _, took in answers)
    for at, values, _ in answers:
        if len(at):
            kept.put(stage.name, at, values, seconds)
            seconds = 0.0
    return sum(len(at) for at, _, _ in answers)
