"""A recipe: the table tree that names everything that decides a run, and its way into objects."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import tomli_w
from pydantic import Field

from robustill.errors import DataError, InputError, RecipeError
from robustill.recipe.method import Plan, Wanted, check_teachers, plan
from robustill.recipe.networks import Teacher, check_made, fresh_network, student_network, teacher_networks
from robustill.recipe.tables import AttackTable, DataTable, EvaluationTable, MethodTable, StudentTable
from robustill.training.settings import Settings, Table

if TYPE_CHECKING:
    from robustill.attacks.threat import Norm
    from robustill.data import Data
    from robustill.methods import Method


class Recipe(Table):
    """One run: data, networks, method, training attack, training, evaluation.

    >>> from robustill.recipe import load_recipe
    >>> recipe = load_recipe("digits_pgd-at_cnn-small")
    >>> method, data = recipe.build()
    >>> type(method).__name__, data.name
    ('PGDAT', 'digits')
    """

    title: str = Field(default="", description="what reports and lists call it")
    data: DataTable
    student: StudentTable
    teachers: dict[str, Teacher | tuple[Teacher, ...]] = Field(
        default={},
        description="the method's other networks, by the names of its arguments: each a source, a table, or a list of "
        "them where the method takes several",
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

        method = self._plan()
        self._check_evaluation()
        data = self._training_data()
        # The student's fresh weights follow the training seed.
        torch.manual_seed(self.training.seed)
        student = student_network(self.student, data)
        for name, source in self.teachers.items():
            check_made(name, source, self.data.name)
        wanted = method.wanted()
        networks = {name: self._network(source, data, wanted[name]) for name, source in self.teachers.items()}
        return method.build(student, networks), data

    def data_set(self, name: str | None = None, root: str | None = None) -> Data:
        """Load the data, or those of another `name`, with the rest of the `[data]` table; `root` is another root.

        Other data may be the same ones in another place. They are augmented in their own way, and what they cannot
        take (a `size`, where they are arrays; a `validation` that would leave nothing) is left out.
        """
        from robustill.data import Augment, load_data

        table = self.data.model_dump()
        crop, flip = table.pop("crop"), table.pop("flip")
        if name is not None:
            return _other_data({**table, "name": name, "root": root})
        data = load_data(**table if root is None else {**table, "root": root})
        own = data.augment
        data.augment = Augment(own.crop if crop is None else crop, own.flip if flip is None else flip)
        data.augment.check(data.shape)
        return data

    def norm(self) -> Norm:
        """Return the norm of evaluation: its own, else the training attack's."""
        return self.evaluation.norm or self.attack.norm or "Linf"

    def eps(self, norm: str | None = None) -> float:
        """Return the radius of evaluation: its own, else the training attack's, else the method's default.

        Raises:
            RecipeError: There is none, or it is one of another norm than `norm`, which is evaluation's when None.
        """
        norm = norm or self.norm()
        trained = self.attack.norm or "Linf"
        radius, own = self._eps(), self.norm() if self.evaluation.eps is not None else trained
        if norm != own:
            raise RecipeError(
                f"the radius {radius:.4g} of this recipe is one of {own}, and says nothing of {norm}",
                f"give one of {norm}: --eps, evaluation.eps of a recipe, or evaluate.eps of a study",
            )
        return radius

    def _eps(self) -> float:
        if self.evaluation.eps is not None:
            return self.evaluation.eps
        if self.attack.eps is not None:
            return self.attack.eps
        attack = self.training_attack()
        if attack is None:
            raise RecipeError(
                f"{self.method.name} has no attack, so there is no radius to evaluate at", "set evaluation.eps"
            )
        return float(attack.eps)

    def training_attack(self) -> Any:
        """Return the training attack with the method's defaults for what is left out; None where there is none."""
        return self._plan().parts[-1].arguments.get("attack")

    def _training_data(self) -> Data:
        try:
            return self.data_set()
        except DataError as error:
            if error.hint is None or "--root PATH" not in error.hint:
                raise
            # Verbs that train have no --root.
            hint = error.hint.replace("--root PATH", "--set data.root=PATH")
            raise type(error)(error.message, hint) from error

    def _plan(self) -> Plan:
        method = plan(self.method, self.attack)
        check_teachers(method, self.teachers)
        return method

    def _network(self, source: Teacher | tuple[Teacher, ...], data: Data, wanted: Wanted) -> Any:
        if wanted.fresh and not isinstance(source, tuple):
            return fresh_network(source, data, normalize=self.student.normalize)
        return teacher_networks(source, data)

    def _check_evaluation(self) -> None:
        """A wrong name must not come to light only after the training."""
        from robustill.attacks import named_attack

        for name in self.evaluation.attacks:
            try:
                named_attack(name, eps=1.0)
            except InputError as error:
                raise RecipeError(f"evaluation.attacks: {error.message}", error.hint) from error


def _other_data(table: dict[str, Any]) -> Data:
    from robustill.data import load_data

    try:
        return load_data(**table)
    except InputError:
        for left_out in (("size",), ("validation",), ("size", "validation")):
            with suppress(InputError):
                return load_data(**{key: value for key, value in table.items() if key not in left_out})
        raise


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return value
