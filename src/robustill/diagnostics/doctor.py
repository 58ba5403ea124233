"""`robustill doctor`: the installation, a data set, a teacher; problems in plain words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from robustill.data import Data, load_data
from robustill.data.inspect import inspect_data
from robustill.diagnostics.installation import Finding, installation
from robustill.diagnostics.teacher import verify_teacher
from robustill.errors import InputError, RobustillError
from robustill.models import load_model


@dataclass
class Report:
    """Checks of the installation, tables about it, data and a teacher, and what is wrong with the last two.

    >>> report = Report(checks=[Finding("torch", "fail", "absent", "pip install torch")])
    >>> report.to_json()["checks"][0]["do"], report.healthy
    ('pip install torch', False)
    """

    checks: list[Finding] = field(default_factory=list)
    tables: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain containers."""
        return {
            "checks": [asdict(check) for check in self.checks],
            "tables": {title: dict(rows) for title, rows in self.tables},
            "problems": self.problems,
        }

    @property
    def healthy(self) -> bool:
        """Whether nothing has failed; warnings are no failures."""
        return not self.problems and all(check.status != "fail" for check in self.checks)


def examine(
    *,
    data: str | None = None,
    root: str | None = None,
    size: int | None = None,
    teacher: str | None = None,
    eps: float = 8 / 255,
    images: int = 200,
    normalization: dict[str, list[float]] | None = None,
    runs: str | Path = "runs",
) -> Report:
    """Look at the installation, and at a data set and a teacher where they are named.

    Args:
        data: Data set.
        root: Its folder.
        size: Its image files are resized to so many pixels.
        teacher: A source of `load_model`.
        eps: Radius of the teacher's PGD accuracy.
        images: Test images for the teacher's accuracies.
        normalization: `mean` and `std` for a teacher whose file does not hold them.
        runs: Folder that runs will go to; it need not be there.

    Raises:
        InputError: A teacher without data to verify it on.

    >>> report = examine(data="digits")
    >>> report.problems, dict(report.tables[1][1])["shape"]
    ([], '1x8x8')
    """
    if teacher is not None and data is None:
        raise InputError("a teacher is verified on data", "give --data NAME as well")
    checks = installation(Path(runs))
    report = Report(checks, [("Installation", [(check.name, check.says) for check in checks])])
    if data is not None:
        found = inspect_data(data, root, size=size)
        report.tables.append((f"Data: {data}", found.rows()))
        report.problems += found.problems
        if teacher is not None and found.found and not found.problems:
            _examine_teacher(report, teacher, load_data(data, root, size=size), eps, images, normalization or {})
    return report


def _examine_teacher(
    report: Report, teacher: str, data: Data, eps: float, images: int, normalization: dict[str, list[float]]
) -> None:
    try:
        arguments: dict[str, Any] = dict(normalization)
        model = load_model(teacher, num_classes=data.num_classes, shape=data.shape, **arguments)
        found = verify_teacher(model, data, eps=eps, images=images, described=_described(teacher))
    except RobustillError as error:
        report.problems.append(str(error))
        return
    report.tables.append((f"Teacher: {teacher}", found.rows()))
    report.problems += found.problems


def _described(teacher: str) -> bool:
    """Whether the network is a run or file of this library, which holds its normalisation."""
    return Path(teacher).exists() or teacher.partition(":")[0] in ("robustill", "hf-hub")
