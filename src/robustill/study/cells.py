"""From a study to its cells: every row, every seed, and the cells that teach them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robustill.errors import RecipeError, RobustillError, nearest
from robustill.recipe import Recipe
from robustill.study.address import REFERENCE, digest, reference, training_address
from robustill.study.files import seeds_of
from robustill.study.layers import Place, Variant, recipe_of, variants
from robustill.study.paths import leaves
from robustill.study.table import Resources, StudyTable


@dataclass(frozen=True)
class Cell:
    """One run of a study: what is trained, and how its students are evaluated.

    Args:
        variant: The row that it belongs to.
        seed: Its seed.
        recipe: What is trained; references to other cells stand in it as "cell:NAME".
        needs: The cells that it refers to, by reference.
        training: Address of the training: its content, and that of the cells it needs.
        measures: `{"evaluate": ..., "calibrate": ...}`, resolved; empty for a trial of a search.
        resources: What it takes.
    """

    variant: Variant
    seed: int
    recipe: Recipe
    needs: dict[str, Cell]
    training: str
    measures: dict[str, Any]
    resources: Resources = field(compare=False)

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return f"{self.variant.name} seed {self.seed}"

    @property
    def address(self) -> str:
        """Address of the training and of what is measured."""
        return digest({"training": self.training, "measures": self.measures})

    @property
    def folder(self) -> str:
        """Name of its folder: for people, and the first 12 digits of the training's address."""
        table, methods = self.recipe.method, [self.recipe.method.name]
        while table.base is not None:
            table = table.base
            methods.append(table.name)
        name = f"{'-'.join(methods)}_{self.recipe.student.architecture}_s{self.seed}"
        # The architecture is any text; a folder's name is not.
        return re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:80] + f"-{self.training[:12]}"


class Cells:
    """The cells of a study; what refers to one gets the same one.

    Raises:
        RecipeError: An entry is wrong, or refers to one that does not exist, has no such seed, or refers back.

    >>> from robustill.study import parse_study
    >>> table = parse_study({"name": "two", "seeds": 2, "runs": {"plain": {"recipe": "digits_standard_cnn-small"}}})
    >>> type(Cells(table)).__name__
    'Cells'
    """

    def __init__(self, study: StudyTable, place: Place | None = None) -> None:
        self.study, self.place = study, place or Place()
        self.variants = {
            each.name: each
            for name, run in study.runs.items()
            for each in variants(name, run, f"{study.name}: runs.{name}")
        }
        self._found: dict[tuple[str, int], Cell] = {}
        self._open: list[str] = []
        own = {f"runs.{name}.baseline": run.baseline for name, run in study.runs.items()}
        for key, base in {"baseline": study.baseline, **own}.items():
            if base is not None and base not in self.variants:
                raise RecipeError(f"{study.name}: {key}: no row {base!r}", nearest(base, self.variants))
        _check_named(study)

    def baselines(self) -> dict[str, str]:
        """Return the row that each row is compared with, for those that are compared with another one."""
        found = {name: each.run.baseline or self.study.baseline for name, each in self.variants.items()}
        return {name: base for name, base in found.items() if base is not None and base != name}

    def all(self, only: Iterable[str] = ()) -> list[Cell]:
        """Return the cells of the entries or rows named by `only`, of all when empty, teachers before students.

        Raises:
            RecipeError: There is no such entry, or one of them is wrong.
        """
        chosen = list(only)
        known = [*self.study.runs, *self.variants]
        for name in chosen:
            if name not in known:
                raise RecipeError(f"{self.study.name}: --only {name}: no such run", nearest(name, known))
        found: dict[int, Cell] = {}
        wanted = [v for name, v in self.variants.items() if not chosen or {name, name.partition("[")[0]} & set(chosen)]
        turns = [(turn, self.cell(v, seed)) for v in wanted for turn, seed in enumerate(self.seeds(v))]
        # Seed by seed, so that a study that is stopped early has as many seeds of one row as of another.
        for _, first in sorted(turns, key=lambda each: each[0]):
            for cell in _with_needs(first):
                found[id(cell)] = cell
        _check_distinct(found.values())
        return list(found.values())

    def seeds(self, variant: Variant) -> tuple[int, ...]:
        """Return the seeds of a row."""
        seeds = variant.run.seeds if variant.run.seeds is not None else self.study.seeds
        return seeds_of(seeds, f"{self.study.name}: runs.{variant.name}: seeds")

    def cell(self, variant: Variant, seed: int, *, measured: bool = True) -> Cell:
        """Return one cell, with those that it needs.

        Args:
            variant: Its row.
            seed: Its seed.
            measured: Whether its students are evaluated on the test images; a trial's are not.
        """
        key = (variant.name, seed)
        if measured and key in self._found:
            return self._found[key]
        if variant.name in self._open:
            circle = " -> ".join([*self._open, variant.name])
            raise RecipeError(
                f"{self.study.name}: runs.{variant.name}: its teachers go in a circle: {circle}",
                "let one of them be taught by none of the others",
            )
        self._open.append(variant.name)
        try:
            found = self._built(variant, seed, measured)
        finally:
            self._open.pop()
        if measured:
            self._found[key] = found
        return found

    def _built(self, variant: Variant, seed: int, measured: bool) -> Cell:
        where = f"{self.study.name}: runs.{variant.name}"
        resources = variant.run.resources or self.study.resources
        recipe = recipe_of(self.study, variant, seed, resources, self.place)
        texts = [text for _, text in leaves(recipe.model_dump(mode="json"))]
        needs = {text: self._needed(text, seed, where) for text in texts if text.startswith(REFERENCE)}
        try:
            measures = _measures(self.study, recipe, variant) if measured else {}
            _check_sources(recipe)
            address = training_address(recipe, {text: cell.training for text, cell in needs.items()})
        except OSError as error:
            raise RecipeError(
                f"{where}: cannot read {error.filename}: {error.strerror}", "check the path and its permissions"
            ) from error
        except RobustillError as error:
            raise RecipeError(f"{where}: {error.message}", error.hint) from error
        return Cell(variant, seed, recipe, needs, address, measures, resources)

    def _needed(self, text: str, seed: int, where: str) -> Cell:
        name, _ = reference(text)
        variant = self.variants.get(name)
        if variant is None:
            raise RecipeError(f"{where}: {text!r}: this study has no run {name!r}", nearest(name, self.variants))
        seeds = self.seeds(variant)
        if len(seeds) > 1 and seed not in seeds:
            raise RecipeError(f"{where}: {text!r} has no seed {seed}", "give it one seed, or all of the student's")
        return self.cell(variant, seed if len(seeds) > 1 else seeds[0])


def _with_needs(cell: Cell) -> list[Cell]:
    return [*(each for need in cell.needs.values() for each in _with_needs(need)), cell]


def _check_distinct(cells: Iterable[Cell]) -> None:
    """One folder holds one evaluation: rows that differ in nothing else would overwrite each other's."""
    found: dict[str, Cell] = {}
    for cell in cells:
        other = found.setdefault(cell.training, cell)
        if other.address != cell.address:
            raise RecipeError(
                f"{other.name} and {cell.name} are the same training, evaluated in different ways", "keep one of them"
            )


def _check_sources(recipe: Recipe) -> None:
    """A teacher that is not there must not come to light only after its fellow cells have trained."""
    from robustill.models import MODELS

    for key, text in leaves(recipe.model_dump(mode="json")["teachers"]):
        source = text.partition("@")[2] or text
        a_path = ".arguments" not in key and ":" not in source and source not in MODELS
        if a_path and not Path(source).exists():
            raise RecipeError(
                f"teachers.{key} = {text!r}: there is no such file or run folder",
                f'to train it in this study, name one of its runs: teachers.{key} = "cell:NAME"',
            )


def _check_named(study: StudyTable) -> None:
    """What a table of the study says of entries must be about entries that there are."""
    named = {"landscape.runs": study.landscape.runs if study.landscape else ()}
    named["curves.runs"] = study.curves.runs if study.curves else ()
    if study.ranking is not None:
        named |= {"ranking.references": (study.ranking.references,), "ranking.students": (study.ranking.students,)}
    for key, names in named.items():
        for name in names:
            if name not in study.runs:
                raise RecipeError(f"{study.name}: {key}: no run {name!r}", nearest(name, study.runs))


def _measures(study: StudyTable, recipe: Recipe, variant: Variant) -> dict[str, Any]:
    from robustill.attacks import named_attack

    wanted = study.evaluate.model_dump(mode="json")
    wanted["attacks"] = list(study.evaluate.attacks or recipe.evaluation.attacks)
    wanted["eps"] = study.evaluate.eps if study.evaluate.eps is not None else recipe.eps(study.evaluate.norm)
    wanted["norm"] = study.evaluate.norm or recipe.norm()
    for name in wanted["attacks"]:
        named_attack(name, eps=wanted["eps"], norm=wanted["norm"])
    found = {"evaluate": wanted, "calibrate": _calibration(study, recipe)}
    asked = study.landscape
    if asked is not None and (not asked.runs or variant.name.partition("[")[0] in asked.runs):
        found["landscape"] = asked.model_dump(mode="json", exclude={"runs"})
    return found


def _calibration(study: StudyTable, recipe: Recipe) -> dict[str, Any] | None:
    if study.calibrate is None:
        return None
    asked = study.calibrate
    names = (asked.teacher,) if asked.teacher is not None else ("teacher", "teacher_adv")
    name = next((each for each in names if each in recipe.teachers), None)
    # Untaught students, and those of several teachers at once, have no one to be compared with.
    if name is None or isinstance(recipe.teachers[name], tuple):
        return None
    return {**asked.model_dump(mode="json"), "teacher": name}
