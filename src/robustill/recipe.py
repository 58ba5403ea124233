"""Recipes: a validated TOML table tree; the only place that turns names into objects.

A recipe names everything that decides a run. Unknown keys are errors that name the nearest known one.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tomli_w
from pydantic import ConfigDict, Field, ValidationError

from robustill.errors import InputError, RecipeError, nearest
from robustill.recipe_errors import check_teachers, checked_argument, explain
from robustill.training.settings import Number, Settings, Table

if TYPE_CHECKING:
    from torch import nn

    from robustill.data import Data
    from robustill.methods import Method


class DataTable(Table):
    """Which data, and how much of it validates."""

    name: str
    root: str | None = None
    validation: float | int = Field(
        default=0.1, ge=0, description="share or number of training images that select the epoch"
    )
    seed: int = Field(default=0, ge=0, description="seed of the validation split")
    size: int | None = Field(default=None, ge=1)
    limit: int | None = Field(default=None, ge=1, description="cap on training and on test images, for quick looks")
    stream: bool | None = None


class StudentTable(Table):
    """The network that is trained, from fresh weights or from `weights`."""

    architecture: str
    normalize: bool = Field(
        False, description="subtract the data's mean and divide by its deviation, inside the network"
    )
    arguments: dict[str, Any] = {}
    weights: str | None = Field(default=None, description="file or run folder to start from")


class MethodTable(Table):
    """A method by name; every other key is one of its keyword arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str


class AttackTable(Table):
    """The training attack; what is left out keeps the method's default."""

    eps: Number | None = Field(default=None, ge=0)
    step_size: Number | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=0)
    norm: Literal["Linf", "L2"] | None = None
    init: Literal["uniform", "gaussian", "none"] | None = None
    sigma: float | None = Field(default=None, gt=0)
    restarts: int | None = Field(default=None, ge=1)
    large_step: bool | None = None


class EvaluationTable(Table):
    """What `robustill evaluate RUN` does unless told otherwise."""

    eps: Number | None = Field(default=None, ge=0, description="radius; the training attack's when left out")
    norm: Literal["Linf", "L2"] = "Linf"
    attacks: tuple[str, ...] = ("fgsm", "pgd20", "cw")


class Recipe(Table):
    """One run: data, networks, method, training attack, training, evaluation."""

    title: str = ""
    data: DataTable
    student: StudentTable
    teachers: dict[str, str | tuple[str, ...]] = Field(
        default={}, description="the method's other networks, by argument name"
    )
    method: MethodTable
    attack: AttackTable = AttackTable()
    training: Settings = Settings()
    evaluation: EvaluationTable = EvaluationTable()

    def to_toml(self) -> str:
        """Return the resolved recipe as TOML; loading it gives an equal recipe."""
        return tomli_w.dumps(_without_none(self.model_dump(mode="json")))

    def build(self) -> tuple[Method, Data]:
        """Load the data and the teachers, build the student and the method.

        Raises:
            RecipeError: An unknown method, argument or network.
            DataError, ModelError: What is named is missing or does not fit.
        """
        import torch

        from robustill.data import load_data

        method, arguments = self._method()
        self._check_evaluation()
        data = load_data(**self.data.model_dump(exclude={"name"}), name=self.data.name)
        # The student's fresh weights follow the training seed.
        torch.manual_seed(self.training.seed)
        student = self._student(data)
        teachers = {name: _networks(source, data) for name, source in self.teachers.items()}
        return method(student, **teachers, **arguments), data

    def eps(self) -> float:
        """Return the radius of evaluation: its own, else the training attack's, else the method's default."""
        if self.evaluation.eps is not None:
            return self.evaluation.eps
        if self.attack.eps is not None:
            return self.attack.eps
        from robustill.methods import METHODS
        from robustill.methods.card import hyperparameters

        attack = hyperparameters(METHODS[self.method.name]).get("attack")
        if attack is None:
            raise RecipeError(
                f"{self.method.name} has no attack, so there is no radius to evaluate at", "set evaluation.eps"
            )
        return float(attack.default.eps)

    def _method(self) -> tuple[Any, dict[str, Any]]:
        from robustill.methods import METHODS
        from robustill.methods.card import hyperparameters

        name = self.method.name
        if name not in METHODS:
            raise RecipeError(f"method.name: unknown method {name!r}", nearest(name, METHODS))
        known = hyperparameters(METHODS[name])
        given = self.method.model_extra or {}
        arguments: dict[str, Any] = {key: checked_argument(name, key, value, known) for key, value in given.items()}
        check_teachers(name, METHODS[name], self.teachers)
        changes = self.attack.model_dump(exclude_none=True)
        if "attack" in known:
            arguments["attack"] = dataclasses.replace(known["attack"].default, **changes)
        elif changes:
            raise RecipeError(f"attack: {name} has no training attack", "remove the [attack] table")
        return METHODS[name], arguments

    def _check_evaluation(self) -> None:
        """A wrong name must not come to light only after the training."""
        from robustill.attacks import named_attack

        for name in self.evaluation.attacks:
            try:
                named_attack(name, eps=1.0)
            except InputError as error:
                raise RecipeError(f"evaluation.attacks: {error.message}", error.hint) from error

    def _student(self, data: Data) -> nn.Module:
        from robustill.data.statistics import channel_statistics
        from robustill.models import build_model, load_model

        if self.student.weights is not None:
            return load_model(self.student.weights, num_classes=data.num_classes, shape=data.shape)
        mean, std = channel_statistics(data.train) if self.student.normalize else (None, None)
        return build_model(
            self.student.architecture,
            num_classes=data.num_classes,
            shape=data.shape,
            mean=mean,
            std=std,
            **self.student.arguments,
        )


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a TOML file, a run folder, or by the name of one that ships with robustill.

    Args:
        source: `my.toml`, `runs/x`, or `digits_rslad_cnn-small`.
        overrides: `"method.alpha=0.9"`, as given to `--set`; values are TOML, bare words are strings.

    Raises:
        RecipeError: Not found, not TOML, an unknown key or an impossible value; says where and what is near.
    """
    path = find_recipe(source)
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    for override in overrides:
        _override(tree, override)
    return parse_recipe(tree, where=str(path))


def parse_recipe(tree: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """Validate a table tree.

    Raises:
        RecipeError: As `load_recipe`.
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise explain(error, Recipe, tree, where) from error


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with robustill, by name."""
    here = Path(__file__).resolve().parent
    # Beside the package in an installed wheel, at the root of a source tree.
    folder = here / "recipes" if (here / "recipes").is_dir() else here.parents[1] / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find_recipe(source: str | Path) -> Path:
    """Return the file that `source` stands for.

    Raises:
        RecipeError: There is none.
    """
    path = Path(source)
    if path.is_dir() and (path / "recipe.toml").is_file():
        return path / "recipe.toml"
    if path.is_file():
        return path
    shipped = shipped_recipes()
    if str(source) in shipped:
        return shipped[str(source)]
    raise RecipeError(
        f"no recipe {str(source)!r}: neither a file nor the name of a shipped one", nearest(str(source), shipped)
    )


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(f"--set {override!r} is not KEY=VALUE", "for example --set method.alpha=0.9")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    table = tree
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise RecipeError(f"--set {key.strip()}: {part!r} is not a table")
    table[parts[-1]] = value


def _networks(source: str | tuple[str, ...], data: Data) -> Any:
    from robustill.models import MODELS, load_model

    if not isinstance(source, str):
        return [_networks(each, data) for each in source]
    if source in MODELS and not Path(source).exists():
        raise RecipeError(
            f"teacher {source!r} is an architecture without trained weights", "name a run folder or a file"
        )
    return load_model(source, num_classes=data.num_classes, shape=data.shape)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value
