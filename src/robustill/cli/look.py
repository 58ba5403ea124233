"""`list` and `doctor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from robustill.cli import completion
from robustill.cli.app import app
from robustill.cli.options import Json, Root
from robustill.cli.tables import number, plain, print_json, print_table, write_json
from robustill.errors import InputError, nearest

if TYPE_CHECKING:
    from robustill.diagnostics.installation import Finding


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="methods, models, data or recipes.", autocompletion=completion.lists)
    ] = "methods",
    json_out: Json = False,
) -> None:
    """What there is: methods with their cards, architectures, data sets, shipped recipes."""
    kinds = ("methods", "models", "data", "recipes")
    if what not in kinds:
        raise InputError(f"there is no list of {what!r}", nearest(what, kinds))
    rows: list[tuple[str, ...]]
    if what == "methods":
        from robustill.methods import METHODS
        from robustill.methods.card import card_or_blank

        cards = [card_or_blank(name, method) for name, method in METHODS.items()]
        if json_out:
            print_json([each.to_json() for each in cards])
            return
        rows = [(c.name, c.inner, c.outer, ", ".join(c.networks)) for c in cards]
        print_table("Methods", ["name", "the adversary maximises", "training minimises", "networks"], rows)
        return
    from robustill.catalogue import data_sets, models, recipes

    found = {"models": models, "data": data_sets, "recipes": recipes}[what]()
    if json_out:
        print_json([{"name": name, "about": about} for name, about in found])
        return
    print_table(what.capitalize(), ["name", "about"], found)


@app.command()
def doctor(
    data: Annotated[str | None, typer.Option(help="A data set to look at.", autocompletion=completion.data)] = None,
    root: Root = None,
    size: Annotated[int | None, typer.Option(help="Pixels that --data's image files are resized to.")] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            help="A teacher to verify on --data: run, file, ARCH@file, robustbench:NAME.",
            autocompletion=completion.models,
        ),
    ] = None,
    mean: Annotated[str | None, typer.Option(help="The teacher's input mean per channel, e.g. 0.49,0.48,0.45.")] = None,
    std: Annotated[str | None, typer.Option(help="The teacher's input deviation per channel.")] = None,
    eps: Annotated[str, typer.Option(help="Radius for the teacher's PGD accuracy.")] = "8/255",
    images: Annotated[int, typer.Option(help="Test images for the teacher's accuracies.")] = 200,
    runs: Annotated[Path, typer.Option(help="Folder that runs will go to.")] = Path("runs"),
    out: Annotated[Path | None, typer.Option(help="Folder for doctor.json.")] = None,
    json_out: Json = False,
) -> None:
    """What is wrong with this installation, a data set, or a teacher, and what to do; exits with 1 if anything is.

    Looks at versions, cores and what they can do, GPUs, memory, disk, the terminal, data sets and extras: ok, warn or
    fail. A warning is no failure. With --data or --teacher, only what is not ok of these is shown.

    Example: robustill doctor --teacher runs/teacher --data fashion-mnist --eps 0.1
    """
    from robustill.diagnostics.doctor import examine

    scale = {
        key: [number(f"--{key}", v) for v in text.split(",")] for key, text in (("mean", mean), ("std", std)) if text
    }
    report = examine(
        data=data, root=root, size=size, teacher=teacher, eps=number("--eps", eps), images=images,
        normalization=scale, runs=runs,
    )  # fmt: skip
    if out is not None:
        write_json(report.to_json(), out / "doctor.json")
    if json_out:
        print_json(report.to_json())
    else:
        # Who asks about data or a teacher wants to read of these; what is wrong besides is always said.
        _print_installation(report.checks, whole=data is None and teacher is None)
        for title, rows in report.tables[1:]:
            print_table(title, ["", ""], rows, header=False)
        for problem in report.problems:
            Console(stderr=True, soft_wrap=True).print(f"[red]problem:[/] {plain(problem)}", highlight=False)
    if not report.healthy:
        raise typer.Exit(1)


def _print_installation(checks: Sequence[Finding], *, whole: bool) -> None:
    told = [check for check in checks if whole or check.status != "ok"]
    rows = [(check.name, check.status, check.says, check.do) for check in told]
    if rows:
        print_table("Installation", ["", "", "found", "what to do"], rows)
    if not whole:
        fine = f"installation: {len(checks) - len(told)} of {len(checks)} checks are ok (robustill doctor shows all)"
        Console(soft_wrap=True).print(fine, highlight=False)
