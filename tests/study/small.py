"""Studies that take seconds, and runners without processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from robustill.study import Cells, Study, open_study, parse_study
from robustill.study.folder import FAILED, RESULT, TRAINED
from robustill.study.run_cell import attempt
from robustill.study.table import Resources

QUICK = """
[base]
training.epochs = 1
training.optimizer.lr = 0.05
attack.steps = 1
attack.eps = 0.05
evaluation.eps = 0.05
teachers = { teacher = "cell:robust", teacher_adv = "cell:robust", teacher_nat = "cell:clean" }

[evaluate]
attacks = ["fgsm"]
images = 100
checks = false
"""
TEACHERS = """
[runs.robust]
recipe = "digits_pgd-at_cnn-small"
seeds = [7]

[runs.clean]
recipe = "digits_standard_cnn-small"
seeds = [7]
"""


def expand(runs: str, head: str = "", base: str = QUICK) -> Cells:
    """Return the cells of a study whose entries are written as TOML."""
    import tomllib

    return Cells(parse_study({"name": "study", **tomllib.loads(f"{head}\n{base}\n{runs}")}))


def opened(folder: Path, runs: str, head: str = "", base: str = QUICK, **changes: Any) -> Study:
    """Write a study file into `folder` and open it."""
    path = folder / "study.toml"
    path.write_text(f"{head}\n{base}\n{runs}")
    return open_study(path, out=folder / "out", **changes)


class Inline:
    """Runs cells in this process, one at a time, and counts them."""

    def __init__(self, work: Callable[[Path], int] = attempt) -> None:
        self.work, self.started, self.ended = work, list[str](), list[tuple[str, int]]()

    def check(self, resources: Resources, name: str) -> None: ...

    def fits(self, resources: Resources) -> bool:
        return not self.ended

    def start(self, key: str, folder: Path, resources: Resources) -> None:
        self.started.append(key)
        self.ended.append((key, self.work(folder)))

    def wait(self, seconds: float) -> list[tuple[str, int]]:
        found, self.ended = self.ended, []
        return found

    def stop(self, *, at_once: bool) -> None: ...

    def close(self) -> None: ...


class Silent:
    """A board that remembers the states that jobs went through."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []

    def changed(self, job: Any) -> None:
        self.states.append((job.cell.name, job.state))

    def draw(self) -> None: ...

    def say(self, text: str) -> None: ...


def pretend(accuracy: Callable[[dict[str, Any]], float] = lambda job: 0.5) -> Callable[[Path], int]:
    """Return work that trains nothing and writes what a cell would."""

    def work(folder: Path) -> int:
        job = json.loads((folder / "cell.json").read_text())
        value = accuracy(job)
        trained = {"training": job["training"], "epochs": 2, "best": {"epoch": 0, "robust": value}}
        trained["last"] = {"epoch": 1}
        (folder / TRAINED).write_text(json.dumps(trained))
        rows = [
            {"student": student, "attack": attack, "images": 10, "accuracy": value, "low": 0.0, "high": 1.0}
            for student in ("best", "last")
            for attack in ("clean", "fgsm", "robust")
        ]
        found = {"address": job["address"], "trained": trained, "rows": rows, "calibration": [], "seconds": {}}
        if job["measures"]:
            (folder / RESULT).write_text(json.dumps(found))
        return 0

    return work


def failing(folder: Path, **why: Any) -> int:
    """Write what a cell writes that fails."""
    job = json.loads((folder / "cell.json").read_text())
    (folder / FAILED).write_text(json.dumps({"address": job["address"], "error": "ValueError", "message": "no", **why}))
    return 1
