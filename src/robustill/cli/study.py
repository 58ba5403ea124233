"""`study`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from robustill.cli import completion
from robustill.cli.app import app
from robustill.cli.options import Json
from robustill.cli.tables import plain, print_json, print_table

if TYPE_CHECKING:
    from robustill.study import Study
    from robustill.study.schedule import Job

_LINES = 10


@app.command()
def study(
    file: Annotated[
        str,
        typer.Argument(
            metavar="STUDY.toml",
            help="A study file; docs/studies.md has every key.",
            autocompletion=completion.studies,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of cells and tables; runs/NAME when left out.")] = None,
    cells: Annotated[
        Path | None, typer.Option(help="Folder of the cells, which studies may share; OUT/cells when left out.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(help="Cells at once; as many as cores, memory and GPUs carry when left out.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run on a Ray cluster: auto, local, or HOST:PORT (extra ray).")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Run only this entry and its teachers. Repeatable.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change every recipe (training.epochs=2) or a table of the study (evaluate.images=100). Repeatable.",
        ),
    ] = None,
    searching: Annotated[
        bool,
        typer.Option(
            "--search", help="Search the hyperparameters of the study's table 'search' instead (extra search)."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and what is done, and stop.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try again what failed before.")] = False,
    allow: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Let the study name files in this folder too. Repeatable."),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Go on from the tables of an earlier run in this folder: what they hold is not run again, except that "
            "teachers are trained, and stands beside the rest.",
        ),
    ] = None,
    json_out: Json = False,
) -> None:
    """Run a grid of methods, teachers and seeds; what is done is never run again.

    Every cell is a run folder, named by the hash of all that decides it, and a process of its own: trained, attacked,
    and set beside its teacher if the study says so. A cell that fails says why and does not stop the rest. Ctrl-C saves
    the running ones; the same command goes on.

    OUT gets results.csv and results.parquet (a row for each cell, student and attack), summary.json, .md and .tex
    (means over seeds, differences to the baseline paired by seed), results.svg, which draws them, costs.csv and
    study.log.

    Example: robustill study studies/fashion-mnist-small.toml --jobs 2

    One row beside published ones, which are not run again:
    robustill study mine.toml --only mine --beside results/studies/leaderboard
    """  # fmt: skip
    from robustill.study import Way, open_study

    opened = open_study(file, out=out, cells=cells, changes=changes or (), allowed=allow or (), beside=beside)
    names, way = only or [], Way(jobs, ray, retry_failed)
    if dry_run:
        _print_plan(opened, opened.look(names, retry_failed=retry_failed), json_out)
        return
    found = opened.search(way) if searching else opened.run(names, way)
    if json_out:
        print_json(found)
    elif searching:
        _print_search(opened, found)
    else:
        _print_summary(opened, found)
    if any(job.state in ("failed", "blocked") for job in opened.jobs.values()):
        raise typer.Exit(1)


def _print_plan(opened: Study, jobs: dict[str, Job], json_out: bool) -> None:
    entries = [
        {
            "cell": job.cell.folder,
            "run": job.cell.variant.name,
            "seed": job.cell.seed,
            "state": job.state,
            "why": job.why,
            "address": job.cell.address,
            "needs": [need.folder for need in job.cell.needs.values()],
        }
        for job in jobs.values()
    ]
    if json_out:
        print_json(entries)
        return
    done = sum(job.state == "done" for job in jobs.values())
    rows = [(job.cell.variant.name, str(job.cell.seed), job.state, job.cell.folder) for job in jobs.values()]
    print_table(f"{opened.table.name}: {done} of {len(rows)} cells are done", ["run", "seed", "state", "folder"], rows)


def _print_summary(opened: Study, summary: dict[str, Any]) -> None:
    from robustill.study.judged import caption, footnote
    from robustill.study.summary import STUDENTS, optional, students, table

    for student in students(summary):
        columns, rows = table(summary, student)
        title = f"{opened.table.name}: accuracy in %, {STUDENTS[student].lower()}"
        print_table(title, columns, rows, optional=optional(summary, student))
    console = Console(soft_wrap=True)
    for each in filter(None, [*caption(summary), footnote(summary, students(summary))]):
        console.print(plain(each), highlight=False)
    missing = summary["missing"]
    for each in missing[:_LINES]:
        console.print(f"[bold red]not there:[/] {plain(each)}", highlight=False)
    if len(missing) > _LINES:
        console.print(f"and {len(missing) - _LINES} more; summary.md has them all", highlight=False)
    files = ("results.csv", "results.parquet", "results.svg", "summary.json", "summary.md", "summary.tex")
    there = ", ".join(name for name in files if (opened.out / name).is_file())
    console.print(f"{plain(str(opened.out))}: {there}", highlight=False)


def _print_search(opened: Study, found: dict[str, Any]) -> None:
    keys = list(found["trials"][0]["settings"])
    columns = ["trial", *keys, f"{found['metric']} on the validation split, %"]
    rows = [
        (str(each["number"]), *(_value(each["settings"][key]) for key in keys), _percent(each["validation"]))
        for each in found["trials"]
    ]
    print_table(f"{opened.table.name}: search over {found['run']}", columns, rows)
    console, best = Console(soft_wrap=True), found["best"]
    console.print(f"best: trial {best['number']}; {plain(str(opened.out / 'best.toml'))}", highlight=False)
    for attack, each in best["test"].get("best", {}).items():
        console.print(f"  {attack}: {_percent(each['mean'])} on the test split", highlight=False)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _percent(value: float | None) -> str:
    return "failed" if value is None else f"{100 * value:.2f}"
