"""`unlearnable`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from robustill.cli import completion
from robustill.cli.app import app
from robustill.cli.options import Device, Figures, Json, RecipeRadius, References, Root, Set, TrainingImages
from robustill.cli.tables import number, plain, print_json, print_table, write_json
from robustill.errors import InputError, nearest
from robustill.writing import write_whole

FORMATS = ("svg", "png", "pdf")


@app.command()
def unlearnable(
    student: Annotated[
        str,
        typer.Argument(
            help="The student: a recipe, a run folder or a shipped recipe. Its teachers are not used.",
            autocompletion=completion.recipes,
        ),
    ],
    references: Annotated[int, typer.Option(help="Reference models to train, seeds 0, 1, ...")] = 3,
    reference: References = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN_OR_FILE", help="Also ask this teacher where a label may be wrong. Repeatable."),
    ] = None,
    eps: RecipeRadius = None,
    attack: Annotated[str, typer.Option(help="Attack of each reference on itself, as in evaluate.")] = "pgd10",
    images: TrainingImages = None,
    root: Root = None,
    changes: Set = None,
    device: Device = "auto",
    figures: Figures = "svg",
    out: Annotated[Path, typer.Option(help="Folder of references, verdicts, the set and figures.")] = Path(
        "runs/teachers"
    ),
    json_out: Json = False,
) -> None:
    """The robustly unlearnable set: training images that no reference of the student's architecture gets right.

    References are trained adversarially (PGD) with the student's data, architecture and settings, from several seeds,
    and stopped at their robust peak on the validation split. Each is then attacked on the clean training images. What
    all get wrong is unlearnable for this architecture and threat, what all get right is learnable. The set shrinks with
    every further reference: its size means nothing without their number.

    Writes unlearnable.json, unlearnable.safetensors (verdicts as bits), examples.json (pixels for the report) and
    figures. References and verdicts stay in --out: a second call, and rank-teachers with the same --out, take them
    over; an interrupted one goes on. To share the work among processes or GPUs: torchrun --nproc-per-node 2 -m
    robustill unlearnable ...

    Example: robustill unlearnable fashion-mnist_rslad_cnn-small --references 3 --set training.epochs=15
    """
    from robustill.cli.references import Asked, find, load_networks, opened
    from robustill.diagnostics.learnability import save_learnability
    from robustill.diagnostics.learnability.summary import picture, summary
    from robustill.evaluation import is_first
    from robustill.report.learnability import draw_examples, draw_learnability

    check_format(figures)
    radius = number("--eps", eps) if eps is not None else None
    asked = Asked(student, changes or [], references, reference or [], radius, attack, images, device, out, root)
    recipe, data = opened(asked)
    found, _ = find(asked, recipe, data, load_networks(teacher or [], data, "teacher", device))
    if not is_first():
        return
    content = summary(found)
    save_learnability(found, out / "unlearnable.safetensors")
    write_json(content, out / "unlearnable.json")
    draw_learnability(content, out / f"unlearnable.{figures}")
    pictures = picture(found, data)
    write_whole(out / "examples.json", [json.dumps(pictures).encode()])
    draw_examples(pictures, out / f"examples.{figures}")
    if json_out:
        print_json(content)
    else:
        _print(content, out)


def check_format(figures: str) -> None:
    """Check the format of figures.

    Raises:
        InputError: There is no such format.
    """
    if figures not in FORMATS:
        raise InputError(f"there is no figure format {figures!r}", nearest(figures, FORMATS))


def _print(found: dict[str, Any], out: Path) -> None:
    console, n, count = Console(soft_wrap=True), found["images"], len(found["references"])
    sets = (*found["sizes"].items(), *((f"group {group}", sizes) for group, sizes in found["groups"].items()))
    rows = [(name, str(sizes["references"]), *_cells(sizes, n)) for name, sizes in sets]
    threat = f"{found['attack']}, {found['norm']} eps {found['eps']:.4g}"
    print_table(
        f"{found['data']}: {n} clean training images, {threat}", ["set", "references", "unlearnable", "learnable"], rows
    )
    classes = [(each["name"], str(each["images"]), *_cells(each, each["images"])) for each in found["classes"]]
    print_table(f"Classes, {count} references", ["class", "images", "unlearnable", "learnable"], classes)
    for says in _remarks(found, count):
        console.print(says, highlight=False)
    console.print(f"{plain(str(out))}: unlearnable.json, unlearnable.safetensors and figures", highlight=False)


def _remarks(found: dict[str, Any], count: int) -> list[str]:
    remarks, sizes = [], found["sizes"]["intersection"]
    if count > 1:
        pairs = [found["jaccard"][a][b] for a in range(count) for b in range(a)]
        shrinking = ", ".join(f"{point['unlearnable']:.0f}" for point in found["stability"])
        remarks.append(
            f"what two references get wrong overlaps by {min(pairs):.2f} to {max(pairs):.2f} (Jaccard); unlearnable "
            f"with 1 to {count} references: {shrinking}"
        )
    if not sizes["unlearnable"]:
        remarks.append(
            "[bold red]empty:[/] every image is right under attack for some reference; try a larger --eps or fewer "
            "--references"
        )
    elif not sizes["learnable"]:
        remarks.append(
            "[bold red]nothing learned:[/] no image is right for all references; try more --set training.epochs=N or a "
            "smaller --eps"
        )
    asked = f" and {len(found['teachers_asked'])} teachers" if found["teachers_asked"] else ""
    remarks.append(
        f"suspect labels: {len(found['label_errors'])} images in the set, without an attack seen as one other class by "
        f"all references{asked}"
    )
    return remarks


def _cells(sizes: dict[str, Any], n: int) -> list[str]:
    return [f"{sizes[name]} ({100 * sizes[name] / n:.1f}%)" for name in ("unlearnable", "learnable")]
