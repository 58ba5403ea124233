"""The figure of a ranking, drawn from JSON written by hand."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from robustill.report.teachers import draw_teachers


def teacher(
    name: str, entropy: float, *dropped: str, surfaces: tuple[str, ...] = ("clean", "student", "teacher")
) -> Any:
    def score(mean: float) -> dict[str, Any]:
        return {"mean": mean, "interval": [mean - 0.1, mean + 0.1]}

    table = {"entropy": {"unlearnable": score(entropy), "learnable": score(0.2)}}
    return {"name": name, "dropped": list(dropped), "classes": 10, "surfaces": dict.fromkeys(surfaces, table)}


def ranking(*teachers: Any, order: list[str]) -> dict[str, Any]:
    return {
        "data": "pets", "surface": "student", "criterion": "unlearnable_entropy", "temperature": 2.0,
        "sizes": {"unlearnable": 12, "learnable": 34}, "teachers": list(teachers),
        "ranking": [{"name": name, "rank": k + 1, "tied_with": []} for k, name in enumerate(order)],
    }  # fmt: skip


def drawn(content: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    draw_teachers(content, folder / "teachers.svg")
    return (folder / "teachers.svg").read_text()


def test_teachers_stand_in_the_order_of_their_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "runs/" + "x" * 60 + "/teacher-a"
    content = ranking(teacher("sure", 0.3), teacher("none", 2.2, "knows nothing"), teacher(long, 1.5),
                      order=[long, "sure"])  # fmt: skip
    text = drawn(content, tmp_path, monkeypatch)
    where = [text.index(f">{part}<") for part in ("rank 1", "rank 2", "dropped")]
    assert where == sorted(where)
    assert "x/teacher-a" in text
    assert "x" * 60 not in text
    for part in (
        "12 unlearnable and 34 learnable",
        "temperature 2",
        "crafted on the student",
        "uniform",
        "learnable, r",
    ):
        assert part in text, part
    assert text.count("unlearnable, clean images") == 1


def test_without_a_ranking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(ranking(teacher("a", 2.0, "knows nothing"), order=[]), tmp_path, monkeypatch)
    assert ">dropped<" in text
    assert ">rank" not in text
