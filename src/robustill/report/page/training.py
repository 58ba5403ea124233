"""The course of training: accuracies, losses, adaptive weights and temperatures, and robust overfitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robustill.drawing.lines import Line, Mark, line_chart
from robustill.report.page.content import Block, Cell, Figure, Table, Words
from robustill.report.page.folder import Run
from robustill.report.page.numbers import percent, plain_cell, share_cell, whole_cell
from robustill.report.page.warnings import selected

_NOT_TERMS = ("epoch", "step", "seconds", "lr")
_ADAPTIVE = {
    "w_": ("Weights", "weight"),
    "tau_": ("Temperatures", "temperature"),
    "H_": ("Entropies", "mean entropy, nats"),
}
_GROUPS = {
    "all": "training images",
    "learnable": "learnable training images",
    "unlearnable": "unlearnable training images",
}


def course(run: Run, id_: str) -> list[Block]:
    """Return validation accuracies with the selected and the last epoch, and the losses."""
    found: list[Block] = []
    judged = [line for line in run.epochs if "validation" in line]
    kinds = [kind for kind in ("clean", "robust") if judged and all(kind in line["validation"] for line in judged)]
    if kinds:
        found.append(_accuracies(run, judged, kinds, id_))
    terms = [name for name in _terms(run) if not name.startswith(tuple(_ADAPTIVE))]
    if run.epochs and terms:
        about = ", ".join(f"{name} ends at {run.epochs[-1][name]:.3g}" for name in terms) + "."
        caption = "Loss and its parts, unweighted; mean over the steps of each epoch."
        found.append(_over_epochs(run, terms, f"{id_}-loss", "Losses over the epochs", about, "loss", caption))
    return found


def _accuracies(run: Run, judged: Sequence[dict[str, Any]], kinds: list[str], id_: str) -> Figure:
    chosen, last = selected(run), judged[-1]
    best = last if chosen is None else chosen[0]
    epochs = [line["epoch"] + 1 for line in judged]
    lines = [
        Line(f"{kind} accuracy", epochs, [100 * line["validation"][kind] for line in judged])
        for kind in reversed(kinds)
    ]
    kept = ", ".join(f"{kind} {percent(best['validation'][kind])}" for kind in kinds)
    end = ", ".join(f"{kind} {percent(last['validation'][kind])}" for kind in kinds)
    about = f"Selected in epoch {best['epoch'] + 1}: {kept}. Last epoch, {last['epoch'] + 1}: {end}."
    same = best is last
    marks = [Mark(best["epoch"] + 1, "selected and last" if same else "selected")]
    marks += [] if same else [Mark(last["epoch"] + 1, "last")]
    svg = line_chart(
        f"{id_}-validation", "Accuracy on the validation split", about, lines, x_label="epoch",
        y_label="right predictions, %", y_range=(0.0, 100.0), marks=marks, whole=True,
    )  # fmt: skip
    rows = [
        (whole_cell(line["epoch"] + 1), *(share_cell(line["validation"][kind]) for kind in kinds)) for line in judged
    ]
    return Figure(svg, about, Table("Accuracy on the validation split by epoch, %", ("epoch", *kinds), rows))


def adaptive(run: Run, id_: str) -> list[Block]:
    """Return what an adaptive method made of its weights and temperatures."""
    found: list[Block] = []
    for prefix, (title, unit) in _ADAPTIVE.items():
        terms = [name for name in _terms(run) if name.startswith(prefix)]
        if terms and run.epochs:
            ends = ", ".join(f"{_short(name, prefix)} from {run.epochs[0][name]:.3g} to {run.epochs[-1][name]:.3g}"
                             for name in terms)  # fmt: skip
            caption = f"{title} of the teachers' parts, mean over the steps of each epoch: {ends}."
            id_of = f"{id_}-{prefix.rstrip('_').lower()}"
            found.append(_over_epochs(run, terms, id_of, f"{title} over the epochs", caption, unit, caption, prefix))
    return found


def _short(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)


def _terms(run: Run) -> list[str]:
    """Return the names of the numbers that every epoch has."""
    if not run.epochs:
        return []
    names = [key for key, value in run.epochs[0].items() if isinstance(value, float) and key not in _NOT_TERMS]
    return [name for name in names if all(isinstance(line.get(name), int | float) for line in run.epochs)]


def _over_epochs(
    run: Run, terms: list[str], id_: str, title: str, about: str, unit: str, caption: str, prefix: str = ""
) -> Figure:
    epochs = [line["epoch"] + 1 for line in run.epochs]
    lines = [Line(_short(name, prefix), epochs, [line[name] for line in run.epochs]) for name in terms]
    values = [value for line in lines for value in line.y if value is not None]
    svg = line_chart(
        id_, title, about, lines, x_label="epoch", y_label=unit, y_range=(min(0.0, *values), max(values)), whole=True
    )
    rows = [(whole_cell(line["epoch"] + 1), *(plain_cell(line[name]) for name in terms)) for line in run.epochs]
    return Figure(svg, caption, Table(title, ("epoch", *(_short(name, prefix) for name in terms)), rows))


def overfitting(run: Run, id_: str) -> list[Block]:
    """Return robust accuracy on training and validation images, and how far it falls after its best epoch."""
    diagnostics = run.content("diagnostics")
    if diagnostics is None or "overfitting" not in diagnostics:
        return []
    found = diagnostics["overfitting"]
    epochs, best, last = [epoch + 1 for epoch in found["epochs"]], found["best"], found["last"]
    groups = {"validation images": found["validation"]}
    groups |= {_GROUPS.get(name, name): each for name, each in found["train"].items()}
    lines = [Line(_sized(name, each), epochs, [100 * v for v in each["robust"]]) for name, each in groups.items()]
    noise = "" if found["noise"] is None else f"; differences of up to {100 * found['noise']:.1f} points are noise"
    words = (
        f"Robust accuracy on validation images is best in epoch {best['epoch'] + 1} with {percent(best['robust'])} and "
        f"{percent(last['robust'])} at the end: a gap of {100 * found['gap']:.1f} points{noise}. Robust accuracy that "
        "rises on training images while it falls on validation images is memorised."
    )
    svg = line_chart(
        f"{id_}-overfitting", "Robust accuracy on training and validation images", words, lines, x_label="epoch",
        y_label="right under PGD, %", y_range=(0.0, 100.0), marks=[Mark(best["epoch"] + 1, "best")], whole=True,
    )  # fmt: skip
    return [Words(words), Figure(svg, "Robust accuracy by epoch.", _split(found, groups))]


def _sized(name: str, scores: dict[str, Any]) -> str:
    return name if scores["images"] is None else f"{name} ({scores['images']:,})"


def _split(found: dict[str, Any], groups: dict[str, dict[str, Any]]) -> Table:
    def at(k: int) -> list[Cell]:
        return [share_cell(each["robust"][k]) for each in groups.values()]

    rows = [(whole_cell(epoch + 1), *at(k)) for k, epoch in enumerate(found["epochs"])]
    return Table("Robust accuracy by epoch, %", ("epoch", *groups), rows)
