"""A person's own modules, which put methods and networks into the tables: imported because the person names them.

The command line takes them as `robustill --import MODULE`; the processes that it starts get them from it. No file can
name one.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robustill.errors import InputError

_imported: list[str] = []
_registered: dict[str, Any] = {}
"""What those have put into the tables, by its place there."""
_registered_by: dict[str, str] = {}


def import_modules(names: Iterable[str]) -> None:
    """Import modules that register methods and networks of one's own, in `METHODS` and `MODELS`.

    The working folder is looked in first, as `python -m` does. What is imported here is imported by the processes of a
    study's cells and of evaluations too. A module that was named before is not imported again.

    Args:
        names: As Python imports them: `my_methods` for `my_methods.py`, `package.module`.

    Raises:
        InputError: One is no name of a module, is not there, or fails.

    >>> import_modules(["json"])
    >>> "json" in imported_modules()
    True
    """
    for name in names:
        if name in _imported:
            continue
        # What a script has imported already cannot be seen to register anything: all there is may be its.
        before = {} if name in sys.modules else own()
        _import(name)
        _imported.append(name)
        new = {place: made for place, made in own().items() if before.get(place) is not made}
        _registered.update(new)
        _registered_by.update(dict.fromkeys(new, name))


def imported_modules() -> tuple[str, ...]:
    """Return what `import_modules` has imported, in that order; another process is handed these."""
    return tuple(_imported)


def handing_on() -> list[str]:
    """Return the words that hand the modules on to the process of a cell, with the folders in which they were found.

    A script has its own folder in its path, where no other process would look.
    """
    words = [word for name in _imported for word in ("--import", name)]
    places = dict.fromkeys(place for name in _imported for place in _places(name))
    return words + [word for place in places for word in ("--look-in", place)]


def own() -> dict[str, Any]:
    """Return the methods and networks that do not come with robustill, by their place: `METHODS["mine"]`."""
    from robustill import methods
    from robustill.models import MODELS, build

    return {
        f'{table}["{name}"]': made
        for table, entries, known in (
            ("METHODS", methods.METHODS, methods.BUILT_IN), ("MODELS", MODELS, build.BUILT_IN),
        )
        for name, made in entries.items()
        if name not in known or not home(made).startswith("robustill.")
    }  # fmt: skip


def handed_on(place: str) -> bool:
    """Return whether another process that imports the same modules knows what stands at `place` here."""
    return place in _registered and _registered[place] is own().get(place)


def source_file(place: str) -> Path | None:
    """Return the file that defines what stands at `place` of `own()`, None where there is none.

    What a package function of robustill has made is defined by the module that put it there.
    """
    made = own()[place]
    name = home(made)
    if name.startswith("robustill."):
        name = _registered_by.get(place, "")
    file = getattr(sys.modules.get(name), "__file__", None)
    return None if file is None else Path(file)


def home(made: Any) -> str:
    """Return the name of the module that defines a class or a function.

    >>> from robustill.methods import METHODS
    >>> home(METHODS["rslad"])
    'robustill.methods.rslad'
    """
    while isinstance(made, functools.partial):
        made = made.func
    return str(getattr(inspect.unwrap(made), "__module__", ""))


def _places(name: str) -> list[str]:
    top = sys.modules.get(name.partition(".")[0])
    file = getattr(top, "__file__", None)
    files = [str(file)] if file is not None and not hasattr(top, "__path__") else list(getattr(top, "__path__", ()))
    return [str(Path(each).absolute().parent) for each in files]


def _import(name: str) -> None:
    if name.endswith(".py") or not all(part.isidentifier() for part in name.split(".")):
        raise InputError(
            f"--import {name}: not the name of a module", "name it as Python imports it: my_methods for my_methods.py"
        )
    here = str(Path.cwd())
    if here not in sys.path:
        # It stays: a module may import others later, and processes that are started look in the same places.
        sys.path.insert(0, here)
    try:
        importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            hint = "run the command in the folder that holds it, or install it"
            raise InputError(f"--import {name}: no module {error.name!r} in {here}, nor installed", hint) from error
        raise InputError(f"--import {name}: {type(error).__name__}: {error}", _where(error, name)) from error


def _where(error: Exception, name: str) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    file, line = (error.filename, error.lineno) if isinstance(error, SyntaxError) else (frame.filename, frame.lineno)
    return f"it fails in {file}, line {line}; `python -c 'import {name}'` shows all of it"
