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
    """

    student: nn.Module
    student_last: nn.Module
    best: dict[str, Any]
    history: list[dict[str, Any]]
