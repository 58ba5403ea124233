"""The tables and figures of a study: everything in its folder that follows from its finished cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from robustill.study import curves, landscapes, results
from robustill.study.cells import Cell
from robustill.study.earlier import MAIN, Earlier
from robustill.study.folder import Store
from robustill.study.latex import to_latex
from robustill.study.sections import calibration_section, figure_section, landscape_section
from robustill.study.standings import draw
from robustill.study.summary import summarize, to_markdown
from robustill.study.table import StudyTable
from robustill.writing import write_json, write_whole

Rows = list[dict[str, Any]]


def write_tables(
    table: StudyTable,
    cells: Sequence[Cell],
    store: Store,
    out: Path,
    *,
    baselines: Mapping[str, str],
    missing: Sequence[str],
    earlier: Earlier,
) -> dict[str, Any]:
    """Write what the finished cells hold, and an earlier run's tables beside; return the summary.

    Args:
        table: The study's file.
        cells: One for each row and seed.
        store: Where they live.
        out: Folder of the tables.
        baselines: For each row that is compared with another one, that other one.
        missing: Cells without a result, with the reason.
        earlier: Rows of an earlier run, for cells that are not here.

    Raises:
        RobustillError: Something cannot be written.
    """
    rows = earlier.under(MAIN, results.rows(cells, store))
    summary = summarize(
        rows, name=table.name, title=table.title, baselines=baselines, missing=missing, split=table.evaluate.split
    )
    summary["earlier"] = earlier.names()
    results.write_csv(rows, out / MAIN)
    results.write_parquet(rows, out / "results.parquet")
    results.write_csv(results.cost_rows(cells, store), out / "costs.csv")
    calibration = earlier.under("calibration.csv", results.calibration_rows(cells, store))
    _write_or_remove(calibration, out / "calibration.csv")
    walked = _walked(table, cells, store, earlier)
    _write_or_remove(walked, out / "landscape.csv")
    figures = _figures(table, cells, store, out, summary, earlier)
    parts = [calibration_section(calibration), landscape_section(walked), figure_section(figures)]
    write_json(summary, out / "summary.json")
    write_whole(out / "summary.tex", [to_latex(summary).encode()])
    write_whole(out / "summary.md", ["\n".join([to_markdown(summary), *filter(None, parts)]).encode()])
    return summary


def _figures(
    table: StudyTable, cells: Sequence[Cell], store: Store, out: Path, summary: dict[str, Any], earlier: Earlier
) -> dict[str, str]:
    """Draw what there is; return the names of the files with what they show."""
    found = {}
    if len(summary["runs"]) > 1:
        draw(summary, {cell.variant.name for cell in cells if cell.recipe.teachers}, out / "results.svg")
        found["results.svg"] = "Where the students stand; dots are seeds, bars their means"
    if table.curves is not None:
        terms = [term for panel in table.curves.panels for term in panel]
        rows = earlier.under("curves.csv", curves.curve_rows(cells, store, terms, table.curves.runs))
        _write_or_remove(rows, out / "curves.csv")
        curves.draw(rows, table.curves.panels, out / "curves.svg")
        found["curves.svg"] = "Terms of training; a line for each seed"
    if table.landscape is not None:
        landscapes.draw(cells, store, out / "landscape.svg")
        earlier.copy("landscape.svg", out)
        found["landscape.svg"] = "The adversarial loss around the first seed's students"
    if table.ranking is not None:
        for name in ("ranking/ranking.json", "ranking/ranking.svg"):
            earlier.copy(name, out)
        found["ranking/ranking.svg"] = "Students over their teachers' entropy on the unlearnable set"
    return {name: says for name, says in found.items() if (out / name).is_file()}


def _walked(table: StudyTable, cells: Sequence[Cell], store: Store, earlier: Earlier) -> Rows:
    if table.landscape is None:
        return []
    return earlier.under("landscape.csv", landscapes.landscape_rows(cells, store))


def _write_or_remove(rows: Rows, path: Path) -> None:
    """A table without rows is no table: an older one must not look like a result."""
    if rows:
        results.write_csv(rows, path)
    else:
        path.unlink(missing_ok=True)
