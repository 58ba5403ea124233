"""Run folders as the page sees them: files of JSON, the recipe and the course of training, checked on reading."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from robustill.errors import CheckpointError, RobustillError
from robustill.terminal import printable

WRITERS = {
    "evaluation": "evaluate",
    "diagnostics": "train",
    "calibration": "calibrate",
    "certification": "certify",
    "unlearnable": "unlearnable",
    "examples": "unlearnable",
    "teachers": "rank-teachers",
    "landscape": "landscape",
    "gallery": "report",
}
"""What may lie in a run folder as NAME.json, and the verb that writes it."""


OTHERS = "evaluation/"
"""How names begin of what `evaluate` found besides and put below `evaluations/`."""


class Found(NamedTuple):
    """A file and what it holds."""

    path: Path
    content: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What a folder says of a run; whatever is not there is empty.

    Args:
        name: What the page calls it.
        folder: Where it is.
        recipe_text: `recipe.toml` as it was written.
        recipe: The same, parsed.
        steps: Lines of `metrics.jsonl` of kind "step".
        epochs: Lines of kind "epoch".
        files: What JSON files hold, by their names without ending.
        selected: Epoch, from 0, of `student.safetensors`; None where it does not say.
        notes: What the caller wants to be said, such as why there is no gallery.
        planned: How many epochs there were to be, where there is no recipe; None where the checkpoint does not say.
    """

    name: str
    folder: Path
    recipe_text: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    steps: Sequence[dict[str, Any]] = ()
    epochs: Sequence[dict[str, Any]] = ()
    files: Mapping[str, Found] = field(default_factory=dict)
    selected: int | None = None
    notes: Sequence[str] = ()
    planned: int | None = None

    @property
    def is_run(self) -> bool:
        """Whether something was trained or evaluated here; else there are only results about runs elsewhere."""
        return bool(self.recipe or self.epochs or self.steps or "evaluation" in self.files)

    def content(self, name: str) -> dict[str, Any] | None:
        """Return what NAME.json holds; None: it is not there."""
        return self.files[name].content if name in self.files else None

    def setting(self, *keys: str) -> Any:
        """Return a value of the recipe; None where there is none."""
        found: Any = self.recipe
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


@contextmanager
def reading(run: Run, name: str) -> Iterator[None]:
    """Turn whatever goes wrong inside with the content of NAME.json into one error that names the file.

    Raises:
        CheckpointError: The content has another form than robustill writes.
    """
    try:
        yield
    except RobustillError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        path = run.files[name].path if name in run.files else run.folder / "metrics.jsonl"
        verb = _verb(name)
        raise _damaged(path, f"not what robustill {verb} writes: {type(error).__name__}: {error}", verb) from error


def read_runs(folders: Sequence[Path], notes: Mapping[Path, Sequence[str]]) -> list[Run]:
    """Read folders; the result has a name for each that no other has.

    Raises:
        CheckpointError: No folder, nothing of a run in it, a damaged file, or a folder given twice.
    """
    if not folders:
        raise CheckpointError("there is no run to report on", "give at least one run folder")
    places = [folder.resolve() for folder in folders]
    twice = [folder for k, folder in enumerate(folders) if places[k] in places[:k]]
    if twice:
        raise CheckpointError(f"{twice[0]} is given twice", "name each run folder once")
    short = [place.name for place in places]
    names = [name if short.count(name) == 1 else str(folder) for name, folder in zip(short, folders, strict=True)]
    runs = [read_run(each, printable(name)) for each, name in zip(folders, names, strict=True)]
    return [replace(run, notes=tuple(notes.get(run.folder, ()))) for run in runs]


def read_run(folder: Path, name: str) -> Run:
    """Read a folder.

    Raises:
        CheckpointError: As `read_runs`.
    """
    if not folder.is_dir():
        raise CheckpointError(f"no such folder: {folder}", "give the folder of a run")
    text, recipe = _recipe(folder / "recipe.toml")
    lines = _lines(folder / "metrics.jsonl")
    paths = {each: folder / f"{each}.json" for each in WRITERS}
    for path in sorted((folder / "evaluations").glob("*/evaluation.json")):
        paths[f"{OTHERS}{path.parent.name}"] = path
    files = {each: Found(path, _object(path, _verb(each))) for each, path in paths.items() if path.exists()}
    steps, epochs = ([line for line in lines if line.get("kind") == kind] for kind in ("step", "epoch"))
    if not (text or lines or files.keys() - {"gallery"}):
        raise CheckpointError(
            f"{folder} is not a run folder: it has no recipe.toml, metrics.jsonl or evaluation.json",
            "give the folder that robustill train or evaluate wrote",
        )
    planned = _planned(folder) if epochs and not recipe else None
    chosen = _selected(folder / "student.safetensors")
    return Run(name, folder, text, recipe, steps, epochs, files, chosen, planned=planned)


def _verb(name: str) -> str:
    return WRITERS.get(name.partition("/")[0], "train")


def _selected(path: Path) -> int | None:
    from safetensors import safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, "np") as file:
            return int((file.metadata() or {})["epoch"])
    except Exception:
        # Damaged weights are for the verbs that use them to tell of.
        return None


def _planned(folder: Path) -> int | None:
    from robustill.training.checkpoint import settings_then

    planned = (settings_then(folder) or {}).get("epochs")
    return planned if type(planned) is int else None


def _recipe(path: Path) -> tuple[str, dict[str, Any]]:
    if not path.exists():
        return "", {}
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"no TOML: {error}", "train") from error


def _object(path: Path, verb: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"no JSON: {error}", verb) from error
    if not isinstance(found, dict):
        raise _damaged(path, "not a JSON object", verb)
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    found = []
    try:
        raw = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(raw, 1):
            # A run that is going on, or was killed, may end in half a line.
            if line and not (number == len(raw) and not _is_whole(line)):
                found.append(json.loads(line, parse_constant=_nothing))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"no lines of JSON: {error}", "train") from error
    if not all(isinstance(line, dict) for line in found):
        raise _damaged(path, "a line is not a JSON object", "train")
    return found


def _nothing(_: str) -> None:
    """Take NaN and Infinity, which are no JSON, as a missing number."""


def _is_whole(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _damaged(path: Path, what: str, verb: str) -> CheckpointError:
    reason = printable(" ".join(what.split()))[:300]
    return CheckpointError(f"{path} cannot be read: {reason}", f"run robustill {verb} again, or move the file away")
