"""Arguments and options that several verbs have, with one explanation each."""

from __future__ import annotations

from typing import Annotated

import typer

from robustill.cli import completion

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a recipe key, e.g. --set method.alpha=0.9. Repeatable.",
        autocompletion=completion.settings,
    ),
]
Model = Annotated[
    str, typer.Argument(help="A run folder, a .safetensors file, ARCH@file.pt ...", autocompletion=completion.models)
]
Last = Annotated[bool, typer.Option("--last", help="The last student of the run instead of the selected one.")]
References = Annotated[
    list[str] | None,
    typer.Option(metavar="RUN_OR_FILE", help="Take this trained model as a reference instead. Repeatable."),
]

RunData = Annotated[str | None, typer.Option(help="Data set; the run's own when left out.")]
Root = Annotated[str | None, typer.Option(help="Folder of the data set.")]
Split = Annotated[str, typer.Option(help="test, validation or train.")]
Images = Annotated[str, typer.Option(metavar="N|all", help="Only so many, as many of each class, drawn by --seed.")]
TrainingImages = Annotated[int | None, typer.Option(help="Only so many training images, as many of each class.")]

Radius = Annotated[str | None, typer.Option(help="Radius in [0, 1], e.g. 8/255; the run's own when left out.")]
RecipeRadius = Annotated[str | None, typer.Option(help="Radius in [0, 1], e.g. 8/255; the recipe's when left out.")]
Radii = Annotated[
    str | None,
    typer.Option(
        metavar="E1,E2,...", help="Radii in [0, 1], e.g. 0.01,0.03,2/255; 1/8, 1/4, 1/2 and 1 of the run's own."
    ),
]
Norm = Annotated[str | None, typer.Option(help="Linf or L2.")]
NoisyCopies = Annotated[int, typer.Option(help="Noisy copies per image, with --sigma.")]

BatchSize = Annotated[int, typer.Option(help="Images per batch: memory, and how much an interrupt costs.")]
Seed = Annotated[int, typer.Option(help="Seed of images, random starts and noise.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 for PyTorch's choice. One is best for small CNNs.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Figure = Annotated[str, typer.Option(help="Format of the figure: svg, png or pdf.")]
Figures = Annotated[str, typer.Option(help="Format of the figures: svg, png or pdf.")]
