"""`demo` and `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from robustill.cli import completion
from robustill.cli.app import app
from robustill.cli.options import Json, Set
from robustill.cli.tables import print_json, print_table, write_json
from robustill.errors import InputError
from robustill.terminal import printable


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the four runs go.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of all four runs.")] = 0,
) -> None:
    """The whole story on the embedded digits, in about a minute.

    Trains a clean and a robust teacher, distils a student from both (B-MTARD), trains the same student without
    teachers (PGD-AT), attacks all four, prints one table and writes report.html, a page to open in a browser.
    """
    from robustill.demo import run_demo

    title, columns, rows = run_demo(out, seed=seed)
    write_json([dict(zip(columns, row, strict=True)) for row in rows], out / "demo.json")
    print_table(title, columns, rows)
    typer.echo(f"wrote {printable(str(out / 'report.html'))}: open it in a browser")


@app.command()
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A TOML file, a run folder, or a shipped recipe (robustill list recipes).",
            autocompletion=completion.recipes,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/RECIPE-NAME when left out.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint, bit-exactly.")
    ] = False,
    changes: Set = None,
    mixed_precision: Annotated[
        str | None, typer.Option(help="no, bf16 or auto; short for --set training.mixed_precision.")
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Also show metrics.jsonl live: tensorboard, trackio. Changes no result.",
            autocompletion=completion.trackers,
        ),
    ] = None,
    json_out: Json = False,
) -> None:
    """Train any method: students, and teachers too (methods standard, pgd_at, trades).

    The run folder gets recipe.toml (resolved), metrics.jsonl, last.pt, student.safetensors (chosen on the validation
    split) and student_last.safetensors. Ctrl-C saves and says how to go on. To learn every batch in several processes
    or on several GPUs: torchrun --nproc-per-node 2 -m robustill train ...

    Example: robustill train fashion-mnist_rslad_cnn-small --out runs/rslad --set teachers.teacher=runs/teacher
    """
    from robustill.evaluation import is_first
    from robustill.recipe import find_recipe, load_recipe
    from robustill.runs import run_recipe
    from robustill.training.track import check_trackers

    precision = [f"training.mixed_precision={mixed_precision}"] if mixed_precision else []
    source = out if resume and out is not None and (out / "recipe.toml").exists() else recipe
    loaded = load_recipe(source, [*(changes or []), *precision])
    # A run folder named as the recipe is where the run goes on.
    folder = out or (Path(recipe) if Path(recipe).is_dir() else _folder_of(find_recipe(recipe)))
    trackers = [name.strip() for name in (track or "").split(",") if name.strip()]
    check_trackers(trackers, folder)
    result = run_recipe(loaded, folder, resume=resume, track=trackers)
    if not is_first():
        return
    if json_out:
        print_json({"out": str(folder), "best": result.best, "last": result.history[-1]})
        return
    rows = [_scores("selected", result.best)] if result.best else []
    rows.append(_scores("last", {**result.history[-1], **result.history[-1].get("validation", {})}))
    print_table(f"{folder}: accuracy on the validation split, %", ["student", "epoch", "clean", "robust"], rows)


def _folder_of(recipe: Path) -> Path:
    # A file called "...toml" would lead out of runs/.
    if recipe.stem in (".", ".."):
        raise InputError(f"{recipe} has no name to call a run folder by", "give --out")
    return Path("runs") / recipe.stem


def _scores(label: str, scores: dict[str, Any]) -> tuple[str, ...]:
    def percent(name: str) -> str:
        return f"{100 * scores[name]:.2f}" if name in scores else "-"

    return label, str(scores["epoch"] + 1), percent("clean"), percent("robust")
