"""Figures of brackets, drawn from JSON written by hand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from robustill.report.bracket import draw_bracket
from robustill.report.certified import draw_certified


def number(mean: float | None) -> dict[str, Any]:
    return {"mean": mean, "interval": None if mean is None else [mean - 0.05, mean + 0.05]}


def share(value: float | None, name: str = "share") -> dict[str, Any]:
    return {name: value, "interval": None if value is None else [max(0.0, value - 0.1), min(1.0, value + 0.1)]}


def radius(eps: float, certified: bool, empty: bool) -> dict[str, Any]:
    lower, upper = (None, None) if empty else (eps, 4 * eps)
    curve = None if empty else [0.2, 0.5, 1.0]
    return {
        "eps": eps,
        "calibration": {"lower": number(lower), "upper": number(upper if certified else None)},
        "agreement": {"found": share(None if empty else 0.9), "certified": share(None if empty else 1 - 3 * eps)},
        "faithful": {"found": curve, "certified": curve if certified else None},
    }


def calibration(bounds: str | None = "crown", count: int = 93) -> dict[str, Any]:
    empty = count == 0
    return {
        "data": "digits",
        "images": 100,
        "points": {"right": "teacher", "count": count, "small_sample": count < 30},
        "threat": {"norm": "Linf", "eps": [0.1, 0.2]},
        "bounds": bounds,
        "clean": {"calibration": number(None if empty else 0.02), "agreement": share(None if empty else 0.95)},
        "radii": [radius(eps, bounds is not None, empty) for eps in (0.1, 0.2)],
        "deltas": [0.0, 0.5, 1.0],
    }


def certification(bounds: str | None = "crown") -> dict[str, Any]:
    attacked = None if bounds == "smoothing" else share(0.8, "accuracy")
    radii = [
        {"eps": eps, "certified": None if bounds is None else share(0.5, "accuracy"), "attacked": attacked}
        for eps in (0.1, 0.2)
    ]
    smoothed = {"sigma": 0.25, "samples": 1000, "accuracy": 0.4, "right_radii": [0.1, 0.3]}
    return {
        "data": "digits", "images": 5, "small_sample": True, "threat": {"norm": "L2", "eps": [0.1, 0.2]},
        "bounds": bounds, "clean": share(0.9, "accuracy"), "radii": radii,
        **({"smoothed": smoothed} if bounds == "smoothing" else {}),
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _text_stays_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")


def drawn(draw: Any, values: dict[str, Any], folder: Path) -> str:
    draw(values, folder / "figure.svg")
    return (folder / "figure.svg").read_text()


def test_a_bracket(tmp_path: Path) -> None:
    text = drawn(draw_bracket, calibration(), tmp_path)
    who = "93 of 100 images, those that the teacher classifies right; certified by crown"
    labels = ("found by attack", "certified: not above", "no disagreement found", "eps 0.1", "eps 0.2")
    for part in (who, *labels, "radius eps (Linf"):
        assert part in text
    assert "small sample" not in text


def test_a_bracket_without_certificates(tmp_path: Path) -> None:
    text = drawn(draw_bracket, calibration(bounds=None), tmp_path)
    assert "certified by nothing" in text
    assert "certified: not above" not in text
    assert "found by attack" in text


@pytest.mark.filterwarnings("ignore:No artists with labels")
def test_a_bracket_of_nothing(tmp_path: Path) -> None:
    text = drawn(draw_bracket, calibration(count=0), tmp_path)
    assert "0 of 100 images" in text
    assert "a small sample" in text


def test_certified_accuracy(tmp_path: Path) -> None:
    text = drawn(draw_certified, certification(), tmp_path)
    for part in ("certified (crown)", "no attack found", "not known", "5 images, a small sample", "radius eps (L2"):
        assert part in text
    alone = drawn(draw_certified, certification(None), tmp_path)
    assert "certified (" not in alone
    assert "no attack found" in alone


def test_the_curve_of_smoothing_falls_at_each_radius(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    steps: list[Any] = []
    monkeypatch.setattr(Axes, "step", lambda self, *args, **kwargs: steps.append((args, kwargs)))
    drawn(draw_certified, certification("smoothing"), tmp_path)
    ((radii, shares), options) = steps[0]
    assert (radii, shares, options["where"]) == ([0.0, 0.1, 0.3], [40.0, 20.0, 0.0], "post")


def test_figures_need_no_torch() -> None:
    code = "import sys, robustill.report.bracket, robustill.report.certified; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
