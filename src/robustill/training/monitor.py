"""Loss terms of the running epoch: averages for the log, and a stop on the first that is not finite."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from robustill.errors import NonFiniteLossError

_HINT = "lower optimizer.lr, set clip_norm, or train in float32; what was saved before is intact"


class Monitor:
    """Collects terms on the device and reads them back only at `flush`, so a step never waits for the host."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.steps = 0
        self.latest: dict[str, float] = {}
        self._pending: list[tuple[int, dict[str, Tensor]]] = []
        self._before = 0.0
        self._began: float | None = None

    def begin(self) -> None:
        """Start the clock, at the beginning of an epoch or where a resumed run goes on inside it."""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds that the epoch has taken, in all runs that worked at it."""
        return self._before + (0.0 if self._began is None else time.monotonic() - self._began)

    def add(self, step: int, total: Tensor, terms: Mapping[str, Tensor]) -> None:
        """Note the scalars of 0-based `step`."""
        self._pending.append((step, {**terms, "loss": total.detach()}))

    def flush(self, epoch: int) -> None:
        """Read what is pending.

        Raises:
            NonFiniteLossError: A term is infinite or not a number; names it, the epoch and the step, counted from 1.
        """
        for step, terms in self._pending:
            values = torch.stack([value.reshape(()).double() for value in terms.values()]).tolist()
            self.latest = dict(zip(terms, values, strict=True))
            bad = [f"{name} = {value}" for name, value in self.latest.items() if value - value != 0]
            if bad:
                raise NonFiniteLossError(
                    f"epoch {epoch + 1}, step {step + 1}: the loss is not finite ({', '.join(bad)})", _HINT
                )
            for name, value in self.latest.items():
                self.sums[name] = self.sums.get(name, 0.0) + value
            self.steps += 1
        self._pending = []

    def means(self) -> dict[str, float]:
        """Return the average of every term over the flushed steps of this epoch."""
        return {name: value / self.steps for name, value in self.sums.items()}

    def state(self) -> dict[str, Any]:
        """Return the flushed sums and the time, for a checkpoint inside an epoch."""
        return {"sums": dict(self.sums), "steps": self.steps, "seconds": self.seconds}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; that of an earlier version has no time."""
        self.sums, self.steps = dict(state["sums"]), int(state["steps"])
        self._before = float(state.get("seconds", 0.0))


def check_finite(method: nn.Module, epoch: int, step: int) -> None:
    """A finite loss may have had an infinite gradient: such weights must not replace good ones on disk.

    Raises:
        NonFiniteLossError: A weight is infinite or not a number; names it, and epoch and step as they count from 0.
    """
    for name, weight in method.named_parameters():
        if not bool(weight.isfinite().all()):
            raise NonFiniteLossError(
                f"epoch {epoch + 1}, step {step}: the gradient was not finite, and so is {name} now", _HINT
            )


def told(line: Mapping[str, Any], epochs: int) -> str:
    """Return what an epoch has come to, for people.

    >>> told({"epoch": 0, "loss": 1.25, "validation": {"clean": 0.5, "robust": 0.25}}, 30)
    'epoch 1/30 loss 1.2500, validation: clean 50.0%, robust 25.0%'
    """
    found = line.get("validation", {})
    scores = [f"{kind} {100 * found[kind]:.1f}%" for kind in ("clean", "robust") if kind in found]
    judged = f", validation: {', '.join(scores)}" if scores else ""
    return f"epoch {line['epoch'] + 1}/{epochs} loss {line['loss']:.4f}{judged}"
