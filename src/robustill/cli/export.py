"""`export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from robustill.cli.app import app
from robustill.cli.options import Json, Last, Norm, Radius, Root, RunData
from robustill.cli.tables import number, plain, print_json, print_table
from robustill.errors import InputError

if TYPE_CHECKING:
    from robustill.export import Exported, Pushed


@app.command()
def export(
    target: Annotated[
        str, typer.Argument(help="A run folder, a .safetensors file, ARCH@file.pt, robustbench:NAME ...")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to write; RUN/export when there is a run folder.")
    ] = None,
    formats: Annotated[
        str, typer.Option(metavar="F1,F2,...", help="safetensors, onnx, int8, torch-export.")
    ] = "safetensors,onnx",
    quantization: Annotated[
        str,
        typer.Option(help="Of int8: static (calibrated on validation images) or dynamic (needs none; slower on CNNs)."),
    ] = "static",
    calibration: Annotated[int, typer.Option(help="Validation images that a static quantisation sees.")] = 512,
    measure: Annotated[bool, typer.Option(help="Attack what was exported.")] = True,
    attacks: Annotated[
        str, typer.Option(help="Made on the network as evaluate makes them, and tried on the files; none for none.")
    ] = "pgd20,cw",
    queries: Annotated[
        int, typer.Option(help="Of Square, which attacks the files themselves; 0 leaves it out.")
    ] = 1000,
    images: Annotated[int, typer.Option(help="How many to attack, as many of each class, drawn by --seed.")] = 500,
    data: RunData = None,
    root: Root = None,
    eps: Radius = None,
    norm: Norm = None,
    split: Annotated[str, typer.Option(help="Where the attacked images are of: test, validation or train.")] = "test",
    last: Last = False,
    batch_size: Annotated[int, typer.Option(help="Images per batch of the attacks.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of images and random draws.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 for PyTorch's choice.")] = 0,
    license_: Annotated[
        str | None, typer.Option("--license", metavar="ID", help="For the card: apache-2.0, mit, cc-by-4.0, other ...")
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="hf-hub:OWNER/NAME", help="Send it to the Hugging Face hub; asks first.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Push without asking.")] = False,
    public: Annotated[bool, typer.Option("--public", help="Everybody may see what is pushed.")] = False,
    json_out: Json = False,
) -> None:
    """Write a student as files for other programs, attack these files again, and write their model card.

    ONNX files take any batch size and are compared with the network, logit by logit. What the network stands up to, its
    eight-bit form need not: each file gets the adversarial examples of the network, and Square through its own logits.

    Example: robustill export runs/rslad --formats safetensors,onnx,int8 --license apache-2.0
    """
    from robustill.export import Measurement, export_run, push_export
    from robustill.training.device import cpu_threads

    names = tuple(name.strip() for name in attacks.split(",") if name.strip() not in ("", "none"))
    how = Measurement(
        attacks=names, queries=queries, images=images, split=split, batch_size=batch_size, seed=seed
    ) if measure else None  # fmt: skip
    radius = number("--eps", eps) if eps is not None else None
    repository = _agreed(push, yes, public)
    where = out or Path(target) / "export"
    with cpu_threads(threads):
        found = export_run(
            target, out, formats=formats.split(","), data=data, root=root, eps=radius, norm=norm, measurement=how,
            quantization=quantization, calibration=calibration, last=last, license=license_, repository=repository,
        )  # fmt: skip
    pushed = push_export(where, push, public=public) if push is not None else None
    if json_out:
        where_to = {} if pushed is None else {"pushed": {"url": pushed.url, "private": pushed.private}}
        print_json({**found.to_json(), **where_to})
    else:
        _print(target, found, where, pushed)


def _agreed(push: str | None, yes: bool, public: bool) -> str | None:
    """Return the repository, after everything that can be wrong with it was looked at and the user has agreed."""
    if push is None:
        if yes or public:
            raise InputError("--yes and --public are about --push", "name a repository: --push hf-hub:OWNER/NAME")
        return None
    from robustill.export.push import check_hub, check_repository

    repository = check_repository(push)
    check_hub()
    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"nobody is there to agree to a push to {push}", "pass --yes")
        seen = "everybody" if public else "nobody but its owner"
        typer.confirm(f"Send the export to {repository}, where {seen} will see it?", abort=True, err=True)
    return repository


def _print(target: str, found: Exported, where: Path, pushed: Pushed | None) -> None:
    console = Console(soft_wrap=True)
    rows = [
        (each.file, f"{each.bytes:,}", "" if each.parity is None else f"{each.parity.largest_difference:.2g}",
         "" if each.parity is None else f"{100 * each.parity.agreement:.1f}", each.sha256[:12])
        for each in found.files.values()
    ]  # fmt: skip
    columns = ["file", "bytes", "largest logit difference", "same class, %", "SHA-256"]
    print_table(f"{target}: exported to {where}", columns, rows)
    if found.evaluations:
        about = found.measured
        threat = f"{about['threat']['norm']} eps {about['threat']['eps']:.4g}"
        title = f"accuracy in % on {about['images']} {about['split']} images, {threat}, with 95% intervals"
        print_table(title, ["", *found.evaluations], found.rows())
    for warning in found.warnings:
        console.print(f"[bold red]warning:[/] {plain(warning)}", highlight=False)
    if pushed is not None:
        kind = "private" if pushed.private else "public"
        console.print(f"pushed to {plain(pushed.url)} ({kind})", highlight=False)
