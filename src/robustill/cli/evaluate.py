"""`evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from robustill.cli import completion
from robustill.cli.app import app
from robustill.cli.options import Device, Json, Last, Norm, Radius, Root, Split
from robustill.cli.tables import number, plain, print_json, print_table

if TYPE_CHECKING:
    from robustill.evaluation import Evaluation


@app.command()
def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            help="A run folder, a .safetensors file, ARCH@file.pt, robustbench:NAME ...",
            autocompletion=completion.models,
        ),
    ],
    attacks: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: fgsm, pgd20, pgd50x5, pgd20_trades, cw, apgd-ce, apgd-dlr, square, autoattack, "
            "autoattack-fast (not the standard), autoattack-rand.",
            autocompletion=completion.attacks,
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set; the run's own when left out.", autocompletion=completion.data)
    ] = None,
    root: Root = None,
    eps: Radius = None,
    norm: Norm = None,
    split: Split = "test",
    images: Annotated[
        int | None,
        typer.Option(
            help="Only so many, as many of each class however unbalanced the data, drawn by --seed (small samples have "
            "wide intervals)."
        ),
    ] = None,
    eps_grid: Annotated[
        str | None,
        typer.Option(metavar="E1,E2,...", help="Also the worst case over the attacks at these radii, with a curve."),
    ] = None,
    transfer_from: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Another run or model: its adversarial examples are tried too.",
            autocompletion=completion.models,
        ),
    ] = None,
    checks: Annotated[bool, typer.Option(help="Look for signs that the attacks were fooled.")] = True,
    precision: Annotated[
        str, typer.Option(help="What AutoAttack searches in: auto, float32, bfloat16; it counts in float32.")
    ] = "auto",
    last: Last = False,
    batch_size: Annotated[int, typer.Option(help="Images per batch; verdicts do not depend on it.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of the random starts.")] = 0,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; as in training when left out. One is fastest for small CNNs.")
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Processes that share the images on a CPU; for autoattack one per core when left out."),
    ] = None,
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for evaluation.json; the run folder, or its evaluations/ when it has one that says more."
        ),
    ] = None,
    json_out: Json = False,
) -> None:
    """Robust accuracy with exact 95% intervals, one verdict per image and attack, and the worst case over attacks.

    An evaluation that was cut off goes on where it was, inside an attack too. AutoAttack says what it will cost before
    it starts. A quick look never replaces what a run's report tells of: another attack on the same images is added, and
    fewer images or another radius have a folder of their own. To share the images among processes or GPUs:
    torchrun --nproc-per-node 2 -m robustill evaluate ...

    Example: robustill evaluate runs/rslad --attacks autoattack --images 1000
    """
    from robustill.evaluation import is_first
    from robustill.runs import evaluate_target

    radius = number("--eps", eps) if eps is not None else None
    grid = [number("--eps-grid", each) for each in eps_grid.split(",")] if eps_grid else []
    result = evaluate_target(
        target, attacks=attacks, data=data, root=root, eps=radius, norm=norm, split=split, images=images,
        eps_grid=grid, transfer_from=transfer_from, checks=checks, precision=precision, last=last,
        batch_size=batch_size, seed=seed, threads=threads, processes=processes, device=device, out=out,
    )  # fmt: skip
    if not is_first():
        return
    if json_out:
        print_json(result.to_json())
    else:
        _print_evaluation(target, split, result)


def _print_evaluation(target: str, split: str, result: Evaluation) -> None:
    threat = f"{result.norm} eps {result.eps:.4g}"
    title = f"{target}: accuracy in % on {len(result.robust)} {split} images, {threat}"
    print_table(title, ["", "accuracy", "95% interval", "WRA"], result.rows())
    console = Console(soft_wrap=True)
    if "drawn" in result.about:
        console.print(f"drawn: {plain(result.about['drawn'])}", highlight=False)
    if result.labels is not None:
        name, accuracy = result.worst_class()
        console.print(f"weakest class: {plain(name)}, {100 * accuracy:.2f} under all attacks", highlight=False)
    if result.curve is not None:
        attacks = ", ".join(result.curve.attacks)
        print_table(
            f"worst case of {attacks} by {result.norm} eps", ["eps", "accuracy", "95% interval"], result.curve.rows()
        )
    fired = [check for check in result.checks if check.fired]
    for check in fired:
        console.print(f"[bold red]{check.name}:[/] {plain(check.says)}", highlight=False)
    if result.checks and not fired:
        names = ", ".join(check.name for check in result.checks)
        console.print(f"checks without a finding: {names}", highlight=False)
