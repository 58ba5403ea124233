"""Whose files a study may name: those below the working folder, the study file's folder, or one a person allowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from robustill.errors import RecipeError


def check_paths(tree: Any, roots: Iterable[Path], where: str) -> None:
    """Refuse a recipe that names a file outside of `roots`; a word that is no path never is.

    Raises:
        RecipeError: A path leaves them: absolute, by "..", by "~", or through a link.
    """
    inside = [root.resolve() for root in roots]
    for key, text in leaves(tree):
        # ARCH@FILE and hf-disk:FOLDER name a path behind a mark; what a title says is never opened.
        named = [text, text.partition("@")[2], text.partition(":")[2]] if key != "title" else []
        if not all(_below(path, inside) for path in named):
            raise _refused(f"{where}: {key} = {text!r}")


def check_path(path: Path, roots: Iterable[Path], where: str) -> None:
    """Refuse one path outside of `roots`.

    Raises:
        RecipeError: It leaves them.
    """
    if not _below(str(path), [root.resolve() for root in roots]):
        raise _refused(f"{where} = {str(path)!r}")


def leaves(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts of a table tree with their dotted keys.

    >>> list(leaves({"a": {"b": "x"}, "c": [1, "y"]}))
    [('a.b', 'x'), ('c', 'y')]
    """
    if isinstance(tree, str):
        yield key, tree
    elif isinstance(tree, dict):
        for name, value in tree.items():
            yield from leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from leaves(value, key)


def _below(text: str, roots: list[Path]) -> bool:
    if text.startswith("~"):
        return False
    try:
        path = Path(text).resolve()
    # A null byte, a name too long, a loop of links.
    except (OSError, ValueError, RuntimeError):
        return False
    return any(path.is_relative_to(root) for root in roots)


def _refused(what: str) -> RecipeError:
    return RecipeError(
        f"{what} is outside of the working folder and of the study's", "copy it there, or give --allow FOLDER"
    )
