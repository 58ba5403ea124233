"""Where recipes and models are that come with robustill; cheap to ask, also for a shell that completes a command."""

from __future__ import annotations

from pathlib import Path


def shipped_recipes() -> dict[str, Path]:
    """Return the recipes that come with robustill, by name.

    >>> shipped_recipes()["digits_rslad_cnn-small"].name
    'digits_rslad_cnn-small.toml'
    """
    here = Path(__file__).resolve().parent
    # Beside the package in an installed wheel, at the root of a source tree.
    folder = here / "recipes" if (here / "recipes").is_dir() else here.parents[1] / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def shipped_models() -> dict[str, Path]:
    """Return the trained models that come with robustill, by name; each has a card beside it, of the same name.

    >>> shipped_models()["digits_mtard_cnn-small"].name
    'digits_mtard_cnn-small.safetensors'
    """
    return {path.stem: path for path in sorted((Path(__file__).resolve().parent / "zoo").glob("*.safetensors"))}
