"""Methods and networks of a person's own in a study: which ones a recipe uses, and whether its cells can know them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustill.errors import RecipeError
from robustill.models.digest import file_digest
from robustill.plugins import handed_on, home, own, source_file
from robustill.recipe import Recipe
from robustill.recipe.tables import MethodTable
from robustill.study.paths import leaves

if TYPE_CHECKING:
    from robustill.study.cells import Cell


def used(recipe: Recipe) -> dict[str, Any]:
    """Return what a recipe uses that does not come with robustill, by its place: `METHODS["mine"]`."""
    known = own()
    if not known:
        return {}
    names = [f'METHODS["{name}"]' for name in _methods(recipe.method)]
    tree = recipe.model_dump(mode="json", include={"student", "teachers", "method", "training"})
    names += [f'MODELS["{name}"]' for _, text in leaves(tree) for name in _networks(text)]
    return {place: known[place] for place in sorted(set(names)) if place in known}


def code(recipe: Recipe) -> dict[str, str]:
    """Return the SHA-256 of the file that defines each of `used`; "" for one without a file.

    Raises:
        OSError: A file cannot be read.
    """
    files = {place: source_file(place) for place in used(recipe)}
    return {place: "" if file is None else file_digest(file) for place, file in files.items()}


def check_handed_on(cells: Iterable[Cell]) -> None:
    """Refuse what this process knows and those of the cells would not.

    Raises:
        RecipeError: A method or a network was registered here, and not by a module that the cells import.
    """
    for cell in cells:
        for place, made in used(cell.recipe).items():
            if not handed_on(place):
                module = home(made) if home(made) not in ("", "__main__") else "MODULE"
                raise RecipeError(
                    f"{cell.name}: {place} is known in this process alone, and every cell is a process of its own",
                    f"name the module that registers it: robustill --import {module} study ...; from Python, "
                    f'robustill.plugins.import_modules(["{module}"])',
                )


def _methods(table: MethodTable | None) -> Iterator[str]:
    while table is not None:
        yield table.name
        table = table.base


def _networks(text: str) -> Iterator[str]:
    """Return the architectures that a text may name: as such, before a file, or inside one."""
    kind, at, path = text.partition("@")
    yield kind
    file = Path(path if at else text)
    if file.is_dir():
        file = file / "student.safetensors"
    if file.suffix == ".safetensors" and file.is_file():
        yield _architecture(file)


def _architecture(file: Path) -> str:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as opened:
            return str((opened.metadata() or {}).get("architecture", ""))
    # Said where it is loaded.
    except (SafetensorError, OSError):
        return ""
