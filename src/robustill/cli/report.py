"""`report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from robustill.cli import completion
from robustill.cli.app import app
from robustill.cli.options import Json
from robustill.cli.tables import plain, print_json
from robustill.errors import CheckpointError, nearest_path

if TYPE_CHECKING:
    from robustill.report import Page


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Run folders; several are compared. Folders of unlearnable, rank-teachers and landscape may be among "
            "them.",
            autocompletion=completion.runs,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="The page; RUN/report.html for one run, report.html for several."),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Also write it as Markdown, beside the page.")] = False,
    gallery: Annotated[
        bool, typer.Option(help="Attack a few test images and show them with what student and teachers see.")
    ] = True,
    json_out: Json = False,
) -> None:
    """One page about a run, or a comparison of several: results in plain words, figures, tables, warnings first.

    The page is one file that needs no network and no server. It shows what the folders hold: train, evaluate,
    calibrate, certify, unlearnable, rank-teachers and landscape each add a section.

    Example: robustill report runs/rslad runs/pgd-at --out comparison.html --markdown
    """
    from robustill.report import build_page, write_page

    for run in runs:
        _check_folder(run)
    notes = {run: _pictured(run) for run in runs} if gallery else {}
    page = build_page(runs, notes)
    where = out or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    files = write_page(page, where, markdown=markdown)
    if json_out:
        print_json({"files": [str(file) for file in files], "title": page.title, "warnings": list(page.warnings)})
        return
    _print(page, files)


def _check_folder(run: Path) -> None:
    if run.is_file():
        raise CheckpointError(f"{run} is a file, not the folder of a run", f"give its folder: {run.parent}")
    if not run.exists():
        raise CheckpointError(f"no such folder: {run}", f"give the folder of a run; {nearest_path(run)}")


def _pictured(run: Path) -> list[str]:
    """Make the gallery of a run; return what the report has to say if there is none."""
    if not (run / "recipe.toml").is_file():
        return []
    from robustill.runs import write_gallery

    why = write_gallery(run)
    return [] if why is None else [f"No gallery of images: {why}."]


def _print(page: Page, files: list[Path]) -> None:
    console = Console(soft_wrap=True)
    for warning in page.warnings:
        console.print(f"[yellow]warning:[/] {plain(warning)}", highlight=False)
    for file in files:
        console.print(f"wrote {plain(str(file))}", highlight=False)
