"""`landscape`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from robustill.cli import completion
from robustill.cli.app import app
from robustill.cli.options import Device, Figures, Json, Root
from robustill.cli.tables import number, plain, print_json, print_table
from robustill.errors import InputError, nearest

if TYPE_CHECKING:
    from robustill.attacks.threat import Norm
    from robustill.data import Data
    from robustill.recipe import Recipe

_FORMATS = ("svg", "png", "pdf")


@app.command()
def landscape(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Run folders or model files, laid over each other.",
            autocompletion=completion.models,
        ),
    ],
    data: Annotated[str | None, typer.Option(help="Data set; the runs' own when left out.")] = None,
    root: Root = None,
    eps: Annotated[
        str | None, typer.Option(help="Radius of the attack, e.g. 8/255; the runs' own when left out.")
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Linf or L2; the runs' own when left out.")] = None,
    steps: Annotated[int, typer.Option(help="PGD steps, each a quarter of eps.")] = 10,
    adversary: Annotated[
        str,
        typer.Option(help="regenerated: attack the weights of each point. fixed: keep the examples of the middle."),
    ] = "regenerated",
    radius: Annotated[float, typer.Option(help="How far to go, in lengths of the weights.")] = 1.0,
    points: Annotated[int, typer.Option(help="Points of a curve, odd.")] = 21,
    directions: Annotated[int, typer.Option(help="Random directions.")] = 5,
    plane: Annotated[int, typer.Option(help="Also a plane of so many points a side, odd; 0: none.")] = 0,
    flatness_at: Annotated[
        float | None, typer.Option(help="Distance of the flatness number; half the radius when left out.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    images: Annotated[int, typer.Option(help="Images, as many of each class.")] = 500,
    last: Annotated[bool, typer.Option("--last", help="The last students of the runs, not the selected ones.")] = False,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of images, directions and random starts.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads, 0: all. One is fastest for small CNNs.")] = 0,
    device: Device = "auto",
    figures: Figures = "svg",
    out: Annotated[Path, typer.Option(help="Folder of landscape.json and the figures.")] = Path("runs/landscape"),
    json_out: Json = False,
) -> None:
    """How steeply the adversarial loss rises around the weights of runs: flat or sharp, with a spread over directions.

    Walks from the weights along random directions, each filter as long as the network's (Li et al. 2018), and attacks
    the images anew at every point. The runs' own weights are not touched; batch norm keeps its statistics.

    Writes landscape.json, landscape and plane (figures). Runs that are finished are kept: after an interruption the
    same command goes on with the next, and with one RUN more it computes that one alone.

    Example: robustill landscape runs/pgd-at runs/trades runs/peeraid --plane 9 --figures png
    """
    from robustill.diagnostics.landscapes import landscape as look
    from robustill.models import load_model
    from robustill.report.landscape import draw_landscape, draw_plane
    from robustill.training.device import cpu_threads, find_device
    from robustill.writing import make_folder

    if figures not in _FORMATS:
        raise InputError(f"there is no figure format {figures!r}", nearest(figures, _FORMATS))
    recipes = {run: _recipe(run) for run in runs}
    own_norm = _norm(recipes, norm)
    found, radius_of_attack = _data(recipes, data, root), _eps(recipes, eps, own_norm)
    place, names = find_device(device), _names(runs)
    networks = {
        names[run]: load_model(_source(run, last), num_classes=found.num_classes, shape=found.shape).to(place)
        for run in runs
    }
    make_folder(out)
    try:
        with cpu_threads(threads):
            result = look(
                networks, found, eps=radius_of_attack, norm=own_norm, steps=steps, adversary=adversary,  # type: ignore[arg-type]
                radius=radius, points=points, directions=directions, plane=plane, flatness_at=flatness_at, split=split,
                images=images, batch_size=batch_size, seed=seed, out=out,
            )  # fmt: skip
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"interrupted; the same command goes on after the runs that {out} holds") from error
    draw_landscape(result, out / f"landscape.{figures}")
    if plane:
        draw_plane(result, out / f"plane.{figures}")
    if json_out:
        print_json(result)
    else:
        _print(result, out)


def _recipe(run: str) -> Recipe | None:
    from robustill.recipe import load_recipe

    folder = Path(run) if Path(run).is_dir() else Path(run).parent
    return load_recipe(folder) if (folder / "recipe.toml").is_file() else None


def _source(run: str, last: bool) -> str:
    return str(Path(run) / "student_last.safetensors") if last and Path(run).is_dir() else run


def _names(runs: Sequence[str]) -> dict[str, str]:
    """Return the shortest name for each run that tells them apart."""
    if len(set(runs)) < len(runs):
        raise InputError("a run is named twice", "name each one once")
    for short in (_folder_name, lambda run: str(Path(run).with_suffix("")), str):
        names = {run: short(run) for run in runs}
        if len(set(names.values())) == len(runs):
            break
    return names


def _folder_name(run: str) -> str:
    path = Path(run)
    if path.is_dir():
        return path.resolve().name
    return path.parent.name if path.name == "student.safetensors" and path.parent.name else path.stem


def _data(recipes: dict[str, Recipe | None], data: str | None, root: str | None) -> Data:
    from robustill.data import load_data

    known = {run: recipe for run, recipe in recipes.items() if recipe is not None}
    if not known and data is not None:
        return load_data(data, root)
    if not known:
        raise InputError("nothing says which data: none of these is a run", "give --data")
    (first, recipe), *others = known.items()
    for run, other in others:
        if data is None and other.data != recipe.data:
            raise InputError(f"{first} and {run} were trained on other data", "give --data, for images of one data set")
    return recipe.data_set(data, root)


def _norm(recipes: dict[str, Recipe | None], norm: str | None) -> Norm:
    from robustill.runs.evaluate import run_norm

    known = {run: recipe.norm() for run, recipe in recipes.items() if recipe is not None}
    if norm is None and len(set(known.values())) > 1:
        what = ", ".join(f"{run}: {own}" for run, own in known.items())
        raise InputError(f"these runs are attacked in different norms ({what})", "give --norm and --eps")
    return run_norm(norm or next(iter(known.values()), "Linf"), None)


def _eps(recipes: dict[str, Recipe | None], eps: str | None, norm: str) -> float:
    if eps is not None:
        return number("--eps", eps)
    known = {run: recipe.eps(norm) for run, recipe in recipes.items() if recipe is not None}
    if len(set(known.values())) != 1:
        what = ", ".join(f"{run}: {radius:g}" for run, radius in known.items()) or "none of these is a run"
        raise InputError(f"nothing says at which radius to attack ({what})", "give --eps")
    return next(iter(known.values()))


def _print(result: dict[str, Any], out: Path) -> None:
    settings = result["settings"]
    rows = []
    for name, run in result["runs"].items():
        rise, drop = run["flatness"]["rise"], run["flatness"]["robust_drop"]
        cells = [_cell(rise, 1, 3), _cell(drop, 100, 1)]
        rows.append((name, f"{run['loss']:.3f}", f"{100 * run['robust']:.1f}", *cells))
    title = (
        f"{settings['images']} {settings['split']} images, {settings['norm']} eps {settings['eps']:.4g}, adversarial "
        f"examples {settings['adversary']}; at r = {settings['flatness_at']:g}, mean ± sd of {settings['directions']} "
        "directions"
    )
    print_table(title, ["", "loss", "robust, %", "loss rises by", "robust falls by, %"], rows)
    console = Console(soft_wrap=True)
    console.print(f"batch norm: {settings['batch_norm']}", highlight=False)
    console.print(f"{plain(str(out))}: landscape.json and figures", highlight=False)


def _cell(spread: dict[str, Any], scale: float, digits: int) -> str:
    sd = "" if spread["sd_directions"] is None else f" ± {scale * spread['sd_directions']:.{digits}f}"
    return f"{scale * spread['mean']:.{digits}f}{sd}"
