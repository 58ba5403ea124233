"""`robustill doctor`: the installation, a data set, a teacher; problems in plain words."""

from __future__ import annotations

import importlib.util
import platform
from dataclasses import dataclass, field
from typing import Any

import torch

from robustill.data import Data, load_data
from robustill.data.inspect import inspect_data
from robustill.diagnostics.teacher import verify_teacher
from robustill.errors import InputError, RobustillError
from robustill.models import load_model

_EXTRAS = {
    "hub": ("datasets", "huggingface_hub"),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "track": ("tensorboard", "trackio"),
    "ray": ("ray",),
}


@dataclass
class Report:
    """Tables for people, values for programs, problems for both."""

    tables: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain containers."""
        return {"tables": {title: dict(rows) for title, rows in self.tables}, "problems": self.problems}


def examine(
    *,
    data: str | None = None,
    root: str | None = None,
    teacher: str | None = None,
    eps: float = 8 / 255,
    images: int = 200,
    normalization: dict[str, list[float]] | None = None,
) -> Report:
    """Look at the installation, and at a data set and a teacher where they are named.

    Args:
        data: Data set.
        root: Its folder.
        teacher: A source of `load_model`.
        eps: Radius of the teacher's PGD accuracy.
        images: Test images for the teacher's accuracies.
        normalization: `mean` and `std` for a teacher whose file does not hold them.

    Raises:
        InputError: A teacher without data to verify it on.
    """
    if teacher is not None and data is None:
        raise InputError("a teacher is verified on data", "give --data NAME as well")
    report = Report(tables=[("Installation", _installation())])
    if data is not None:
        found = inspect_data(data, root)
        report.tables.append((f"Data: {data}", found.rows()))
        report.problems += found.problems
        if teacher is not None and found.found and not found.problems:
            _examine_teacher(report, teacher, load_data(data, root), eps, images, normalization or {})
    return report


def _examine_teacher(
    report: Report, teacher: str, data: Data, eps: float, images: int, normalization: dict[str, list[float]]
) -> None:
    try:
        arguments: dict[str, Any] = dict(normalization)
        model = load_model(teacher, num_classes=data.num_classes, shape=data.shape, **arguments)
        found = verify_teacher(model, data, eps=eps, images=images)
    except RobustillError as error:
        report.problems.append(str(error))
        return
    report.tables.append((f"Teacher: {teacher}", found.rows()))
    report.problems += found.problems


def _installation() -> list[tuple[str, str]]:
    from robustill import __version__

    cuda = f"{torch.cuda.device_count()} CUDA device(s)" if torch.cuda.is_available() else "CPU only"
    rows = [
        ("robustill", __version__),
        ("python", platform.python_version()),
        ("torch", f"{torch.__version__}, {cuda}, {torch.get_num_threads()} threads"),
    ]
    for extra, packages in _EXTRAS.items():
        absent = [name for name in packages if importlib.util.find_spec(name) is None]
        rows.append((f"extra {extra}", "installed" if not absent else f"missing: {', '.join(absent)}"))
    return rows
