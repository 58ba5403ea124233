"""Parts of summary.md beyond accuracies."""

import re
from pathlib import Path
from typing import Any

import pytest

from robustill.study import Study, standings
from robustill.study.schedule import Schedule, jobs_of
from robustill.study.sections import calibration_section, figure_section, landscape_section
from tests.study.small import TEACHERS, Inline, Silent, opened, pretend

RUNS = '[runs.rslad]\nrecipe = "digits_rslad_cnn-small"\n' + TEACHERS


@pytest.fixture
def study(tmp_path: Path) -> Study:
    found = opened(tmp_path, RUNS, 'baseline = "robust"')
    found._prepare()
    Schedule(jobs_of(found.cells.all(), found.store), found.store, Inline(pretend()), Silent(), retries=0).run()
    found.write()
    return found


def test_the_page_shows_the_figure_that_lies_beside_it(study: Study) -> None:
    text = (study.out / "summary.md").read_text()
    links = re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)
    assert links == ["results.svg"]
    drawn = (study.out / "results.svg").read_text()
    for name in ("rslad", "robust", "clean"):
        assert f"<!-- {name} -->" in drawn
    # Both pictures and tables follow from the cells alone.
    study.write()
    assert (study.out / "results.svg").read_text() == drawn
    assert (study.out / "summary.md").read_text() == text


def test_the_figure_has_the_numbers_of_the_summary(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(standings, "draw_standing", lambda *args, **options: found.append((*args, options)))
    summary = study.write()
    rows, path, options = found[0]
    assert (path, options) == (study.out / "results.svg", {"attack": "worst case", "base": "robust"})
    by_name = {row.name: row for row in rows}
    assert {name: row.taught for name, row in by_name.items()} == {"rslad": True, "robust": False, "clean": False}
    best = summary["runs"]["rslad"]["best"]
    assert by_name["rslad"].robust == [100 * each for each in best["robust"]["seeds"].values()]
    assert by_name["rslad"].clean == [100 * each for each in best["clean"]["seeds"].values()]
    pair = {"difference": 0.02, "interval": [-0.01, 0.05]}
    summary["paired"]["rslad"]["best"]["robust"] = pair
    standings.draw({**summary, "baselines": {"rslad": "robust", "clean": "rslad"}}, (), path)
    row, base = next(row for row in found[1][0] if row.name == "rslad"), found[1][2]["base"]
    assert (row.less, row.interval, row.taught, base) == (2.0, [-1.0, 5.0], False, "its base")


def test_calibration_over_seeds_by_radius() -> None:
    row = {"calibration_certified": 0.2, "agreement_found": 0.9}
    rows = [
        {"run": "ard", "seed": s, "eps": eps, "calibration_found": v, "agreement_certified": v / 2, **row}
        for eps, values in ((0.1, (0.3, 0.5)), (0.05, (0.1, 0.2)))
        for s, v in enumerate(values)
    ]
    rows.append({**rows[0], "run": "rslad", "calibration_certified": None})
    text = calibration_section(rows)
    assert text.index("eps 0.05:") < text.index("eps 0.1:")
    assert "| ard | 2 | 0.1500 ± 0.0707 | 0.2000 ± 0.0000 | 7.50 ± 3.54 | 90.00 ± 0.00 |" in text
    assert "| rslad | 1 | 0.3000 | - | 15.00 | 90.00 |" in text


def test_flatness_over_seeds() -> None:
    rows = [
        {"run": "ard", "seed": s, "radius": 0.2, "loss": 1.0, "rise": 0.1 + s, "robust_drop": 0.02} for s in range(2)
    ]
    text = landscape_section(rows)
    assert "0.2 lengths of the weights away" in text
    assert "| ard | 2 | 1.000 ± 0.000 | 0.600 ± 0.707 | 2.00 ± 0.00 |" in text
    assert landscape_section([]) == figure_section({}) == ""
