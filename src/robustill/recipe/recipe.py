"""A recipe: the table tree that names everything that decides a run, and its way into objects."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w
from pydantic import Field

from robustill.errors import InputError, RecipeError, nearest
from robustill.recipe.mistakes import check_teachers, checked_argument
from robustill.recipe.tables import AttackTable, DataTable, EvaluationTable, MethodTable, StudentTable, TeacherTable
from robustill.training.settings import Settings, Table

if TYPE_CHECKING:
    from torch import nn

    from robustill.data import Data
    from robustill.methods import Method

Teacher = str | TeacherTable


class Recipe(Table):
    """One run: data, networks, method, training attack, training, evaluation."""

    title: str = ""
    data: DataTable
    student: StudentTable
    teachers: dict[str, Teacher | tuple[Teacher, ...]] = Field(
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

        method, arguments = self._method()
        self._check_evaluation()
        data = self.data_set()
        # The student's fresh weights follow the training seed.
        torch.manual_seed(self.training.seed)
        student = self._student(data)
        teachers = {name: _networks(source, data) for name, source in self.teachers.items()}
        return method(student, **teachers, **arguments), data

    def data_set(self, **changes: Any) -> Data:
        """Load the data; `changes` replace keys of the `[data]` table."""
        from robustill.data import Augment, load_data

        table = {**self.data.model_dump(), **changes}
        crop, flip = table.pop("crop"), table.pop("flip")
        data = load_data(**table)
        own = data.augment
        data.augment = Augment(own.crop if crop is None else crop, own.flip if flip is None else flip)
        data.augment.check(data.shape)
        return data

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


def _networks(teacher: Teacher | tuple[Teacher, ...], data: Data) -> Any:
    from robustill.models import MODELS, load_model

    if isinstance(teacher, tuple):
        return [_networks(each, data) for each in teacher]
    table = TeacherTable(source=teacher) if isinstance(teacher, str) else teacher
    source = table.source
    given: dict[str, Any] = {
        key: value for key, value in (("mean", table.mean), ("std", table.std)) if value is not None
    }
    if source in MODELS and not Path(source).exists():
        raise RecipeError(
            f"teacher {source!r} is an architecture without trained weights", "name a run folder or a file"
        )
    return load_model(source, num_classes=data.num_classes, shape=data.shape, **given, **table.arguments)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value
