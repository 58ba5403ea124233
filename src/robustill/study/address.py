"""What a cell computes, as one hash: the same wherever it lies, whatever the study is called, and no two alike."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustill.models.digest import file_digest
from robustill.recipe import Recipe
from robustill.shipped import shipped_models
from robustill.study.own import code
from robustill.training.settings import as_number

_FORMAT = 1
REFERENCE = "cell:"
LAST = ":last"
SHIPPED = "robustill:"


def training_address(recipe: Recipe, needs: Mapping[str, str]) -> str:
    """Return the SHA-256 of all that decides a trained student: the recipe, what it names, and own code.

    Where it computes, where its teachers lie, and how it is evaluated, do not belong to it.

    Args:
        recipe: With references to other cells still in it.
        needs: The training address of each cell that it refers to, by reference.

    Raises:
        OSError: A file it names cannot be read.
    """
    tree = recipe.model_dump(mode="json")
    for key in ("title", "evaluation"):
        del tree[key]
    for key in ("device", "spread_teachers", "compile"):
        del tree["training"][key]
    # Which of the two "auto" comes to is the machine's affair, as the device is.
    if tree["training"]["mixed_precision"] == "auto":
        tree["training"]["mixed_precision"] = "bf16"
    tree["method"] = _numbers(tree["method"])
    for table in ("teachers", "student", "method"):
        tree[table] = _content(tree[table], needs)
    tree["training"]["overfitting"] = _content(tree["training"]["overfitting"], needs)
    own = code(recipe)
    # What uses the package alone has the address that it had before there was anything else.
    return digest({"format": _FORMAT, "recipe": tree, **({"own": own} if own else {})})


def digest(value: Any) -> str:
    """Return the SHA-256 of plain data, whatever the order of its keys.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def reference(text: str) -> tuple[str, bool]:
    """Return the row that "cell:NAME" or "cell:NAME:last" refers to, and whether it is its last student.

    >>> reference("cell:teacher_adv:last")
    ('teacher_adv', True)
    """
    name = text.removeprefix(REFERENCE)
    return name.removesuffix(LAST), name.endswith(LAST)


def _content(value: Any, needs: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _content(each, needs) for key, each in value.items()}
    if isinstance(value, list):
        return [_content(each, needs) for each in value]
    if not isinstance(value, str):
        return value
    if value in needs:
        return {"cell": needs[value], "last": reference(value)[1]}
    kind, at, path = value.partition("@")
    # What comes with robustill may be another file in another version.
    file = shipped_models().get(value.removeprefix(SHIPPED)) if value.startswith(SHIPPED) else None
    file = file or _file(Path(path if at else value))
    if file is None:
        return value
    return {"file": _digest(str(file), file.stat().st_mtime_ns, file.stat().st_size), "as": kind if at else ""}


def _file(path: Path) -> Path | None:
    if path.is_dir():
        path = path / "student.safetensors"
    return path if path.is_file() else None


@functools.lru_cache(maxsize=256)
def _digest(path: str, changed: int, size: int) -> str:
    """A teacher of many cells is read once."""
    return file_digest(path)


def _numbers(value: Any) -> Any:
    """Return a method's arguments with "5/6" as a number and 1 as 1.0: however written, the same method."""
    if isinstance(value, dict):
        return {key: _numbers(each) for key, each in value.items()}
    try:
        found = as_number(value)
    except ValueError:
        return value
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return value
    return float(found)
