"""Teachers by their entropy on what the student cannot learn, as a figure."""

from __future__ import annotations

from math import log
from pathlib import Path
from typing import Any

from robustill.report.figure import save_figure

_SURFACES = {
    "clean": ("clean images", "o", "C0"),
    "student": ("crafted on the student", "s", "C3"),
    "teacher": ("crafted on the teacher", "^", "C2"),
}


def draw_teachers(ranking: dict[str, Any], path: str | Path) -> None:
    """Draw the entropy on the unlearnable set on three surfaces, that on the learnable one, and what gates said.

    Args:
        ranking: Content of a `teachers.json`.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    from matplotlib.figure import Figure

    places = {each["name"]: each["rank"] for each in ranking["ranking"]}
    teachers = sorted(ranking["teachers"], key=lambda each: _place(each, ranking))
    figure = Figure(figsize=(9, 1.9 + 0.62 * len(teachers)), layout="constrained")
    axes = figure.add_subplot()
    for k, teacher in enumerate(teachers):
        _draw_one(axes, k, teacher, ranking["surface"])
    labels = [_label(each, places) for each in teachers]
    axes.set_yticks(range(len(teachers)), labels, fontsize=8)
    for tick, teacher in zip(axes.get_yticklabels(), teachers, strict=True):
        tick.set_color("0.5" if teacher["dropped"] else "black")
    axes.set(ylim=(len(teachers) - 0.5, -0.5), xlabel=f"mean entropy of the teacher, nats (temperature {_t(ranking)})")
    top = _largest(teachers[0])
    axes.set_xlim(-0.02 * top, 1.04 * top)
    axes.axvline(top, color="0.6", linestyle=":", linewidth=1)
    axes.annotate("uniform", (top, 1.0), xycoords=("data", "axes fraction"), fontsize=7, color="0.4", ha="center",
                  xytext=(0, 2), textcoords="offset points")  # fmt: skip
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(*_legend(axes), fontsize=8, loc="outside lower center", ncols=4)
    sizes = ranking["sizes"]
    figure.suptitle(
        f"{ranking['data']}: {sizes['unlearnable']} unlearnable and {sizes['learnable']} learnable images; ranked by "
        f"{ranking['criterion'].replace('_', ' ')}, {_SURFACES[ranking['surface']][0]}",
        fontsize=9,
    )
    save_figure(figure, path)


def _draw_one(axes: Any, k: int, teacher: dict[str, Any], surface: str) -> None:
    faded = 0.35 if teacher["dropped"] else 1.0
    for number, (name, table) in enumerate(teacher["surfaces"].items()):
        label, marker, color = _SURFACES[name]
        where = k + 0.2 * (number - (len(teacher["surfaces"]) - 1) / 2)
        score = table["entropy"]["unlearnable"]
        if score["mean"] is None:
            continue
        ranks = name == surface
        axes.plot(score["interval"], [where] * 2, color=color, alpha=faded, linewidth=2.5 if ranks else 1)
        axes.plot(score["mean"], where, marker, color=color, alpha=faded, label=f"unlearnable, {label}",
                  markersize=8 if ranks else 5, markerfacecolor=color if ranks else "white")  # fmt: skip
        if ranks and table["entropy"]["learnable"]["mean"] is not None:
            axes.plot(table["entropy"]["learnable"]["mean"], where, "|", color="0.3", alpha=faded, markersize=13,
                      markeredgewidth=2, label="learnable, ranking surface")  # fmt: skip


def _place(teacher: dict[str, Any], ranking: dict[str, Any]) -> tuple[bool, int]:
    order = [each["name"] for each in ranking["ranking"]]
    return bool(teacher["dropped"]), order.index(teacher["name"]) if teacher["name"] in order else 0


def _label(teacher: dict[str, Any], places: dict[str, int]) -> str:
    name = teacher["name"]
    shown = name if len(name) <= 34 else f"...{name[-31:]}"
    return f"{shown}\n" + ("dropped" if teacher["dropped"] else f"rank {places[name]}")


def _largest(teacher: dict[str, Any]) -> float:
    return log(teacher["classes"])


def _t(ranking: dict[str, Any]) -> str:
    return f"{ranking['temperature']:g}"


def _legend(axes: Any) -> tuple[list[Any], list[str]]:
    handles, labels = axes.get_legend_handles_labels()
    # The first of each label is of the best teacher, which is not faded.
    found = dict(zip(labels[::-1], handles[::-1], strict=True))
    return list(found.values())[::-1], list(found)[::-1]
