"""The folder of a cell: a run folder, and what was asked of the cell, what it found, or why it failed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from robustill.errors import CheckpointError, RobustillError
from robustill.recipe import Recipe, parse_recipe
from robustill.study.address import REFERENCE, reference
from robustill.study.cells import Cell

JOB, TRAINED, RESULT, FAILED, LOG = "cell.json", "trained.json", "result.json", "failed.json", "log.txt"
INTERRUPTED = 130
"""Exit code of a cell that was told to stop."""

_POLL_S = 0.2


class Store:
    """Where cells live.

    Args:
        root: The folder of their folders.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, cell: Cell) -> Path:
        """Return a cell's folder.

        Raises:
            RobustillError: A link leads out of the store.
        """
        folder = self.root / cell.folder
        if folder.is_symlink() or not folder.resolve().is_relative_to(self.root.resolve()):
            raise RobustillError(f"{folder} is a link; a cell is written in its study alone", "remove the link")
        return folder

    def job(self, cell: Cell) -> dict[str, Any]:
        """Return what a cell's process has to know, as plain data."""
        return {
            "name": cell.name,
            "address": cell.address,
            "training": cell.training,
            "recipe": self.recipe(cell).model_dump(mode="json", exclude_none=True),
            "measures": cell.measures,
            "cpus": cell.resources.cpus,
        }

    def recipe(self, cell: Cell) -> Recipe:
        """Return a cell's recipe with the folders of the cells that it refers to."""
        places = {text: str(_student(self.of(need), text)) for text, need in cell.needs.items()}
        return parse_recipe(_replaced(cell.recipe.model_dump(mode="json", exclude_none=True), places), cell.name)

    def done(self, cell: Cell) -> bool:
        """Return whether all that is asked of a cell has been found."""
        return finished(self.of(cell), {"address": cell.address, "training": cell.training, "measures": cell.measures})

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """Return what a finished cell found; None while it is not finished."""
        return result_of(self.of(cell), cell.address)

    def trained(self, cell: Cell) -> dict[str, Any] | None:
        """Return the scores on the validation split of a trained cell; None while it is not trained."""
        found = read_json(self.of(cell) / TRAINED)
        return found if found is not None and found.get("training") == cell.training else None

    def failure(self, cell: Cell) -> dict[str, Any] | None:
        """Return why a cell failed when it was last tried; None if it did not."""
        return read_json(self.of(cell) / FAILED)


def finished(folder: Path, job: dict[str, Any]) -> bool:
    """Return whether what `job` asks for is there: the training, and the measures if it asks for any."""
    trained = read_json(folder / TRAINED)
    if trained is None or trained.get("training") != job["training"]:
        return False
    return not job["measures"] or result_of(folder, job["address"]) is not None


def result_of(folder: Path, address: str) -> dict[str, Any] | None:
    """Return what was found under an address: by the last study that asked, or by one before it."""
    for name in (RESULT, kept(address)):
        found = read_json(folder / name)
        if found is not None and found.get("address") == address:
            return found
    return None


def kept(address: str) -> str:
    """Return the name of a result that had to make room for that of a study with other measures."""
    return f"result-{address[:12]}.json"


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object; None if there is none, or none that is whole."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Wait until no other process works on the cell in `folder`, and keep others out."""
    from robustill.training.lock import hold

    with ExitStack() as stack:
        waits = False
        while True:
            try:
                stack.enter_context(hold(folder, "cell"))
                break
            except CheckpointError as error:
                if not waits:
                    sys.stderr.write(f"waiting: {error.message}\n")
                waits = True
                time.sleep(_POLL_S)
        yield


def _student(folder: Path, text: str) -> Path:
    return folder / "student_last.safetensors" if reference(text)[1] else folder


def _replaced(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(each, places) for key, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, places) for each in value]
    return places.get(value, value) if isinstance(value, str) and value.startswith(REFERENCE) else value
