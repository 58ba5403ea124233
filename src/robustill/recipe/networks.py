"""From a recipe's tables to networks: the student, networks that learn beside it, and teachers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustill.errors import RecipeError
from robustill.recipe.tables import StudentTable, TeacherTable
from robustill.shipped import shipped_models, shipped_recipes

if TYPE_CHECKING:
    from torch import nn

    from robustill.data import Data

Teacher = str | TeacherTable

# What the recipe says elsewhere, or not at all.
_TAKEN = frozenset(("name", "path_or_name", "num_classes", "shape", "device", "mean", "std", "model_dir", "revision"))


def student_network(table: StudentTable, data: Data) -> nn.Module:
    """Return the student, from fresh weights or from `table.weights`."""
    from robustill.models import load_model

    if table.weights is not None:
        return load_model(table.weights, num_classes=data.num_classes, shape=data.shape)
    return _built(TeacherTable(source=table.architecture, arguments=table.arguments), data, normalize=table.normalize)


def fresh_network(teacher: Teacher, data: Data, *, normalize: bool) -> nn.Module:
    """Return a network that learns beside the student: an architecture, or trained weights to start from.

    A fresh one normalises its input if the student does, unless the table gives a mean.
    """
    from robustill.models import MODELS

    table = teacher_table(teacher)
    if table.source not in MODELS or Path(table.source).exists():
        return _loaded(table, data)
    return _built(table, data, normalize=normalize and table.mean is None)


def teacher_networks(teacher: Teacher | tuple[Teacher, ...], data: Data) -> Any:
    """Return a trained network, or a list of them.

    Raises:
        RecipeError: An architecture without weights.
    """
    from robustill.models import MODELS

    if isinstance(teacher, tuple):
        return [teacher_networks(each, data) for each in teacher]
    table = teacher_table(teacher)
    if table.source in MODELS and not Path(table.source).exists():
        raise RecipeError(
            f"teacher {table.source!r} is an architecture without trained weights", "name a run folder or a file"
        )
    return _loaded(table, data)


def check_made(name: str, teacher: Teacher | tuple[Teacher, ...], data: str) -> None:
    """Raise `RecipeError` if the teacher called `name` is a run that a shipped recipe makes and that was not made yet.

    Args:
        name: Key of `[teachers]`.
        teacher: What the recipe says there.
        data: Name of the data set, for a trained model to take instead.
    """
    for each in teacher if isinstance(teacher, tuple) else (teacher,):
        source = Path(teacher_table(each).source)
        if source.name not in shipped_recipes() or len(source.parts) < 2 or ":" in str(source) or source.exists():
            continue
        place = "" if source == Path("runs") / source.name else f" --out {source}"
        place += "" if source.name.startswith(f"{data}_") else f" --set data.name={data}"
        hints = [f"`robustill train {source.name}{place}` makes it"]
        # What comes with the library is robust: no stand-in for a natural teacher, nor for a list.
        if not isinstance(teacher, tuple) and "_pgd-at_" in source.name:
            known = [path for model, path in shipped_models().items() if model.startswith(f"{data}_")]
            largest = max(known, key=lambda path: path.stat().st_size, default=None)
            hints += [] if largest is None else [f"or take one: --set teachers.{name}=robustill:{largest.stem}"]
        raise RecipeError(f"teachers.{name}: {source} is not there yet, the recipe's teacher", "; ".join(hints))


def _check_arguments(table: TeacherTable, where: str) -> None:
    """A recipe chooses an architecture's arguments, and neither what is loaded nor where a library keeps its files."""
    for key, value in table.arguments.items():
        if key in _TAKEN or not _is_plain(value):
            raise RecipeError(
                f"{where}: {key} = {str(value)[:80]!r} is no argument of an architecture",
                "arguments are numbers, words and lists of them",
            )
    if table.arguments and table.source.partition(":")[0] in ("robustbench", "hf-hub"):
        raise RecipeError(f"{where}: {table.source} takes no arguments", "leave them out")


def _is_plain(value: Any) -> bool:
    each = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(one, str | int | float | bool) for one in each)


def teacher_table(teacher: Teacher) -> TeacherTable:
    """Return what a recipe says of a teacher as a table; one that is its source alone has all defaults."""
    return TeacherTable(source=teacher) if isinstance(teacher, str) else teacher


def _loaded(table: TeacherTable, data: Data) -> nn.Module:
    from robustill.models import load_model

    _check_arguments(table, "teachers")
    given: dict[str, Any] = {
        key: value for key, value in (("mean", table.mean), ("std", table.std)) if value is not None
    }
    return load_model(table.source, num_classes=data.num_classes, shape=data.shape, **given, **table.arguments)


def _built(table: TeacherTable, data: Data, *, normalize: bool) -> nn.Module:
    from robustill.data.statistics import channel_statistics
    from robustill.models import build_model

    _check_arguments(table, table.source)
    mean, std = channel_statistics(data.train) if normalize else (table.mean, table.std)
    return build_model(
        table.source, num_classes=data.num_classes, shape=data.shape, mean=mean, std=std, **table.arguments
    )
