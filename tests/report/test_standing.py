"""Figures of standings and claims: what is drawn, and where."""

from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes

from robustill.report.standing import Standing, draw_claims, draw_standing

ROWS = [
    Standing("rslad", [84.0, 83.0], [70.0, 72.0]),
    Standing("trades", [82.0, 80.0], [69.0, 67.0], False, -3.0, [-4.5, -1.5]),
    Standing("standard", [90.0, 91.0], [0.0, 1.0], False, -70.5, [-71.0, -70.0]),
]


@pytest.fixture
def plotted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any, str]]:
    """Return what is plotted: places along both axes, and the mark."""
    found: list[tuple[Any, Any, str]] = []
    plot = Axes.plot

    def watched(self: Axes, *args: Any, **options: Any) -> Any:
        found.append((args[0], args[1], args[2]))
        return plot(self, *args, **options)

    monkeypatch.setattr(Axes, "plot", watched)
    return found


def test_a_line_for_each_row(tmp_path: Path, plotted: list[tuple[Any, Any, str]]) -> None:
    draw_standing(ROWS, tmp_path / "figure.svg", attack="AutoAttack", base="rslad")
    text = (tmp_path / "figure.svg").read_text()
    for name in ("rslad", "trades", "standard", "AutoAttack, %", "AutoAttack less that of rslad, points", "without"):
        assert f"<!-- {name} -->" in text
    assert ([70.0, 72.0], [0, 0], "o") in plotted
    assert (71.0, 0, "|") in plotted
    assert (81.0, 1, "|") in plotted
    assert ([-4.5, -1.5], [1, 1], "-") in plotted
    assert (-3.0, 1, "o") in plotted


def test_a_student_without_robustness_does_not_squeeze_the_others(
    tmp_path: Path, plotted: list[tuple[Any, Any, str]]
) -> None:
    draw_standing(ROWS, tmp_path / "figure.svg", attack="AutoAttack", base="rslad")
    assert "<!-- ← 0.5 -->" in (tmp_path / "figure.svg").read_text()
    assert [x for x, place, mark in plotted if place == 2] == [90.5]
    plotted.clear()
    draw_standing(ROWS[2:], tmp_path / "alone.svg", attack="AutoAttack")
    assert (0.5, 0, "|") in plotted
    assert "less that of" not in (tmp_path / "alone.svg").read_text()


def test_a_claim_beyond_the_edge_is_an_arrow(tmp_path: Path, plotted: list[tuple[Any, Any, str]]) -> None:
    claims = [
        {"says": "a", "status": "reproduced, smaller", "value": 0.5, "interval": [0.2, 0.8]},
        {"says": "b", "status": "not reproduced", "value": -10.0, "interval": [-15.0, -5.0]},
        {"says": "c", "status": "undecided at this size", "value": 2.0, "interval": [-1.0, 9.0]},
    ]
    draw_claims(claims, tmp_path / "figure.svg")
    assert (0.5, 0, "o") in plotted
    assert [mark for _, place, mark in plotted if place == 1] == ["<", "<"]
    assert (2.0, 2, "o") in plotted
    assert (4.0, 2, ">") in plotted
    assert ([-1.0, 4.0], [2, 2], "-") in plotted


def test_the_same_numbers_make_the_same_file(tmp_path: Path) -> None:
    for ending in ("svg", "png", "pdf"):
        for name in ("a", "b"):
            draw_standing(ROWS, tmp_path / f"{name}.{ending}", attack="AutoAttack", base="rslad")
        one, two = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("a", "b"))
        assert one == two
        assert b"CreationDate" not in one
        assert b"<dc:date>" not in one
