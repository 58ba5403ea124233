"""The command line: reads a recipe, calls the library, writes a table for people and JSON for programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperGroup

from robustill.errors import InputError, RobustillError, nearest


class _Verbs(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            # Typer would exit without the message, which says how to go on.
            sys.stderr.write(f"{str(error) or 'interrupted'}\n")
            raise typer.Exit(130) from error


app = typer.Typer(
    name="robustill",
    cls=_Verbs,
    help="Adversarial distillation: train a small image classifier that stays right under attack, guided by teachers."
    "\n\nA day with it: [bold]robustill doctor[/] checks the data and the teacher, [bold]train[/] distils a student, "
    "[bold]evaluate[/] attacks it. Start with [bold]robustill demo[/], which needs nothing else.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from robustill import __version__

        sys.stdout.write(f"robustill {__version__}\n")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a recipe key, e.g. --set method.alpha=0.9. Repeatable."),
]


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where the four runs go.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Seed of all four runs.")] = 0,
) -> None:
    """The whole story on the embedded digits, in about a minute.

    Trains a clean and a robust teacher, distils a student from both (B-MTARD), trains the same student without
    teachers (PGD-AT), attacks all four and prints one table.
    """
    from robustill.demo import run_demo

    title, columns, rows = run_demo(out, seed=seed)
    _write_json([dict(zip(columns, row, strict=True)) for row in rows], out / "demo.json")
    _print_table(title, columns, rows)


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(help="A TOML file, a run folder, or a shipped recipe (robustill list recipes).")
    ],
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/RECIPE-NAME when left out.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint, bit-exactly.")
    ] = False,
    changes: Set = None,
    mixed_precision: Annotated[
        str | None, typer.Option(help="no or bf16; short for --set training.mixed_precision.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Train any method: students, and teachers too (methods standard, pgd_at, trades).

    The run folder gets recipe.toml (resolved), metrics.jsonl, last.pt, student.safetensors (chosen on the validation
    split) and student_last.safetensors. Ctrl-C saves and says how to go on.

    Example: robustill train fashion-mnist_rslad_cnn-small --out runs/rslad --set teachers.teacher=runs/teacher
    """
    from robustill.recipe import find_recipe, load_recipe
    from robustill.runs import run_recipe

    precision = [f"training.mixed_precision={mixed_precision}"] if mixed_precision else []
    source = out if resume and out is not None and (out / "recipe.toml").exists() else recipe
    loaded = load_recipe(source, [*(changes or []), *precision])
    # A run folder named as the recipe is where the run goes on.
    folder = out or (Path(recipe) if Path(recipe).is_dir() else Path("runs") / find_recipe(recipe).stem)
    result = run_recipe(loaded, folder, resume=resume)
    if json_out:
        _print_json({"out": str(folder), "best": result.best, "last": result.history[-1]})
        return
    rows = [_scores("selected", result.best)] if result.best else []
    rows.append(_scores("last", {**result.history[-1], **result.history[-1].get("validation", {})}))
    _print_table(f"{folder}: accuracy on the validation split, %", ["student", "epoch", "clean", "robust"], rows)


@app.command()
def evaluate(
    target: Annotated[
        str, typer.Argument(help="A run folder, a .safetensors file, ARCH@file.pt, robustbench:NAME ...")
    ],
    attacks: Annotated[
        str | None, typer.Option(help="Comma-separated: fgsm, pgd20, pgd50x5, pgd20_trades, cw.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data set; the run's own when left out.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder of the data set.")] = None,
    eps: Annotated[str | None, typer.Option(help="Radius in [0, 1], e.g. 8/255; the run's own when left out.")] = None,
    norm: Annotated[str | None, typer.Option(help="Linf or L2.")] = None,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    limit: Annotated[int | None, typer.Option(help="Only so many images (small samples have wide intervals).")] = None,
    last: Annotated[
        bool, typer.Option("--last", help="The last student of the run instead of the selected one.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Images per batch; verdicts do not depend on it.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of the random starts.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="Folder for evaluation.json; the run folder when there is one.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Robust accuracy with exact 95% intervals, one verdict per image and attack, and the worst case over attacks.

    An evaluation that was cut off goes on where it was.

    Example: robustill evaluate runs/rslad --attacks fgsm,pgd20,cw
    """
    from robustill.runs import evaluate_target

    radius = _number("--eps", eps) if eps is not None else None
    result = evaluate_target(
        target, attacks=attacks, data=data, root=root, eps=radius, norm=norm, split=split, limit=limit, last=last,
        batch_size=batch_size, seed=seed, device=device, out=out,
    )  # fmt: skip
    if json_out:
        _print_json(result.to_json())
        return
    title = f"{target}: accuracy in % on {len(result.robust)} {split} images, {result.norm} eps {result.eps:.4g}"
    _print_table(title, ["", "accuracy", "95% interval", "WRA"], result.rows())


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, models, data or recipes.")] = "methods",
    json_out: Json = False,
) -> None:
    """What there is: methods with their cards, architectures, data sets, shipped recipes."""
    kinds = ("methods", "models", "data", "recipes")
    if what not in kinds:
        raise InputError(f"there is no list of {what!r}", nearest(what, kinds))
    rows: list[tuple[str, ...]]
    if what == "methods":
        from robustill.methods import METHODS, card

        cards = [card(name, method) for name, method in METHODS.items()]
        if json_out:
            _print_json([each.to_json() for each in cards])
            return
        rows = [(c.name, c.inner, c.outer, ", ".join(c.networks)) for c in cards]
        _print_table("Methods", ["name", "the adversary maximises", "training minimises", "networks"], rows)
        return
    from robustill.catalogue import data_sets, models, recipes

    found = {"models": models, "data": data_sets, "recipes": recipes}[what]()
    if json_out:
        _print_json([{"name": name, "about": about} for name, about in found])
        return
    _print_table(what.capitalize(), ["name", "about"], found)


@app.command()
def doctor(
    data: Annotated[str | None, typer.Option(help="A data set to look at.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder of the data set.")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="A teacher to verify on --data: run, file, ARCH@file, robustbench:NAME.")
    ] = None,
    mean: Annotated[str | None, typer.Option(help="The teacher's input mean per channel, e.g. 0.49,0.48,0.45.")] = None,
    std: Annotated[str | None, typer.Option(help="The teacher's input deviation per channel.")] = None,
    eps: Annotated[str, typer.Option(help="Radius for the teacher's PGD accuracy.")] = "8/255",
    images: Annotated[int, typer.Option(help="Test images for the teacher's accuracies.")] = 200,
    out: Annotated[Path | None, typer.Option(help="Folder for doctor.json.")] = None,
    json_out: Json = False,
) -> None:
    """What is wrong with this installation, a data set, or a teacher; exits with 1 if anything is.

    Example: robustill doctor --teacher runs/teacher --data fashion-mnist --eps 0.1
    """
    from robustill.diagnostics.doctor import examine

    scale = {
        key: [_number(f"--{key}", v) for v in text.split(",")] for key, text in (("mean", mean), ("std", std)) if text
    }
    report = examine(
        data=data, root=root, teacher=teacher, eps=_number("--eps", eps), images=images, normalization=scale
    )
    if out is not None:
        _write_json(report.to_json(), out / "doctor.json")
    if json_out:
        _print_json(report.to_json())
    else:
        for title, rows in report.tables:
            _print_table(title, ["", ""], rows, header=False)
        for problem in report.problems:
            Console(stderr=True, soft_wrap=True).print(f"[red]problem:[/] {escape(problem)}", highlight=False)
    if report.problems:
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; user errors print one message and exit with 1, an interrupt with 130."""
    try:
        app(args=arguments)
    except RobustillError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(1)


def _scores(label: str, scores: dict[str, Any]) -> tuple[str, ...]:
    def percent(name: str) -> str:
        return f"{100 * scores[name]:.2f}" if name in scores else "-"

    return label, str(scores["epoch"] + 1), percent("clean"), percent("robust")


def _print_table(title: str, columns: list[str], rows: list[Any], *, header: bool = True) -> None:
    console = Console()
    # As a line of its own, the title is not broken at the width of the table.
    console.print(escape(title), style="italic", soft_wrap=True)
    table = Table(show_header=header)
    for k, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="right" if k and header and _numeric(rows, k) else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def _number(option: str, text: str) -> float:
    from robustill.training.settings import as_number

    try:
        return float(as_number(text))
    except ValueError as error:
        raise InputError(f"{option} {text!r} is not a number", "write 0.1 or 8/255") from error


def _numeric(rows: list[Any], column: int) -> bool:
    return all(row[column][:1].isdigit() or row[column] in ("", "-") for row in rows)


def _print_json(value: Any) -> None:
    import json

    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def _write_json(value: Any, path: Path) -> None:
    import json

    from robustill.runs import make_folder

    make_folder(path.parent)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
