"""Figures of a simulation, drawn from JSON written by hand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from robustill.report.dynamics import draw_accuracies, draw_responses
from robustill.report.entropy import draw_entropy

STEPS = [0, 10, 20, 30]


def run(teacher: str, margin: float | None, learnable: float | None, p: float, seed: int) -> dict[str, Any]:
    final = 0.3 if margin is None or margin > 5 else 0.8
    margins = {"margin_unlearnable": margin, "margin_learnable": learnable}
    return {"teacher": teacher, "p_unlearnable": p, "seed": seed, "final": final, "entropy_unlearnable": 0.3, **margins}


def curves(of: dict[str, Any]) -> dict[str, Any]:
    noise = [0.1, 0.2, 0.3, 0.4] if of["p_unlearnable"] else [None] * 4
    names = ("robust_train", "robust_test", "signal", "noise_learnable", "attackable")
    flat = {name: [0.0, 0.9, 0.9, 0.5] for name in names}
    return {
        **{k: of[k] for k in ("teacher", "p_unlearnable", "seed")},
        "steps": STEPS,
        **flat,
        "noise_unlearnable": noise,
    }


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    teachers = {"hard": (None, None), "uncertain": (0.0, 10.0), "margin -2": (-2.0, 10.0), "everywhere 1": (1.0, 1.0)}
    runs = [run(name, *margins, p, seed) for name, margins in teachers.items() for p in (0.0, 0.15) for seed in (0, 1)]
    rho = {"entropy": 0.91, "entropy_with_wrong": 0.82, "entropy_with_all": None, "contrast_with_all": 0.73}
    return {
        "settings": {"regime": "experiment", "eps": 0.5},
        "grid": {"teachers": ["hard", "uncertain"], "p_unlearnable": [0.0, 0.15]},
        "sweep": {"teachers": ["uncertain", "margin -2", "everywhere 1"], "p_unlearnable": 0.15, "spearman": rho},
        "runs": runs,
        "curves": [curves(each) for each in runs],
    }


def drawn(draw: Any, simulation: dict[str, Any], folder: Path) -> str:
    draw(simulation, folder / "figure.svg")
    return (folder / "figure.svg").read_text()


def test_accuracies(simulation: dict[str, Any], tmp_path: Path) -> None:
    text = drawn(draw_accuracies, simulation, tmp_path)
    for part in ("hard labels", "teacher: uncertain", "robust train accuracy, %", "robust test accuracy, %", "2 seeds"):
        assert part in text
    assert "teacher: margin -2" not in text, "the sweep has a figure of its own"
    assert ">0.15<" in text
    assert "tested on all" in text


def test_responses(simulation: dict[str, Any], tmp_path: Path) -> None:
    text = drawn(draw_responses, simulation, tmp_path)
    for part in ("signal", "noise, unlearnable samples", "noise, learnable samples", "attackable response"):
        assert part in text
    assert "unlearnable 0.15" in text
    simulation["grid"]["p_unlearnable"] = [0.0]
    assert "noise, unlearnable samples" not in drawn(draw_responses, simulation, tmp_path)


def test_entropy(simulation: dict[str, Any], tmp_path: Path) -> None:
    text = drawn(draw_entropy, simulation, tmp_path)
    kinds = ("sure of the learnable, right side", "wrong side of the unlearnable", "same margin on all samples")
    assert [text.count(kind) for kind in kinds] == [1, 1, 1]
    assert "right side 0.91, with wrong side 0.82, with all -" in text
    assert "with all: 0.73" in text
    assert ">-2<" in text
    simulation["sweep"]["teachers"] = ["uncertain"]
    assert kinds[1] not in drawn(draw_entropy, simulation, tmp_path)


def test_figures_need_no_torch() -> None:
    code = (
        "import sys, robustill.report.dynamics, robustill.report.entropy\n"
        "assert not {'torch', 'matplotlib', 'scipy'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
