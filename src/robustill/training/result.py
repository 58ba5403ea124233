"""What a training run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class TrainResult:
    """The students and the history of a run; the same in all processes of one.

    Args:
        student: The selected student (best on the validation split), in eval mode.
        student_last: The student of the last epoch.
        best: `{"epoch": ..., "clean": ..., "robust": ...}` of the selected one; empty without a validation split.
        history: One dictionary per epoch.

    >>> from torch import nn
    >>> net = nn.Identity()
    >>> result = TrainResult(net, net, {"epoch": 0, "clean": 0.5}, [{"epoch": 0, "loss": 2.5}])
    >>> result.best["clean"]
    0.5
    """

    student: nn.Module
    student_last: nn.Module
    best: dict[str, Any]
    history: list[dict[str, Any]]

    def __repr__(self) -> str:
        if not self.best:
            return f"TrainResult({len(self.history)} epochs)"
        judged = ", ".join(f"{kind} {100 * self.best[kind]:.2f} %" for kind in ("clean", "robust") if kind in self.best)
        return f"TrainResult({len(self.history)} epochs, epoch {self.best['epoch'] + 1} selected: validation {judged})"

    def _repr_html_(self) -> str:
        from robustill.notebook import html, lines, table

        epochs = [line["epoch"] + 1 for line in self.history]
        judged = [line.get("validation", {}) for line in self.history]
        kinds = [kind for kind in ("clean", "robust") if any(kind in each for each in judged)]
        columns = ("epoch", "loss", *(f"{kind}, %" for kind in kinds))
        rows = [
            (epoch, f"{line['loss']:.4f}", *(f"{100 * each[kind]:.2f}" if kind in each else "-" for kind in kinds))
            for epoch, line, each in zip(epochs, self.history, judged, strict=True)
        ]
        shares = {kind: [100 * each[kind] if kind in each else None for each in judged] for kind in kinds}
        losses = {"loss": [line["loss"] for line in self.history]}
        drawn = [lines("Loss over the epochs", epochs, losses, x_label="epoch", y_label="loss", whole=True)]
        if shares:
            title, label = "Accuracy on the validation split", "right predictions, %"
            drawn.append(lines(title, epochs, shares, x_label="epoch", y_label=label, y_range=(0, 100), whole=True))
        kept = f"; epoch {self.best['epoch'] + 1} was selected" if self.best else ""
        return html(*drawn, table(f"Validation split{kept}", columns, rows))
