"""Run folders: train a recipe into one, evaluate what one holds."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robustill.errors import CheckpointError, InputError, RecipeError, RobustillError
from robustill.recipe import Recipe, load_recipe
from robustill.terminal import printable
from robustill.writing import make_folder as make_folder
from robustill.writing import write_json, write_whole

if TYPE_CHECKING:
    import torch

    from robustill.data import Data
    from robustill.evaluation import Evaluation
    from robustill.methods import Method
    from robustill.training import TrainResult

_STUDENT, _GALLERY = "student.safetensors", "gallery.json"


def run_recipe(
    recipe: Recipe, folder: Path, *, resume: bool = False, progress: bool = True, track: Sequence[str] = ()
) -> TrainResult:
    """Train `recipe` into `folder`, which gets `recipe.toml` with every default written out; `track` as in `train`.

    Raises:
        RobustillError: As `Recipe.build` and `train`.
    """
    from robustill.training.checkpoint import has_checkpoint
    from robustill.training.lock import hold

    if resume and not has_checkpoint(folder):
        raise CheckpointError(f"no checkpoint in {folder}", "start the run without --resume")
    with hold(folder):
        return _run_recipe(recipe, folder, resume, progress, track)


def _run_recipe(recipe: Recipe, folder: Path, resume: bool, progress: bool, track: Sequence[str]) -> TrainResult:
    from robustill.evaluation import is_first
    from robustill.training import train
    from robustill.training.checkpoint import has_checkpoint

    written = folder / "recipe.toml"
    if has_checkpoint(folder):
        if not resume:
            raise CheckpointError(f"{folder} already holds a run", "pass --resume to go on, or choose another --out")
        _check_same_recipe(recipe, written)
    method, data = recipe.build()
    _check_teachers(method, data)
    if is_first() and not has_checkpoint(folder):
        write_whole(written, [_toml(recipe)])
    result = train(method, data, recipe.training, out=folder, resume=resume, progress=progress, track=track)
    if recipe.training.overfitting.images and is_first():
        from robustill.diagnostics.overfitting import record_overfitting
        from robustill.report import draw_overfitting

        draw_overfitting(record_overfitting(folder), folder / "overfitting.svg")
    return result


def _toml(recipe: Recipe) -> bytes:
    try:
        return recipe.to_toml().encode("utf-8")
    except UnicodeEncodeError as error:
        raise RecipeError("a path in the recipe is not valid UTF-8", "rename the file or folder") from error


def _check_teachers(method: Method, data: Data) -> None:
    import torch

    from robustill.diagnostics import chance_warning
    from robustill.evaluation import is_first
    from robustill.training.networks import check_networks, pretrained

    check_networks(method, data, torch.device("cpu"))
    for name, network in pretrained(method).items():
        warning = chance_warning(name, network, data)
        if warning is not None and is_first():
            sys.stderr.write(f"warning: {printable(warning)}\n")


def _check_same_recipe(recipe: Recipe, written: Path) -> None:
    before, now = flatten(load_recipe(written).model_dump()), flatten(recipe.model_dump())
    other = [
        f"{key}: {before.get(key)} then, {now.get(key)} now" for key in before | now if before.get(key) != now.get(key)
    ]
    # Where the run computes does not decide what it computes.
    other = [line for line in other if not line.startswith(("title:", "evaluation.", "training.device:"))]
    if other:
        raise CheckpointError(
            f"{written.parent} was started with another recipe: {'; '.join(other)}",
            "resume without changes, or start anew in another folder",
        )


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a table tree as one table with dotted keys.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def evaluate_target(
    target: str,
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
    out: Path | None = None,
) -> Evaluation:
    """Evaluate a run folder or any model source; what is left out comes from the run's recipe.

    Args:
        target: Run folder, file, or another source that `load_model` takes.
        attacks: Comma-separated names.
        data: Data set; with `root`.
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
        out: Folder of `evaluation.json`; the run folder (its `last/` for the last student) when left out.

    Raises:
        InputError: Neither the run nor the arguments say which data or radius.
    """
    from robustill.evaluation import evaluate, is_first, part
    from robustill.models import load_model
    from robustill.report import draw_curve
    from robustill.training.device import cpu_threads, find_device

    place, folder = find_device(device), Path(target)
    # Binds this process to a GPU of its own where several were launched.
    part(place)
    recipe = load_recipe(folder) if (folder / "recipe.toml").is_file() else None
    if recipe is None and (data is None or eps is None):
        raise InputError(
            f"{target} is not a run folder, so nothing says which data and radius", "give --data and --eps"
        )
    found = _data(recipe, data, root)
    source = str(folder / "student_last.safetensors") if last and folder.is_dir() else target
    model, surrogate = (
        None if name is None else load_model(name, num_classes=found.num_classes, shape=found.shape)
        for name in (source, transfer_from)
    )
    assert model is not None
    if out is None and folder.is_dir():
        out = folder / "last" if last else folder
    if out is not None:
        make_folder(out)
    names = _attacks(attacks, recipe)
    if threads is None:
        threads = recipe.training.threads if recipe is not None else 0
    with cpu_threads(threads):
        result = evaluate(
            model.to(place),
            found,
            eps=eps if eps is not None else _recipe_eps(recipe),
            norm=_norm(norm, recipe),  # type: ignore[arg-type]
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


def _data(recipe: Recipe | None, data: str | None, root: str | None) -> Data:
    from robustill.data import load_data

    changes: dict[str, Any] = {} if root is None else {"root": root}
    if data is not None:
        return load_data(data, **changes)
    if recipe is None:
        raise InputError("nothing says which data", "give --data")
    return recipe.data_set(**changes)


def _recipe_eps(recipe: Recipe | None) -> float:
    if recipe is None:
        raise RecipeError("no radius", "give --eps")
    return recipe.eps()


def _norm(norm: str | None, recipe: Recipe | None) -> str:
    chosen = norm or (recipe.evaluation.norm if recipe is not None else "Linf")
    if chosen not in ("Linf", "L2"):
        raise InputError(f"unknown norm {chosen!r}", "choose Linf or L2")
    return chosen


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


def write_gallery(folder: Path) -> str | None:
    """Write `gallery.json` of a run folder, for its report; return why there is none, or None.

    What is there already is kept if it is of the same weights, radius and teachers.
    """
    from robustill.evaluation.gallery import gallery
    from robustill.models import file_digest, load_model

    if not all((folder / name).is_file() for name in ("recipe.toml", _STUDENT)):
        return f"there is no recipe.toml or no {_STUDENT}"
    try:
        recipe = load_recipe(folder)
        eps, norm = recipe.eps(), _norm(None, recipe)
        about = {"weights": file_digest(folder / _STUDENT), "teachers": recipe.model_dump(mode="json")["teachers"]}
        if _known(folder / _GALLERY, {**about, "eps": eps, "norm": norm}):
            return None
        data = _data(recipe, None, None)
        student = load_model(folder / _STUDENT, num_classes=data.num_classes, shape=data.shape)
        teachers, missing = _teachers(recipe, data)
        found = gallery(student, teachers, data, eps=eps, norm=norm)  # type: ignore[arg-type]
        write_json({**found, **about, "missing": missing}, folder / _GALLERY)
    except RobustillError as error:
        return error.message
    return None


def _teachers(recipe: Recipe, data: Data) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the teachers that can be loaded, and why others cannot."""
    from robustill.recipe.networks import teacher_networks

    found: dict[str, Any] = {}
    missing = {}
    for name, source in recipe.teachers.items():
        try:
            networks = teacher_networks(source, data)
        except RobustillError as error:
            missing[name] = error.message
            continue
        several = {f"{name} {k}": each for k, each in enumerate(networks, 1)} if isinstance(networks, list) else {}
        found |= several or {name: networks}
    return found, missing


def _known(path: Path, wanted: dict[str, Any]) -> bool:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return not found["missing"] and all(found[key] == value for key, value in wanted.items())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
