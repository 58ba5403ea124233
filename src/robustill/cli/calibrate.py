"""`calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from robustill.cli import completion
from robustill.cli.app import app
from robustill.cli.options import (
    BatchSize,
    Device,
    Figure,
    Images,
    Json,
    Model,
    NoisyCopies,
    Norm,
    Radii,
    Root,
    Seed,
    Split,
    Threads,
)
from robustill.cli.tables import plain, print_json, print_table
from robustill.cli.targets import check_format, find_targets, image_count


@app.command()
def calibrate(
    student: Model,
    teacher: Annotated[
        str,
        typer.Argument(help="Another one, with the same classes in the same order.", autocompletion=completion.models),
    ],
    eps: Radii = None,
    norm: Norm = None,
    bounds: Annotated[
        str,
        typer.Option(help="Certificates: crown, crown-ibp, ibp (each looser and faster), or none (attacks alone)."),
    ] = "crown",
    points: Annotated[
        str, typer.Option(help="The numbers are about images that the teacher, the student or both get right.")
    ] = "teacher",
    sigma: Annotated[
        float | None, typer.Option(help="With --norm L2: also certify the pair smoothed by noise of this deviation.")
    ] = None,
    samples: NoisyCopies = 10_000,
    data: Annotated[str | None, typer.Option(help="Data set; the student's own when left out.")] = None,
    root: Root = None,
    split: Split = "test",
    images: Images = "200",
    steps: Annotated[int, typer.Option(help="Steps of each attack.")] = 40,
    restarts: Annotated[int, typer.Option(help="Runs of the attacks on the confidence gap, one from the image.")] = 5,
    targets: Annotated[int, typer.Option(help="Classes that the disagreement attack tries, at most.")] = 9,
    temperature: Annotated[float, typer.Option(help="Logits are divided by it before the softmax.")] = 1.0,
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    threads: Threads = 0,
    device: Device = "auto",
    figures: Figure = "svg",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of calibration.json and figure; the student's run when there is one."),
    ] = None,
    json_out: Json = False,
) -> None:
    """Did the student keep its teacher's confidence and class? Attacked from below, certified from above.

    With D = p_student - p_teacher, the confidences in the true class at the same image: relative calibration is the
    largest |D| within eps of an image, overconfidence the largest D (the dangerous side), underconfidence the largest
    -D. The truth lies between the two numbers of each cell: an attack found the first one, and no image within eps
    exceeds the second one. Agreement is the share of images around which both give the same class everywhere:
    certified first, not refuted second.

    Upper ends near 1 say nothing: take smaller radii, tighter bounds, or smoothing (--norm L2 --sigma 0.25).

    A call that was cut off goes on where it was; further radii and other bounds are added to what is there.

    Example: robustill calibrate runs/student runs/teacher --eps 0.01,0.03,0.05 --images 500 --figures png
    """
    check_format(figures)
    count = image_count(images)
    from robustill.diagnostics.bracket import calibrate as run
    from robustill.evaluation import is_first
    from robustill.report.bracket import draw_bracket
    from robustill.training.device import cpu_threads

    found = find_targets(
        (student, teacher), data=data, root=root, eps=eps, norm=norm, device=device, out=out
    )  # fmt: skip
    ours, theirs = found.networks
    with cpu_threads(threads):
        result = run(
            ours, theirs, found.data, found.eps, norm=found.norm, bounds=bounds, points=points, split=split,  # type: ignore[arg-type]
            images=count, steps=steps, restarts=restarts, targets=targets, temperature=temperature, sigma=sigma,
            samples=samples, batch_size=batch_size, seed=seed, device=str(found.device), out=found.out,
        )  # fmt: skip
    if not is_first():
        return
    values = result.to_json()
    if found.out is not None:
        draw_bracket(values, found.out / f"calibration.{figures}")
    if json_out:
        print_json(values)
    else:
        _print(student, teacher, values, found.out)


def _print(student: str, teacher: str, values: dict[str, Any], out: Path | None) -> None:
    console, points, radii = Console(soft_wrap=True), values["points"], values["radii"]
    who = {"teacher": "the teacher gets", "student": "the student gets", "both": "both get"}[points["right"]]
    title = f"{student} beside {teacher}: {points['count']} of {values['images']} images, those that {who} right"
    rows = [_clean_row(values["clean"]), *(_row(each, values["bounds"] is not None) for each in radii)]
    print_table(title, ["eps", "relative calibration", "95% interval", "same class, %"], rows)
    signed = [(f"{each['eps']:.4g}", _bracket(each["over"]), _bracket(each["under"])) for each in radii]
    print_table("mean largest lead of one confidence over the other", ["eps", "student's", "teacher's"], signed)
    alone = [_alone("0", values["clean"]), *(_alone(f"{each['eps']:.4g}", each) for each in radii)]
    title = f"student (S) and teacher (T) alone, under attack, on all {values['images']} images"
    print_table(title, ["eps", "S right, %", "T right, %", "S calibration error", "T calibration error"], alone)
    for each in values.get("smoothed", {}).get("radii", []):
        console.print(f"smoothed pair, eps {each['eps']:.4g}: {_smoothed(each)}", highlight=False)
    if points["count"] == 0:
        console.print("[bold red]nothing to compare:[/] none of these images is classified right", highlight=False)
    elif points["small_sample"]:
        console.print(f"[bold red]small sample:[/] {points['count']} images; intervals are too narrow", highlight=False)
    if out is not None:
        console.print(f"{plain(str(out))}: calibration.json and a figure, {values['seconds']:g} s", highlight=False)


def _clean_row(clean: dict[str, Any]) -> tuple[str, ...]:
    size = clean["calibration"]
    if size["mean"] is None:
        return "0", "-", "-", "-"
    return "0", f"{size['mean']:.3f}", _ends(*size["interval"]), f"{100 * clean['agreement']['share']:.1f}"


def _row(each: dict[str, Any], certified: bool) -> tuple[str, ...]:
    eps, ends, agreement = f"{each['eps']:.4g}", each["calibration"], each["agreement"]
    if ends["lower"]["mean"] is None:
        return eps, "-", "-", "-"
    low, found = ends["lower"]["interval"][0], 100 * agreement["found"]["share"]
    if not certified:
        return eps, _bracket(ends), f"from {low:.3f}", f"at most {found:.1f}"
    sure = 100 * agreement["certified"]["share"]
    return eps, _bracket(ends), _ends(low, ends["upper"]["interval"][1]), f"{sure:.1f} to {found:.1f}"


def _bracket(ends: dict[str, Any]) -> str:
    low, high = ends["lower"]["mean"], ends["upper"]["mean"]
    if low is None:
        return "-"
    return _ends(low, high) if high is not None else f"at least {low:.3f}"


def _ends(low: float, high: float) -> str:
    # Adding 0 makes a rounded -0.0 a 0.0.
    return f"{round(low, 3) + 0.0:.3f} to {round(high, 3) + 0.0:.3f}"


def _alone(eps: str, each: dict[str, Any]) -> tuple[str, ...]:
    both = [each["networks"][name] for name in ("student", "teacher")]
    right = [f"{100 * one['accuracy']:.1f}" for one in both]
    return eps, *right, *(f"{one['calibration_error']['error']:.3f}" for one in both)


def _smoothed(each: dict[str, Any]) -> str:
    if each["calibration"]["upper"]["mean"] is None:
        return "-"
    return (
        f"relative calibration at most {each['calibration']['upper']['mean']:.3f}, "
        f"same class certified for {100 * each['agreement']['certified']['share']:.1f} %"
    )
