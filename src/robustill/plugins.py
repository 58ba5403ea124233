"""A person's own modules, which put methods and networks into the tables: imported because the person names them.

The command line takes them as `robustill --import MODULE`; the processes that it starts get them from it. No file can
name one.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from robustill.errors import InputError

_imported: list[str] = []


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
        _import(name)
        _imported.append(name)


def imported_modules() -> tuple[str, ...]:
    """Return what `import_modules` has imported, in that order; another process is handed these."""
    return tuple(_imported)


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
