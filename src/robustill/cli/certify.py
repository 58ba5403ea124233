"""`certify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from robustill.cli import completion
from robustill.cli.app import Json, app
from robustill.cli.tables import plain, print_json, print_table
from robustill.cli.targets import check_format, find_targets, image_count


@app.command()
def certify(
    model: Annotated[
        str,
        typer.Argument(help="A run folder, a .safetensors file, ARCH@file.pt ...", autocompletion=completion.models),
    ],
    eps: Annotated[
        str | None,
        typer.Option(
            metavar="E1,E2,...", help="Radii in [0, 1], e.g. 0.01,0.03,2/255; 1/8, 1/4, 1/2 and 1 of the run's own."
        ),
    ] = None,
    norm: Annotated[str | None, typer.Option(help="Linf or L2.")] = None,
    bounds: Annotated[
        str, typer.Option(help="crown, crown-ibp, ibp (each looser and faster), or none (attacks alone).")
    ] = "crown",
    sigma: Annotated[
        float | None,
        typer.Option(help="With --norm L2: certify the network smoothed by Gaussian noise of this deviation instead."),
    ] = None,
    samples: Annotated[int, typer.Option(help="Noisy copies per image, with --sigma.")] = 10_000,
    alpha: Annotated[float, typer.Option(help="Chance that a certificate of --sigma is wrong, per image.")] = 0.001,
    data: Annotated[str | None, typer.Option(help="Data set; the run's own when left out.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder of the data set.")] = None,
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    images: Annotated[
        str, typer.Option(metavar="N|all", help="Only so many, as many of each class, drawn by --seed.")
    ] = "200",
    steps: Annotated[int, typer.Option(help="Steps of the attacks, PGD on cross-entropy and margin.")] = 40,
    restarts: Annotated[int, typer.Option(help="Runs of each attack, one from the image.")] = 5,
    batch_size: Annotated[int, typer.Option(help="Images per batch: memory, and how much an interrupt costs.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of images, random starts and noise.")] = 0,
    threads: Annotated[int, typer.Option(help="CPU threads; 0 for PyTorch's choice. One is best for small CNNs.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    figures: Annotated[str, typer.Option(help="Format of the figure: svg, png or pdf.")] = "svg",
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
