"""What `calibrate` and `certify` are asked about: networks, data and radii, from run folders or options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from robustill.cli.tables import number
from robustill.errors import InputError, nearest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from robustill.data import Data

FORMATS = ("svg", "png", "pdf")
# Certificates lose their grip long before the radius that a network was trained for.
_SHARES = (1 / 8, 1 / 4, 1 / 2, 1)


class Targets(NamedTuple):
    """Networks in eval mode, on one device, and what to ask about them."""

    networks: tuple[nn.Module, ...]
    data: Data
    eps: tuple[float, ...]
    norm: str
    out: Path | None
    device: torch.device


def find_targets(
    names: tuple[str, ...],
    *,
    data: str | None,
    root: str | None,
    eps: str | None,
    norm: str | None,
    device: str,
    out: Path | None,
) -> Targets:
    """Load networks; data, radii, norm and folder that are not given are those of the first one's run.

    Raises:
        InputError: Neither the run nor the options say which data or radii.
    """
    from robustill.models import load_model
    from robustill.models.load import check_source, tell_fresh
    from robustill.recipe import load_recipe
    from robustill.runs.evaluate import run_data, run_norm
    from robustill.training.device import find_device

    place, folder = find_device(device), Path(names[0])
    check_source(names[0])
    for name in names:
        tell_fresh(name)
    recipe = load_recipe(folder) if (folder / "recipe.toml").is_file() else None
    if recipe is None and (data is None or eps is None):
        raise InputError(
            f"{names[0]} is not a run folder, so nothing says which data and radii", "give --data and --eps"
        )
    found = run_data(recipe, data, root)
    chosen = run_norm(norm, recipe)
    if eps is not None:
        radii = tuple(number("--eps", each) for each in eps.split(",") if each.strip())
    else:
        assert recipe is not None
        radii = tuple(recipe.eps(chosen) * share for share in _SHARES)
    networks = tuple(load_model(name, num_classes=found.num_classes, shape=found.shape).to(place) for name in names)
    return Targets(networks, found, radii, chosen, out or (folder if folder.is_dir() else None), place)


def image_count(text: str) -> int | None:
    """Return the number that `--images` gives; None for all.

    Raises:
        InputError: It is neither a number nor "all".
    """
    if text == "all":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"--images {text!r} is not a number", "write 500, or all") from error


def check_format(figures: str) -> None:
    """Raise `InputError` unless figures can be drawn in this format."""
    if figures not in FORMATS:
        raise InputError(f"there is no figure format {figures!r}", nearest(figures, FORMATS))
