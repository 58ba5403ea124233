"""Figures of an unlearnable set, drawn from JSON written by hand."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from robustill.report.learnability import draw_examples, draw_learnability


@pytest.fixture(autouse=True)
def text_in_svg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")


def summary(count: int) -> dict[str, Any]:
    points = [{"references": m, "unlearnable": 50.0 / m, "learnable": 40.0 / m} for m in range(1, count + 1)]
    classes = [{"name": "cat", "images": 60, "unlearnable": 30, "learnable": 10}]
    classes.append({"name": "dog", "images": 40, "unlearnable": 0, "learnable": 40})
    return {
        "data": "pets", "images": 100, "attack": "pgd10", "norm": "Linf", "eps": 8 / 255,
        "references": [f"pgd_at/{k}" for k in range(count)], "histogram": [30, *[20] * (count - 1), 51],
        "stability": points, "classes": classes,
    }  # fmt: skip


def drawn(draw: Any, content: dict[str, Any], folder: Path) -> str:
    draw(content, folder / "figure.svg")
    return (folder / "figure.svg").read_text()


@pytest.mark.parametrize("count", [1, 3, 40])
def test_learnability(count: int, tmp_path: Path) -> None:
    text = drawn(draw_learnability, summary(count), tmp_path)
    says = f"pets: 100 training images, pgd10 with Linf eps 0.03137, {count} reference"
    for part in ("cat", "dog", ">30<", ">51<", says, "mean over all subsets", "ambiguous"):
        assert part in text, part
    assert f"{says}{'s' * (count > 1)}<" in text


def test_hundreds_of_classes_carry_no_names(tmp_path: Path) -> None:
    content = summary(3)
    content["classes"] = [{**content["classes"][0], "name": f"class-{k}"} for k in range(200)]
    assert "class-7" not in drawn(draw_learnability, content, tmp_path)


def image(label: str, seen: str | None, colour: bool) -> dict[str, Any]:
    pixel: Any = [200, 100, 0] if colour else 100
    return {"pixels": [[pixel] * 4] * 4, "caption": label, "seen_as": seen}


@pytest.mark.parametrize("colour", [False, True])
def test_examples(colour: bool, tmp_path: Path) -> None:
    least = {"title": "least learnable", "of": 12, "images": [image("cat", "dog", colour), image("cat", None, colour)]}
    most = {"title": "most learnable", "of": 1, "images": [image("dog", "dog", colour)]}
    text = drawn(draw_examples, {"references": 3, "rows": [least, most]}, tmp_path)
    assert text.count("<image") == 3
    for part in ("least learnable of 12 images wrong under attack for all 3 references", "seen as dog"):
        assert part in text
    assert "most learnable of 1 images right under attack" in text
    assert text.count("seen as") == 1


def test_no_examples_at_all(tmp_path: Path) -> None:
    rows = [{"title": title, "of": 0, "images": []} for title in ("least learnable", "most learnable")]
    assert "wrong under attack for the reference" in drawn(draw_examples, {"references": 1, "rows": rows}, tmp_path)


def test_figures_need_no_torch() -> None:
    code = (
        "import sys, robustill.report.learnability, robustill.report.teachers\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
