"""The recipe of one cell, from the layers of a study file: recipe, base, entry, grid, --set, seed."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustill.errors import RecipeError, RobustillError
from robustill.recipe import Recipe, parse_recipe
from robustill.recipe.files import find_recipe, flatten, read_toml, shipped_recipes
from robustill.recipe.method import Plan, check_teachers, plan
from robustill.recipe.tables import AttackTable
from robustill.study.files import MOST, named
from robustill.study.paths import check_path, check_paths
from robustill.study.table import Resources, RunTable, StudyTable


@dataclass(frozen=True)
class Place:
    """Where a study is read: what a relative path is below, and what may be named at all.

    Args:
        study: Folder of the study file; recipes are looked for here first, then in the working folder.
        allowed: Further folders whose files may be named.
    """

    study: Path = Path()
    allowed: tuple[Path, ...] = ()

    @property
    def roots(self) -> tuple[Path, ...]:
        """All folders whose files may be named."""
        return (Path.cwd(), self.study, *self.allowed)


@dataclass(frozen=True)
class Variant:
    """One row of the table: an entry with one combination of its grid.

    Args:
        name: Of the row, such as `rslad` or `rslad[alpha=0.5]`.
        run: The entry.
        settings: The grid's values by dotted key.
    """

    name: str
    run: RunTable
    settings: dict[str, Any]


def variants(name: str, run: RunTable, where: str) -> list[Variant]:
    """Return the rows of an entry: one, or one for every combination of its grid.

    Raises:
        RecipeError: A key of the grid has no list of values.

    >>> [each.name for each in variants("ard", RunTable(grid={"method": {"alpha": [0.5, 1]}}), "study")]
    ['ard[alpha=0.5]', 'ard[alpha=1]']
    """
    grid = flatten(run.grid)
    for key, values in grid.items():
        if not isinstance(values, list | tuple) or not values:
            raise RecipeError(f"{where}: grid.{key} = {values!r}: not a list of values", f"grid.{key} = [1, 2]")
    if math.prod(map(len, grid.values())) > MOST:
        raise RecipeError(f"{where}: grid has more than {MOST} combinations", "split it into several entries")
    found = []
    for combination in itertools.product(*grid.values()):
        settings = dict(zip(grid, combination, strict=True))
        found.append(Variant(label(name, settings), run, settings))
    return found


def label(name: str, settings: Mapping[str, Any]) -> str:
    """Return the name of a row with the values that make it different from its neighbours."""
    text = ",".join(f"{key.rpartition('.')[2]}={value}" for key, value in settings.items())
    return f"{name}[{text}]" if text else name


def recipe_of(study: StudyTable, variant: Variant, seed: int, resources: Resources, place: Place) -> Recipe:
    """Return the checked recipe of a cell; references to other cells still stand in it as "cell:NAME".

    Raises:
        RecipeError: Something in it is unknown, impossible, or outside of what may be named.
    """
    where = f"{study.name}: runs.{variant.name}"
    first = _file(variant.run.recipe, study, place, where) if variant.run.recipe is not None else {}
    own = _merged([variant.run.set, {"teachers": variant.run.teachers}, _nested(variant.settings)])
    first, base, own, last = (_substituted(layer, study.names, where) for layer in (first, study.base, own, study.set))
    method = _method(_merged([first, base, own, last]), where)
    named_here = _teachers(first) | _teachers(own)
    tree = _merged([first, _taken(base, method, named_here), own, _taken(last, method, named_here)])
    training = _table(tree, "training", where)
    training["seed"] = seed
    # So that a cell computes the same whatever the number of cores.
    training["threads"] = training.get("threads") or resources.cpus
    check_paths(tree, place.roots, where)
    recipe = parse_recipe(tree, where=where)
    try:
        check_teachers(plan(recipe.method, recipe.attack), recipe.teachers)
    except RobustillError as error:
        raise RecipeError(f"{where}: {error.message}", error.hint) from error
    return recipe


def _file(source: str, study: StudyTable, place: Place, where: str) -> dict[str, Any]:
    source = named(source, study.names, where)
    beside = place.study / source
    if source in shipped_recipes():
        path = shipped_recipes()[source]
    else:
        # Checked before anything is opened: an error would quote what is in it.
        path = beside if beside.is_file() else Path(source)
        check_path(path, place.roots, f"{where}: recipe")
        try:
            path = find_recipe(path)
        except RecipeError as error:
            raise RecipeError(f"{where}: {error.message}", error.hint) from error
    try:
        return read_toml(path)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error.message}", error.hint) from error


def _method(tree: dict[str, Any], where: str) -> Plan:
    if not isinstance(tree.get("method"), dict) or "name" not in tree["method"]:
        raise RecipeError(f"{where}: no method", 'give the entry a recipe, or set = {method.name = "rslad"}')
    rest = {"data": {"name": ""}, "student": {"architecture": ""}}
    try:
        return plan(parse_recipe({**rest, "method": tree["method"]}, where).method, AttackTable())
    except RobustillError as error:
        message = error.message if error.message.startswith(where) else f"{where}: {error.message}"
        raise RecipeError(message, error.hint) from error


def _taken(layer: Mapping[str, Any], method: Plan, named_here: frozenset[str]) -> dict[str, Any]:
    """Return what a method takes of a layer that all entries share: its own teachers, and an attack if it has one.

    Args:
        layer: `[base]` or `[set]`.
        method: Of the entry.
        named_here: Teachers that the recipe or the entry names. One that the method can do without makes another method
            of it (form II of IAD out of form I), so that no shared layer may bring it in.
    """
    taken = copy.deepcopy(dict(layer))
    if "attack" not in method.parts[-1].arguments:
        taken.pop("attack", None)
    teachers = taken.get("teachers")
    if isinstance(teachers, dict):
        wanted = {name for name, each in method.wanted().items() if each.required or name in named_here}
        taken["teachers"] = {name: source for name, source in teachers.items() if name in wanted}
    return taken


def _teachers(layer: Mapping[str, Any]) -> frozenset[str]:
    teachers = layer.get("teachers")
    return frozenset(teachers) if isinstance(teachers, Mapping) else frozenset()


def _merged(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the layers over one another: tables key by key, everything else as the last one says."""
    found: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
            found[key] = _merged([found[key], value]) if both else copy.deepcopy(value)
    return found


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in settings.items():
        *path, last = key.split(".")
        found = _merged([found, _below(path, last, value)])
    return found


def _below(path: list[str], last: str, value: Any) -> dict[str, Any]:
    return {path[0]: _below(path[1:], last, value)} if path else {last: value}


def _substituted(value: Any, names: Mapping[str, str], where: str) -> Any:
    if isinstance(value, dict):
        return {key: _substituted(each, names, where) for key, each in value.items()}
    if isinstance(value, list):
        return [_substituted(each, names, where) for each in value]
    return named(value, names, where) if isinstance(value, str) and names else value


def _table(tree: dict[str, Any], key: str, where: str) -> dict[str, Any]:
    found = tree.setdefault(key, {})
    if not isinstance(found, dict):
        raise RecipeError(f"{where}: {key} = {found!r}: not a table", "write it as a table: [KEY]")
    return found
