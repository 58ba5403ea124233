"""`certify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

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
    RunData,
    Seed,
    Split,
    Threads,
)
from robustill.cli.tables import plain, print_json, print_table
from robustill.cli.targets import check_format, find_targets, image_count


@app.command()
def certify(
    model: Model,
    eps: Radii = None,
    norm: Norm = None,
    bounds: Annotated[
        str, typer.Option(help="crown, crown-ibp, ibp (each looser and faster), or none (attacks alone).")
    ] = "crown",
    sigma: Annotated[
        float | None,
        typer.Option(help="With --norm L2: certify the network smoothed by Gaussian noise of this deviation instead."),
    ] = None,
    samples: NoisyCopies = 10_000,
    alpha: Annotated[float, typer.Option(help="Chance that a certificate of --sigma is wrong, per image.")] = 0.001,
    data: RunData = None,
    root: Root = None,
    split: Split = "test",
    images: Images = "200",
    steps: Annotated[int, typer.Option(help="Steps of the attacks, PGD on cross-entropy and margin.")] = 40,
    restarts: Annotated[int, typer.Option(help="Runs of each attack, one from the image.")] = 5,
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    threads: Threads = 0,
    device: Device = "auto",
    figures: Figure = "svg",
    out: Annotated[
        Path | None, typer.Option(help="Folder of certification.json and the figure; the run folder when there is one.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Certified accuracy: the share of images that no perturbation within eps can make wrong, proved.

    Robust accuracy lies between the certified accuracy and what attacks leave. Networks that were trained by PGD are
    certified at small radii only; that nothing is certified does not mean that anything is broken. With --norm L2
    --sigma S, another network is certified: the one that gives the most frequent class under noise (train with it).

    A call that was cut off goes on where it was; further radii and other bounds are added to what is there.

    Example: robustill certify runs/student --eps 0.01,0.03,2/255 --images 500
    """
    check_format(figures)
    count = image_count(images)
    from robustill.diagnostics.bracket import certify as run
    from robustill.evaluation import is_first
    from robustill.report.certified import draw_certified
    from robustill.training.device import cpu_threads

    found = find_targets((model,), data=data, root=root, eps=eps, norm=norm, device=device, out=out)
    with cpu_threads(threads):
        result = run(
            found.networks[0], found.data, found.eps, norm=found.norm, bounds=bounds, sigma=sigma, samples=samples,  # type: ignore[arg-type]
            alpha=alpha, split=split, images=count, steps=steps, restarts=restarts, batch_size=batch_size, seed=seed,
            device=str(found.device), out=found.out,
        )  # fmt: skip
    if not is_first():
        return
    values = result.to_json()
    if found.out is not None:
        draw_certified(values, found.out / f"certification.{figures}")
    if json_out:
        print_json(values)
    else:
        _print(model, values, found.out)


def _print(model: str, values: dict[str, Any], out: Path | None) -> None:
    console, norm = Console(soft_wrap=True), values["threat"]["norm"]
    rows = [("0", "", "", *_cells(values["clean"]))]
    rows += [(f"{each['eps']:.4g}", *_cells(each["certified"]), *_cells(each["attacked"])) for each in values["radii"]]
    how = {None: "nothing", "smoothing": "smoothing"}.get(values["bounds"], values["bounds"])
    title = f"{model}: accuracy in % on {values['images']} images by {norm} eps, certified by {how}"
    print_table(title, ["eps", "certified", "95% interval", "attacked", "95% interval"], rows)
    if "smoothed" in values:
        smoothed = values["smoothed"]
        console.print(
            f"this is about the network smoothed with sigma {smoothed['sigma']:g}: right on "
            f"{100 * smoothed['accuracy']:.1f} %, undecided on {100 * smoothed['abstains']:.1f} %", highlight=False,
        )  # fmt: skip
    if values["small_sample"]:
        console.print(f"[bold red]small sample:[/] {values['images']} images", highlight=False)
    if out is not None:
        console.print(f"{plain(str(out))}: certification.json and a figure, {values['seconds']:g} s", highlight=False)


def _cells(entry: dict[str, Any] | None) -> tuple[str, str]:
    if entry is None:
        return "-", "-"
    return f"{100 * entry['accuracy']:.2f}", "{:.1f} to {:.1f}".format(*(100 * end for end in entry["interval"]))
