"""Evaluate what a run folder holds, or any model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, cast

from robustill.errors import InputError, RecipeError
from robustill.recipe import Recipe, load_recipe
from robustill.writing import make_folder

if TYPE_CHECKING:
    import torch

    from robustill.attacks.threat import Norm
    from robustill.data import Data
    from robustill.evaluation import Evaluation


def evaluate_target(
    target: str | Path,
    *,
    attacks: str | None = None,
    data: str | None = None,
    root: str | None = None,
    eps: float | None = None,
    norm: str | None = None,
    split: str = "test",
    images: int | None = None,
    eps_grid: Sequence[float] = (),
    transfer_from: str | None = None,
    checks: bool = True,
    precision: str = "auto",
    last: bool = False,
    batch_size: int = 256,
    seed: int = 0,
    threads: int | None = None,
    processes: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
) -> Evaluation:
    """Evaluate a run folder or any model source; what is left out comes from the run's recipe.

    Args:
        target: Run folder, file, or another source that `load_model` takes.
        attacks: Comma-separated names.
        data: Data set; with `root`. The rest of the run's `[data]` table holds for it too, as far as it takes that.
        root: Folder of the data set.
        eps: Radius.
        norm: `"Linf"` or `"L2"`.
        split: Part of the data.
        images: Only so many, as many of each class, drawn by `seed`.
        eps_grid: Radii for a curve of the worst case over the attacks.
        transfer_from: Another run folder or model source, whose adversarial examples are tried too.
        checks: Look for signs that the attacks were fooled.
        precision: What searches run in: auto, float32 or bfloat16.
        last: Take the run's last student instead of the selected one.
        batch_size: Images per batch.
        seed: Seed of the random starts.
        threads: CPU threads, 0 for PyTorch's choice; as the run trained when left out.
        processes: Processes that share the images on the CPU; for AutoAttack one per core when left out.
        device: Where to compute.
        out: Folder of `evaluation.json`; when left out, the run folder (its `last/` for the last student), or its
            `evaluations/` where the run has one that says more.

    Raises:
        InputError: Neither the run nor the arguments say which data or radius.

    >>> model = "robustill:digits_mtard_cnn-small"
    >>> found = evaluate_target(model, data="digits", eps=0.1, attacks="fgsm", images=50, checks=False)
    >>> found.accuracy() <= found.accuracy("clean")
    True
    """
    from robustill.evaluation import evaluate, is_first, part
    from robustill.evaluation.request import Request
    from robustill.models import load_model
    from robustill.models.load import check_source, tell_fresh
    from robustill.report import draw_curve
    from robustill.runs.radii import tell_radii
    from robustill.runs.record import keeping, place_of
    from robustill.training.device import cpu_threads, find_device

    place, folder = find_device(device), Path(target)
    out = None if out is None else Path(out)
    # Binds this process to a GPU of its own where several were launched.
    part(place)
    check_source(target)
    tell_fresh(target)
    recipe = load_recipe(folder) if (folder / "recipe.toml").is_file() else None
    if recipe is None and (data is None or eps is None):
        raise InputError(
            f"{target} is not a run folder, so nothing says which data and radius", "give --data and --eps"
        )
    found = run_data(recipe, data, root)
    source = folder / "student_last.safetensors" if last and folder.is_dir() else target
    model, surrogate = (
        None if name is None else load_model(name, num_classes=found.num_classes, shape=found.shape)
        for name in (source, transfer_from)
    )
    assert model is not None
    names = _attacks(attacks, recipe)
    chosen = run_norm(norm, recipe)
    radius = eps if eps is not None else _recipe_eps(recipe, chosen)
    kept: AbstractContextManager[None] = nullcontext()
    if recipe is not None and eps is None:
        tell_radii(recipe, trains=False)
    if out is None and folder.is_dir():
        asked = Request(radius, chosen, names, split, images, (), precision, batch_size, seed, None)  # type: ignore[arg-type]
        own = folder / "last" if last else folder
        question = asked.question(model, found)
        out = place_of(question, own, recipe, own_data=data is None)
        kept = keeping(question, own, own_data=data is None) if out == own else kept
    if out is not None:
        make_folder(out)
    if threads is None:
        threads = recipe.training.threads if recipe is not None else 0
    with cpu_threads(threads), kept:
        result = evaluate(
            model.to(place),
            found,
            eps=radius,
            norm=chosen,
            attacks=names,
            split=split,
            images=images,
            eps_grid=eps_grid,
            transfer_from=surrogate,
            checks=checks,
            precision=precision,  # type: ignore[arg-type]
            batch_size=batch_size,
            seed=seed,
            processes=processes if processes is not None else _processes(names, place),
            out=out,
        )
    if result.curve is not None and out is not None and is_first():
        draw_curve(result.to_json(), out / "curve.svg")
    return result


def run_data(recipe: Recipe | None, data: str | None = None, root: str | None = None) -> Data:
    """Return the data set that is named, cut as the recipe says where there is one, or else the recipe's."""
    from robustill.data import load_data

    if recipe is not None:
        return recipe.data_set(data, root)
    if data is None:
        raise InputError("nothing says which data", "give --data")
    return load_data(data, root)


def _recipe_eps(recipe: Recipe | None, norm: str) -> float:
    if recipe is None:
        raise RecipeError("no radius", "give --eps")
    return recipe.eps(norm)


def run_norm(norm: str | None, recipe: Recipe | None) -> Norm:
    """Return the norm that is named, or else the recipe's."""
    chosen = norm or (recipe.norm() if recipe is not None else "Linf")
    if chosen not in ("Linf", "L2"):
        raise InputError(f"unknown norm {chosen!r}", "choose Linf or L2")
    return cast("Norm", chosen)


def _processes(attacks: tuple[str, ...], place: torch.device) -> int:
    """Return one process per core, up to eight, where AutoAttack runs on a CPU without a launcher, else one."""
    if "autoattack" not in attacks or place.type != "cpu" or "WORLD_SIZE" in os.environ:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8)


def _attacks(attacks: str | None, recipe: Recipe | None) -> tuple[str, ...]:
    if attacks is not None:
        return tuple(name.strip() for name in attacks.split(",") if name.strip())
    return recipe.evaluation.attacks if recipe is not None else ("fgsm", "pgd20", "cw")
