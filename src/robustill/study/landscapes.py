"""Loss landscapes of a study: measured around each student, as a table and one figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robustill.recipe import Recipe
from robustill.study.address import digest
from robustill.study.cells import Cell
from robustill.study.folder import Store, read_json


def looked_at(recipe: Recipe, folder: Path, asked: dict[str, Any], threat: dict[str, Any]) -> dict[str, Any]:
    """Walk around the selected student of a run folder; what is there already is taken over.

    Args:
        recipe: The folder's.
        folder: Holds `student.safetensors`.
        asked: Resolved table `landscape` of a study.
        threat: `eps` and `norm`.

    Returns:
        `file`, that of the curves in the folder, `radius`, `loss`, `robust`, `rise` and `robust_drop` (each a mean over
        directions), `rise_sd` and `robust_drop_sd` over directions, and `seconds`.
    """
    from robustill.diagnostics.landscapes import landscape
    from robustill.models import load_model
    from robustill.training.device import cpu_threads, find_device

    # Results under other settings stay beside these.
    place = folder / f"landscape-{digest(asked)[:8]}"
    with cpu_threads(recipe.training.threads):
        found = landscape(
            {"best": load_model(folder).to(find_device(recipe.training.device))}, recipe.data_set(), eps=threat["eps"],
            norm=threat["norm"], out=place, **asked,
        )["runs"]["best"]  # fmt: skip
    about = {"file": f"{place.name}/landscape.json", "radius": found["flatness"]["radius"], "seconds": found["seconds"]}
    for name in ("rise", "robust_drop"):
        about |= {name: found["flatness"][name]["mean"], f"{name}_sd": found["flatness"][name]["sd_directions"]}
    return {**about, "loss": found["loss"], "robust": found["robust"]}


def landscape_rows(cells: Iterable[Cell], store: Store) -> list[dict[str, Any]]:
    """Return a row for each finished cell that was looked at."""
    found = []
    for cell in cells:
        result = store.result(cell) or {}
        if "landscape" in result:
            values = {key: value for key, value in result["landscape"].items() if key not in ("file", "seconds")}
            found.append({"run": cell.variant.name, "seed": cell.seed, **values, "cell": cell.folder})
    return found


def draw(cells: Iterable[Cell], store: Store, path: Path) -> None:
    """Draw the curves of each row's first seed over each other; nothing if none is there."""
    from robustill.report.landscape import draw_landscape

    runs: dict[str, Any] = {}
    content: dict[str, Any] = {}
    for cell in cells:
        result = store.result(cell) or {}
        if "landscape" not in result or any(name.startswith(f"{cell.variant.name}, seed") for name in runs):
            continue
        # The curves are large; the result holds their numbers, the folder the rest.
        found = read_json(store.of(cell) / result["landscape"]["file"])
        if found is not None:
            content = found
            runs[f"{cell.variant.name}, seed {cell.seed}"] = found["runs"]["best"]
    if runs:
        draw_landscape({**content, "runs": runs}, path)
