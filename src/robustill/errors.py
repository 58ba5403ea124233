"""Errors that a user can act on: what was wrong, where, and what to do.

The command line prints these as one message, without a traceback; everything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar


class RobustillError(Exception):
    """Base of all errors meant for the user.

    Args:
        message: What was wrong and where.
        hint: What to do about it (optional, printed on a line of its own).

    Attributes:
        passing: Whether it may be over soon without anybody changing what was asked for, such as a full disk.
    """

    passing: ClassVar[bool] = False

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n  hint: {hint}")
        self.message = message
        self.hint = hint


class InputError(RobustillError, ValueError):
    """An argument or a tensor is outside what the function accepts."""


class DataError(RobustillError):
    """A data set is missing, incomplete or malformed."""


class ModelError(RobustillError):
    """A model file, source or architecture cannot be used."""


class RecipeError(RobustillError):
    """A recipe is invalid."""


class CheckpointError(RobustillError):
    """A run folder or checkpoint cannot be read, or belongs to another run."""


class NonFiniteLossError(RobustillError):
    """A loss term became infinite or not a number during training."""


class MissingExtraError(RobustillError, ImportError):
    """An optional dependency is needed and absent."""


_LISTED, _OF_MANY = 40, 5
_OWN = "One of your own: robustill --import MODULE VERB ...; from Python, import the module that registers it"


def nearest(name: str, options: Iterable[str]) -> str:
    """Return a hint that names the closest option, or lists them if none is close: those with `name` in them, or all.

    >>> nearest("rslda", ["rslad", "trades"])
    "did you mean 'rslad'?"
    >>> nearest("rslad", ["digits_rslad_cnn-small", "digits_trades_cnn-small", "cifar10_rslad_resnet18"])
    'choose one of: cifar10_rslad_resnet18, digits_rslad_cnn-small'
    """
    options = sorted(options)
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    found = [option for option in options if name and name in option] or options
    if len(found) > _LISTED:  # a wall of text
        return f"choose one of: {', '.join(found[:_OF_MANY])} and {len(found) - _OF_MANY} more"
    return "choose one of: " + ", ".join(found)


def nearest_or_own(name: str, options: Iterable[str]) -> str:
    """Return the hint of `nearest` for methods and networks, of which there may also be some of one's own.

    >>> nearest_or_own("rslda", ["rslad", "trades"]).partition(" One of your own: ")[0]
    "did you mean 'rslad'?"
    """
    near = nearest(name, options)
    return f"{near}{'' if near.endswith('?') else '.'} {_OWN}"


def nearest_path(path: str | Path) -> str:
    """Return a hint for a path that is not there: what is beside it and of nearly its name, or how far it leads.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "teacher").mkdir()
    ...     nearest_path(f"{folder}/teach").endswith("/teacher'?")
    True
    """
    found = Path(path)
    try:
        while not (found.parent.exists() or found.parent == found.parent.parent):
            found = found.parent
        beside = [each.name for each in found.parent.iterdir()] if found.parent.is_dir() else []
    except (OSError, ValueError):  # a folder that may not be read
        return "check the path"
    close = difflib.get_close_matches(found.name, beside, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{found.parent / close[0]}'?"
    return "check the path" if found == Path(path) else f"check the path: there is no {found} either"
