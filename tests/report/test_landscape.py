"""Figures of landscapes, from JSON written by hand."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes

from robustill.report.landscape import draw_landscape, draw_plane

RADII = [-1.0, -0.5, 0.0, 0.5, 1.0]


def run(centre: float, steep: float) -> dict[str, Any]:
    curves = [[centre + steep * way * r * r for r in RADII] for way in (0.8, 1.0, 1.2)]
    robust = [[0.7 - 0.1 * steep * abs(r) for r in RADII] for _ in range(3)]
    sides = [-1.0, 0.0, 1.0]
    plane = {"radii": sides, "losses": [[centre + steep * (a * a + b * b) for a in sides] for b in sides]}
    rise = {"mean": 0.25 * steep, "sd_directions": 0.05 * steep, "se_images": 0.01, "by_direction": [0.1, 0.2, 0.3]}
    flatness = {"radius": 0.5, "rise": rise, "robust_drop": rise}
    return {
        "loss": centre,
        "robust": 0.7,
        "curves": curves,
        "robust_curves": robust,
        "flatness": flatness,
        "plane": plane,
    }


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    settings = {
        "data": "digits", "split": "train", "images": 300, "eps": 0.1, "norm": "Linf", "steps": 10,
        "adversary": "fixed", "directions": 3, "flatness_at": 0.5, "plane": 3,
    }  # fmt: skip
    return {"settings": settings, "radii": RADII, "runs": {"sharp": run(0.5, 4.0), "flat": run(0.7, 1.0)}}


def test_runs_lie_over_each_other(found: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: dict[str, list[tuple[list[float], str]]] = {}
    plot = Axes.plot

    def noted(self: Axes, x: Any, y: Any, *rest: Any, **style: Any) -> Any:
        lines.setdefault(self.get_title(), []).append((list(y), style["label"]))
        return plot(self, x, y, *rest, **style)

    monkeypatch.setattr(Axes, "plot", noted)
    draw_landscape(found, tmp_path / "f.svg")
    assert list(lines) == ["adversarial loss g(r)", "rise g(r) - g(0)", "robust accuracy, %"]
    assert lines["rise g(r) - g(0)"][0][0] == pytest.approx([4.0, 1.0, 0.0, 1.0, 4.0])
    assert lines["rise g(r) - g(0)"][1][0] == pytest.approx([1.0, 0.25, 0.0, 0.25, 1.0])
    assert lines["adversarial loss g(r)"][1][0] == pytest.approx([1.7, 0.95, 0.7, 0.95, 1.7])
    assert lines["robust accuracy, %"][0][0] == pytest.approx([30, 50, 70, 50, 30])
    text = (tmp_path / "f.svg").read_text()
    for words in (
        "sharp: 1.00 ± 0.20", "flat: 0.25 ± 0.05", "rise at r = 0.5", "digits, 300 train images, Linf eps 0.1, PGD-10",
        "adversarial examples fixed", "3 filter-normalised directions (band: lowest to highest",
    ):  # fmt: skip
        assert words in text


def test_planes_stand_side_by_side_with_the_same_levels(
    found: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[Any, Any]] = []
    fill = Axes.contourf

    def noted(self: Axes, x: Any, y: Any, z: Any, **style: Any) -> Any:
        drawn.append((z, style["levels"]))
        return fill(self, x, y, z, **style)

    monkeypatch.setattr(Axes, "contourf", noted)
    draw_plane(found, tmp_path / "f.svg")
    assert [each for row in drawn[0][0] for each in row] == pytest.approx([8, 4, 8, 4, 0, 4, 8, 4, 8])
    assert [each for row in drawn[1][0] for each in row] == pytest.approx([2, 1, 2, 1, 0, 1, 2, 1, 2])
    assert drawn[0][1] == drawn[1][1]
    assert drawn[0][1] == pytest.approx([0, 0.1, 0.2, 0.5, 1, 2, 5])
    text = (tmp_path / "f.svg").read_text()
    for words in ("sharp: g(0) 0.500", "flat: g(0) 0.700", "2 filter-normalised directions"):
        assert words in text
