"""From a study's TOML to its checked tables, and its names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from robustill.errors import RecipeError, nearest
from robustill.recipe.files import override, read_toml
from robustill.recipe.mistakes import explain
from robustill.study.table import StudyTable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*(\.[A-Za-z0-9_+-]+)*")
_LONGEST = 64
MOST = 1000
"""Seeds of an entry, and combinations of its grid: more is a slip of the pen."""


def load_study(source: str | Path, changes: Sequence[str] = ()) -> StudyTable:
    """Read a study file.

    Args:
        source: A TOML file.
        changes: `"training.epochs=2"` changes every recipe, `"evaluate.images=100"` a table of the study itself.

    Raises:
        RecipeError: Not found, not TOML, an unknown key, an impossible value or name; says where and what is near.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "two.toml")
    ...     _ = file.write_text('runs.plain.recipe = "digits_standard_cnn-small"')
    ...     print(load_study(file, ["training.epochs=2"]).name)
    two
    """
    path = Path(source)
    if not path.is_file():
        near = [str(each) for each in sorted(path.parent.glob("*.toml"))] if path.parent.is_dir() else []
        raise RecipeError(f"no study file {str(source)!r}", nearest(str(source), near) if near else None)
    tree = read_toml(path)
    tree.setdefault("name", path.stem)
    for change in changes:
        own = change.partition("=")[0].strip().partition(".")[0] in StudyTable.model_fields
        target = tree if own else tree.setdefault("set", {})
        # What is no table is refused below, with its key.
        if isinstance(target, dict):
            override(target, change)
    return parse_study(tree, where=str(path))


def parse_study(tree: Mapping[str, Any], where: str = "study") -> StudyTable:
    """Validate a table tree.

    Raises:
        RecipeError: As `load_study`.

    >>> table = parse_study({"name": "two", "seeds": 2, "runs": {"plain": {"recipe": "digits_standard_cnn-small"}}})
    >>> table.seeds, list(table.runs)
    (2, ['plain'])
    """
    try:
        study = StudyTable.model_validate(tree)
    except ValidationError as error:
        raise explain(error, StudyTable, tree, where) from error
    for key, name in [("name", study.name), *(("runs", run) for run in study.runs)]:
        if len(name) > _LONGEST or not _NAME.fullmatch(name):
            raise RecipeError(
                f"{where}: {key}: {name!r} is no name", f"letters, digits and . _ + - within, at most {_LONGEST}"
            )
    if study.baseline is not None and study.baseline.partition("[")[0] not in study.runs:
        raise RecipeError(f"{where}: baseline: no run {study.baseline!r}", nearest(study.baseline, study.runs))
    if study.search is not None and study.search.run not in study.runs:
        raise RecipeError(f"{where}: search.run: no run {study.search.run!r}", nearest(study.search.run, study.runs))
    return study


def seeds_of(seeds: int | tuple[int, ...], where: str) -> tuple[int, ...]:
    """Return the seeds that a number or a list stands for.

    Raises:
        RecipeError: There are none, one is negative, or one is there twice.

    >>> seeds_of(3, "seeds")
    (0, 1, 2)
    """
    found = tuple(range(min(seeds, MOST + 1))) if isinstance(seeds, int) else seeds
    if not found or len(found) > MOST or min(found) < 0 or len(set(found)) < len(found):
        raise RecipeError(f"{where} = {seeds!r}: not a number of seeds, nor a list of different ones", f"1 to {MOST}")
    return found


def to_toml(study: StudyTable) -> str:
    """Return the resolved study as TOML; loading it gives an equal study."""
    return tomli_w.dumps(study.model_dump(mode="json", exclude_none=True))


def named(text: str, names: Mapping[str, str], where: str) -> str:
    """Return `text` with every `{NAME}` replaced.

    Raises:
        RecipeError: There is no such name.

    >>> named("{data}_rslad_cnn-small", {"data": "digits"}, "runs.rslad")
    'digits_rslad_cnn-small'
    """
    for name in re.findall(r"\{([^{}]*)\}", text):
        if name not in names:
            raise RecipeError(f"{where}: {text!r} needs a name {name!r}", f"add it to the table [names]: {name} = ...")
    return re.sub(r"\{([^{}]*)\}", lambda found: names[found[1]], text)
