"""`rank-teachers`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from robustill.cli import completion
from robustill.cli.app import app
from robustill.cli.options import Device, Figure, Json, RecipeRadius, References, Root, Set, TrainingImages
from robustill.cli.tables import number, plain, print_json, print_table, write_json
from robustill.cli.unlearnable import check_format

if TYPE_CHECKING:
    from robustill.recipe import Recipe


@app.command("rank-teachers")
def rank_teachers(
    teachers: Annotated[
        list[str],
        typer.Argument(
            help="Run folders, .safetensors files, ARCH@file.pt, robustbench:NAME ...",
            autocompletion=completion.models,
        ),
    ],
    student: Annotated[
        str,
        typer.Option(
            help="The student: a recipe (of the distillation), a run folder or a shipped recipe.",
            autocompletion=completion.recipes,
        ),
    ],
    references: Annotated[int, typer.Option(help="Reference models to train; the first one crafts the images.")] = 1,
    reference: References = None,
    surface: Annotated[
        str,
        typer.Option(
            help="What the method shows the teacher. student: the student's adversarial examples (AdaAD, IGDM). clean: "
            "clean images (ARD, RSLAD). teacher: the teacher's own adversarial examples."
        ),
    ] = "student",
    criterion: Annotated[
        str, typer.Option(help="unlearnable_entropy, or contrast (less the entropy on the learnable images).")
    ] = "unlearnable_entropy",
    temperature: Annotated[
        float | None, typer.Option(help="Of the distillation; the recipe's method.temperature when left out, else 1.")
    ] = None,
    estimator: Annotated[str, typer.Option(help="single, intersection or soft.")] = "intersection",
    gate_robust: Annotated[
        float, typer.Option(help="Least robust accuracy on the learnable images, as a share of the best teacher's.")
    ] = 0.9,
    gate_informative: Annotated[
        float, typer.Option(help="Least mean probability of the label on the learnable images, at temperature 1.")
    ] = 0.5,
    gate_wrong: Annotated[
        float, typer.Option(help="Largest share of unlearnable images with a confident wrong answer.")
    ] = 0.2,
    limit: Annotated[int, typer.Option(help="Images per set at most.")] = 5000,
    baselines: Annotated[
        bool, typer.Option(help="Also measure accuracies on test images and entropy on other images, to compare.")
    ] = True,
    eps: RecipeRadius = None,
    attack: Annotated[str, typer.Option(help="Attack that finds the set and crafts the images.")] = "pgd10",
    images: TrainingImages = None,
    root: Root = None,
    changes: Set = None,
    seed: Annotated[int, typer.Option(help="Seed of the images, random starts and intervals.")] = 0,
    device: Device = "auto",
    figures: Figure = "svg",
    out: Annotated[Path, typer.Option(help="Folder of references, verdicts, answers and teachers.json.")] = Path(
        "runs/teachers"
    ),
    json_out: Json = False,
) -> None:
    """Which teacher to distil from, before any student is distilled: ranked by entropy where the student cannot learn.

    First the robustly unlearnable set of the student's architecture is found (see robustill unlearnable; with the same
    --out it is taken over). A teacher that is sure of its answers there makes the student memorise noise; an uncertain
    one does not. But a teacher may be uncertain because it knows nothing, or be sure of wrong classes: such teachers
    are dropped before the ranking, with the reason. Teachers whose intervals overlap are tied.

    Entropies are in nats, at the temperature of the distillation, on clean images and on adversarial examples of the
    student and of the teacher. The ranking is an indicator, not a promise: see docs/teachers.md.

    Example: robustill rank-teachers runs/a runs/b --student fashion-mnist_rslad_cnn-small --surface clean
    """
    from robustill.cli.references import Asked, find, load_networks, opened
    from robustill.diagnostics.learnability import save_learnability
    from robustill.diagnostics.learnability.summary import summary
    from robustill.diagnostics.ranking import Gates
    from robustill.diagnostics.ranking import rank_teachers as rank
    from robustill.diagnostics.ranking.rank import check_choices
    from robustill.evaluation import is_first
    from robustill.report.teachers import draw_teachers
    from robustill.training.device import cpu_threads

    check_format(figures)
    radius = number("--eps", eps) if eps is not None else None
    gates = Gates(robust=gate_robust, informative=gate_informative, wrong=gate_wrong)
    asked = Asked(student, changes or [], references, reference or [], radius, attack, images, device, out, root)
    recipe, data = opened(asked)
    warmth = temperature if temperature is not None else distillation_temperature(recipe)
    check_choices(criterion, surface, warmth, estimator)
    networks = load_networks(teachers, data, "teacher", device)
    found, models = find(asked, recipe, data)
    if not is_first():
        # Training and the set are what takes long; the teachers' answers are one process's work.
        return
    save_learnability(found, out / "unlearnable.safetensors")
    write_json(summary(found), out / "unlearnable.json")
    with cpu_threads(recipe.training.threads):
        ranking = rank(
            networks, next(iter(models.values())), data, found, criterion=criterion,
            surface=surface, temperature=warmth, gates=gates, estimator=estimator, limit=limit, baselines=baselines,
            seed=seed, out=out / "answers",
        )  # fmt: skip
    content = ranking.to_json()
    write_json(content, out / "teachers.json")
    draw_teachers(content, out / f"teachers.{figures}")
    if json_out:
        print_json(content)
    else:
        _print(content, out)


def distillation_temperature(recipe: Recipe) -> float:
    """Return the temperature that a recipe's innermost method divides logits by; 1 where none has one."""
    from robustill.methods.card import hyperparameters
    from robustill.recipe.method import plan

    for part in reversed(plan(recipe.method, recipe.attack).parts):
        own = hyperparameters(part.method).get("temperature")
        if own is not None:
            return float(part.arguments.get("temperature", own.default))
    return 1.0


def _print(found: dict[str, Any], out: Path) -> None:
    places = {each["name"]: each for each in found["ranking"]}
    teachers = {each["name"]: each for each in found["teachers"]}
    ordered = [teachers[name] for name in (*places, *(name for name in teachers if name not in places))]
    sizes = found["sizes"]
    title = (
        f"{found['data']}: teachers by {found['criterion']}, {found['surface']} images, temperature "
        f"{found['temperature']:g}; U {sizes['unlearnable']} unlearnable, L {sizes['learnable']} learnable images, "
        f"{found['references']} reference{'s' * (found['references'] > 1)}"
    )
    entropies = [_entropies(each, places.get(each["name"]), found["surface"]) for each in ordered]
    print_table(title, ["rank", "teacher", "H on U", "95% interval", "/ log C", "H on L", "U - L"], entropies)
    title = "On U: H of each surface, sure (p > 0.9) of right and wrong classes in %, p of the label, margin; "
    columns = ["teacher", *found["orders"], "right", "wrong", "p", "margin", "robust L"]
    print_table(f"{title}robust accuracy on L", columns, [_answers(each, found["surface"]) for each in ordered])
    console = Console(soft_wrap=True)
    for says in _remarks(found, places):
        console.print(says, highlight=False)
    console.print(f"{plain(str(out))}: teachers.json, unlearnable.json and a figure", highlight=False)


def _entropies(teacher: dict[str, Any], place: dict[str, Any] | None, surface: str) -> tuple[str, ...]:
    table = teacher["surfaces"][surface]["entropy"]
    own = table["unlearnable"]
    return (
        "-" if place is None else f"{place['rank']}{'=' * bool(place['tied_with'])}",
        teacher["name"],
        f"{own['mean']:.3f}",
        "{:.3f} to {:.3f}".format(*own["interval"]),
        f"{own['of_log_classes']:.2f}",
        f"{table['learnable']['mean']:.3f}",
        f"{table['contrast']['mean']:.3f}",
    )


def _answers(teacher: dict[str, Any], surface: str) -> tuple[str, ...]:
    table = teacher["surfaces"][surface]
    sure = (table[name]["unlearnable"]["mean"] for name in ("confident_right", "confident_wrong"))
    return (
        teacher["name"],
        *(f"{each['entropy']['unlearnable']['mean']:.3f}" for each in teacher["surfaces"].values()),
        *(f"{100 * share:.1f}" for share in sure),
        f"{table['label_probability']['unlearnable']['mean']:.2f}",
        f"{table['margin']['unlearnable']:.2f}",
        f"{100 * teacher['robust_accuracy_learnable']['mean']:.1f}",
    )


def _remarks(found: dict[str, Any], places: dict[str, dict[str, Any]]) -> list[str]:
    remarks = [
        f"[bold]dropped:[/] {plain(each['name'])}: {plain(reason)}"
        for each in found["teachers"]
        for reason in each["dropped"]
    ]
    first = next((each["name"] for each in places.values() if each["rank"] == 1), None)
    if first is None:
        remarks.append(
            "[bold red]no ranking:[/] every teacher failed a gate; add teachers, or change --gate-robust, "
            "--gate-informative, --gate-wrong"
        )
    elif places[first]["tied_with"]:
        others = plain(", ".join(places[first]["tied_with"]))
        remarks.append(
            f"[bold]tied:[/] {plain(first)} with {others}: their intervals overlap; the order among them is by robust "
            "accuracy on L"
        )
    for each in found["disagreements"]:
        remarks.append(
            f"[bold red]surfaces disagree:[/] {each['surface']} prefers {plain(each['prefers'])}, "
            f"{each['other_surface']} prefers {plain(each['other_prefers'])}: choose --surface by what the method "
            "shows its teacher"
        )
    return remarks
