"""From the `[method]` table to a method: names, arguments, networks and wrapping."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from robustill.errors import RecipeError, nearest, nearest_or_own
from robustill.recipe.mistakes import checked_argument
from robustill.recipe.tables import AttackTable, MethodTable

if TYPE_CHECKING:
    from torch import nn

    from robustill.methods import Method


@dataclass(frozen=True)
class Wanted:
    """A network that a method's constructor takes besides the student.

    Args:
        several: Whether it may be several networks.
        required: Whether it must be named.
        fresh: Whether it is trained from fresh weights, so that an architecture's name will do.
    """

    several: bool
    required: bool
    fresh: bool


@dataclass(frozen=True)
class Part:
    """One method of a chain of wrapped methods: its class and its checked arguments."""

    name: str
    method: type[Method]
    arguments: dict[str, Any]

    def wanted(self) -> dict[str, Wanted]:
        """Return the networks that its constructor takes, except the student and the wrapped method."""
        parameters = inspect.signature(self.method, eval_str=True).parameters.values()
        found = {}
        for p in parameters:
            if p.kind is p.POSITIONAL_OR_KEYWORD and p.name not in ("student", "base"):
                options = [option for option in typing.get_args(p.annotation) if option is not type(None)]
                several, required = len(options) > 1, p.default is p.empty
                found[p.name] = Wanted(several, required, p.name in self.method.fresh)
        return found


@dataclass(frozen=True)
class Plan:
    """A checked `[method]` table, from the outermost method to the one that is wrapped by all."""

    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """What to call it in messages, such as `igdm(rslad)`."""
        return "(".join(part.name for part in self.parts) + ")" * (len(self.parts) - 1)

    def wanted(self) -> dict[str, Wanted]:
        """Return every network that has to or may be named; one name is one network for all parts."""
        found: dict[str, Wanted] = {}
        for part in self.parts:
            for name, new in part.wanted().items():
                old = found.get(name, new)
                required, fresh = old.required or new.required, old.fresh or new.fresh
                found[name] = Wanted(old.several and new.several, required, fresh)
        return found

    def build(self, student: nn.Module, networks: Mapping[str, Any]) -> Method:
        """Return the method around `student`; each part takes its own of `networks`."""
        built: Any = student
        for part in reversed(self.parts):
            own = {name: networks[name] for name in part.wanted() if name in networks}
            built = part.method(built, **own, **part.arguments)
        return built  # type: ignore[no-any-return]


def plan(table: MethodTable, attack: AttackTable) -> Plan:
    """Check a `[method]` table and the `[attack]` that belongs to its innermost method.

    Raises:
        RecipeError: An unknown method or argument; a wrapper without `[method.base]`, or one where nothing is wrapped;
            an attack for a method without one, or in another norm without its own radius and step.
    """
    parts, key = [_part(table, "method")], "method"
    while table.base is not None:
        table, key = table.base, f"{key}.base"
        parts.append(_part(table, key))
    changes, last = attack.model_dump(exclude_none=True), parts[-1]
    default = _known(last.method).get("attack")
    if default is not None:
        _check_norm(changes, default.default.norm)
        last.arguments["attack"] = dataclasses.replace(default.default, **changes)
    elif changes:
        raise RecipeError(f"attack: {last.name} has no training attack", "remove the [attack] table")
    return Plan(tuple(parts))


def _check_norm(changes: Mapping[str, Any], own: str) -> None:
    """A radius and a step are of their norm: with another one, the method's own mean nothing."""
    norm = changes.get("norm", own)
    missing = [f"attack.{key}" for key in ("eps", "step_size") if key not in changes]
    if norm != own and missing:
        raise RecipeError(
            f"attack.norm = {norm!r}: the method's own radius and step are of {own}",
            f"also set {' and '.join(missing)}",
        )


def check_teachers(method: Plan, teachers: Mapping[str, Any]) -> None:
    """Check that `teachers` names what the constructors of `method` take besides the student.

    Raises:
        RecipeError: A network is missing, unknown, or named more often than the method takes it.
    """
    wanted, name = method.wanted(), method.name
    for extra in sorted(set(teachers) - set(wanted)):
        hint = nearest(extra, wanted) if wanted else f"{name} takes no teacher: remove the [teachers] table"
        raise RecipeError(f"teachers.{extra}: {name} takes no such network", hint)
    missing = [key for key, each in wanted.items() if each.required and key not in teachers]
    if missing:
        lines = ", ".join(
            f"--set teachers.{key}={'ARCHITECTURE' if wanted[key].fresh else 'RUN_OR_FILE'}" for key in missing
        )
        raise RecipeError(f"teachers: {name} needs {', '.join(missing)}", f"name each one: {lines}")
    for key, source in teachers.items():
        if isinstance(source, tuple) and (not source or not wanted[key].several):
            hint = "name one network, or several" if wanted[key].several else "name exactly one network"
            raise RecipeError(f"teachers.{key} = {list(source)}: {name} cannot be taught by that", hint)


def _known(method: type[Method]) -> dict[str, inspect.Parameter]:
    from robustill.methods.card import hyperparameters

    return hyperparameters(method)


def _part(table: MethodTable, key: str) -> Part:
    from robustill.methods import METHODS, Wrapper

    name = table.name
    if name not in METHODS:
        raise RecipeError(f"{key}.name: unknown method {name!r}", nearest_or_own(name, METHODS))
    wraps = issubclass(METHODS[name], Wrapper)
    if wraps and table.base is None:
        raise RecipeError(f"{key}: {name} wraps another method", f'add a table [{key}.base] with name = "rslad", say')
    if not wraps and table.base is not None:
        raise RecipeError(f"{key}.base: {name} wraps no method", f"remove the table [{key}.base]")
    known, given = _known(METHODS[name]), table.model_extra or {}
    return Part(name, METHODS[name], {k: checked_argument(name, k, v, known, where=key) for k, v in given.items()})
