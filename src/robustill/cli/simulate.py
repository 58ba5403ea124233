"""`simulate`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from robustill.cli.app import app
from robustill.cli.options import Figures, Json
from robustill.cli.tables import number, plain, print_json, print_table, write_json
from robustill.errors import InputError, nearest

if TYPE_CHECKING:
    from robustill.theory import Case, Settings

_FORMATS = ("svg", "png", "pdf")
_AT_ONCE = 64
_GRID = {
    "peak": "peak",
    "final": "final",
    "gap": "gap",
    "signal": "signal",
    "noise_unlearnable": "noise U",
    "noise_learnable": "noise L",
}
_SWEEP = {
    "entropy_unlearnable": "H U",
    "entropy_learnable": "H L",
    "final": "final",
    "gap": "gap",
    "noise_unlearnable": "noise U",
}
_SPREAD = ("gap", "noise_unlearnable")


@app.command()
def simulate(
    teachers: Annotated[
        str, typer.Option(help="Comma-separated: hard (labels, no teacher), confident, uncertain, or a margin, e.g. 2.")
    ] = "hard,confident,uncertain",
    p_unlearnable: Annotated[
        str | None, typer.Option(help="Shares of unlearnable samples. Left out: 0,0.15; theory regime 0,0.02.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds; of one seed, all runs share data, start and order.")] = "0,1,2",
    margins: Annotated[
        str | None,
        typer.Option(
            help="Sweep: teachers' logit margins on unlearnable samples (10 on the others; below 0: wrong side). "
            " Left out: 0,0.5,1,1.5,2,3,4,6,10,-2,-10."
        ),
    ] = None,
    uninformative: Annotated[
        str | None, typer.Option(help="Sweep: margins of teachers that have it on all samples. Left out: 0,.25,.5,1,2.")
    ] = None,
    sweep: Annotated[bool, typer.Option(help="Also the sweep of teachers, for the entropy figure.")] = True,
    sweep_p: Annotated[
        float | None, typer.Option(help="The sweep's share of unlearnable samples; the largest when left out.")
    ] = None,
    regime: Annotated[
        str, typer.Option(help="experiment: the paper's simulation. theory: the setting of its theorems.")
    ] = "experiment",
    steps: Annotated[int | None, typer.Option(help="Training steps. Left out: 4000; theory 3000.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate. Left out: 0.01; theory 0.2.")] = None,
    eps: Annotated[str, typer.Option(help="Linf radius of both attacks.")] = "0.5",
    alpha: Annotated[float, typer.Option(help="Length of the signal.")] = 5.0,
    noise: Annotated[float, typer.Option(help="Standard deviation of the noise.")] = 0.4,
    filters: Annotated[int | None, typer.Option(help="Filters per class. Left out: 80; theory 40.")] = None,
    train: Annotated[int, typer.Option(help="Training samples.")] = 200,
    test: Annotated[int, typer.Option(help="Test samples.")] = 300,
    evaluate_every: Annotated[
        int,
        typer.Option(help="Steps between evaluations; most of the time goes there. Training does not depend on it."),
    ] = 100,
    workers: Annotated[int | None, typer.Option(help="Cores that evaluate; all, up to eight, when left out.")] = None,
    figures: Figures = "svg",
    out: Annotated[Path, typer.Option(help="Folder of simulation.json and the figures.")] = Path("runs/simulation"),
    json_out: Json = False,
) -> None:
    """Why robust teachers fail, in a model small enough to see it: two-layer students on patches of signal and noise.

    Some training samples are robustly unlearnable: this student cannot see their signal. If its labels are sure of them
    (hard labels, a confident teacher), it fits them by memorising their noise, and its robust test accuracy falls
    although it had been reached: robust overfitting. If the teacher is uncertain there, nothing falls. A sweep of
    teachers shows when entropy on these samples predicts that, and when it does not.

    Mind the threat models: the adversary of training moves only the signal's coordinate, that of the test all. Trained
    against the latter, this student did not overfit where it was tried; this is no model of PGD adversarial training.

    Writes simulation.json, accuracies, responses and entropy (figures); all runs learn side by side, in half a minute.

    Example: robustill simulate --p-unlearnable 0,0.05,0.1,0.15,0.2 --figures png
    """
    from robustill.theory import MARGINS, UNINFORMATIVE, Settings, find_teacher, grid
    from robustill.theory import sweep as zoo
    from robustill.theory.batch import check_workers

    if figures not in _FORMATS:
        raise InputError(f"there is no figure format {figures!r}", nearest(figures, _FORMATS))
    own = {"steps": steps, "lr": lr, "filters": filters}
    settings = Settings.of_regime(
        regime, eps=number("--eps", eps), alpha=alpha, noise=noise, train=train, test=test,
        evaluate_every=evaluate_every, **{key: value for key, value in own.items() if value is not None},
    )  # fmt: skip
    shares = _numbers("--p-unlearnable", p_unlearnable, [0.0, 0.02 if settings.theory else 0.15])
    chosen = [_whole("--seeds", seed) for seed in _parts(seeds)]
    cases = grid([find_teacher(name) for name in _parts(teachers)], shares, chosen)
    swept: list[Case] = []
    if sweep:
        some = _numbers("--margins", margins, MARGINS), _numbers("--uninformative", uninformative, UNINFORMATIVE)
        swept = grid(zoo(*some), [_sweep_share(sweep_p, shares)], chosen)
    found = _run(list(dict.fromkeys(cases)), list(dict.fromkeys(swept)), settings, check_workers(workers), out)
    _draw(found, out, figures)
    if json_out:
        print_json(found)
    else:
        _print(found, out)


def _run(cases: Sequence[Case], swept: Sequence[Case], settings: Settings, workers: int, out: Path) -> dict[str, Any]:
    """Run all cases, the grid's first; `simulation.json` is written whenever a batch is finished."""
    from robustill.theory import check_cases, record, simulate
    from robustill.writing import make_folder

    check_cases(cases)
    check_cases([*cases, *swept])
    make_folder(out)
    began, file, found, content = time.monotonic(), out / "simulation.json", dict[Any, Any](), dict[str, Any]()
    try:
        for part in (cases, [case for case in swept if case not in set(cases)]):
            for start in range(0, len(part), _AT_ONCE):
                for outcome in simulate(part[start : start + _AT_ONCE], settings, workers=workers):
                    found[outcome.case] = outcome
                done, zoo = ([found[case] for case in some if case in found] for some in (cases, swept))
                content = record(done, zoo, settings, round(time.monotonic() - began, 1))
                write_json(content, file)
    except KeyboardInterrupt as error:
        kept = f"; {file} holds the {len(found)} runs that were finished" if found else ""
        raise KeyboardInterrupt(f"interrupted{kept}") from error
    return content


def _draw(found: dict[str, Any], out: Path, ending: str) -> None:
    from robustill.report.dynamics import draw_accuracies, draw_responses
    from robustill.report.entropy import draw_entropy

    draw_accuracies(found, out / f"accuracies.{ending}")
    draw_responses(found, out / f"responses.{ending}")
    if found["sweep"] is not None:
        draw_entropy(found, out / f"entropy.{ending}")


def _print(found: dict[str, Any], out: Path) -> None:
    grid, sweep, console = found["grid"], found["sweep"], Console(soft_wrap=True)
    rows = [
        (f"{p:g}", name, *_cells(found, name, p, _GRID)) for p in grid["p_unlearnable"] for name in grid["teachers"]
    ]
    title = "Robust test accuracy in % and largest responses; mean ± sd over seeds, p unlearnable"
    print_table(title, ["p", "labels", *_GRID.values()], rows)
    if sweep is not None:
        rows = [(name, *_cells(found, name, sweep["p_unlearnable"], _SWEEP)) for name in sweep["teachers"]]
        title = (
            f"Sweep of teachers, p {sweep['p_unlearnable']:g}: entropy H on unlearnable (U) and learnable (L) samples"
        )
        print_table(title, ["teacher", *_SWEEP.values()], rows)
        rho = {name: "-" if value is None else f"{value:.3f}" for name, value in sweep["spearman"].items()}
        console.print(
            f"Spearman of H U with the final accuracy: {rho['entropy']} (with wrong-side teachers "
            f"{rho['entropy_with_wrong']}, with all {rho['entropy_with_all']}); of H U - H L, with all: "
            f"{rho['contrast_with_all']}",
            highlight=False,
        )
    console.print(f"[bold]mind:[/] {plain(found['caveat'])}", highlight=False)
    console.print(f"{plain(str(out))}: simulation.json and figures, {found['seconds']:g} s", highlight=False)


def _cells(found: dict[str, Any], teacher: str, share: float, keys: Iterable[str]) -> list[str]:
    runs = [run for run in found["runs"] if (run["teacher"], run["p_unlearnable"]) == (teacher, share)]
    return [_cell(key, [run[key] for run in runs if run[key] is not None]) for key in keys]


def _cell(key: str, values: list[float]) -> str:
    if not values:
        return "-"
    scale, digits = (100, 1) if key in ("peak", "final", "gap") else (1, 3 if key.startswith("entropy") else 2)
    spread = f"±{scale * statistics.stdev(values):.{digits}f}" if key in _SPREAD and len(values) > 1 else ""
    # Adding 0 makes a rounded -0.0 a 0.0.
    return f"{round(scale * statistics.fmean(values), digits) + 0.0:.{digits}f}{spread}"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(option: str, text: str | None, default: Sequence[float]) -> Sequence[float]:
    return default if text is None else [number(option, part) for part in _parts(text)]


def _whole(option: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise InputError(f"{option}: {text!r} is not a whole number", "write 0,1,2") from error


def _sweep_share(share: float | None, shares: Sequence[float]) -> float:
    chosen = max(shares, default=0.0) if share is None else share
    if not chosen > 0:
        raise InputError(
            "the sweep compares teachers on unlearnable samples, but there are none",
            "give --sweep-p, e.g. 0.15, or --no-sweep",
        )
    return chosen
