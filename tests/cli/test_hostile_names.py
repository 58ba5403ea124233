"""Names of classes, files and networks show as they are: no markup, no formulas, nothing that steers a terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from robustill import progress
from robustill.cli import main
from robustill.cli.tables import plain, print_table
from robustill.report.curve import draw_curve
from robustill.terminal import printable

HOSTILE = "[red]cat[/] [/nothing] \x1b]0;title\x07\x1b[2J\u202eevil\r\ud800"


def test_printable_text_stays_and_the_rest_is_written_out() -> None:
    assert printable("naïve 猫 §") == "naïve 猫 §"
    assert printable("a\nb\tc") == "a\nb\tc"
    assert printable("\x1b[2J\x07\r\x9b\u202e\u2066\ud800") == r"\x1b[2J\x07\r\x9b\u202e\u2066\ud800"


def test_a_table_of_hostile_names(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(HOSTILE, ["class", "clean"], [(HOSTILE, "1")])
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "\x07" not in text
    assert text.count(r"\x1b[2J") == 2
    assert "[red]cat[/]" in text
    assert plain("[b]") == r"\[b]"


def test_names_that_the_terminals_encoding_does_not_have(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "猫").mkdir()
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(SystemExit):
        main(["doctor", "--data", str(tmp_path / "猫")])
    terminal.flush()
    assert rb"\u732b" in terminal.buffer.getvalue()  # type: ignore[attr-defined]


def test_an_error_that_names_a_hostile_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", f"{HOSTILE.replace(chr(0xD800), '')}/x.safetensors", "--data", "digits", "--eps", "0.1"])
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert "\x1b" not in text
    assert r"\x1b[2J" in text
    assert "[red]cat[/]" in text


def test_hostile_class_folders_are_loaded_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[bold]a", "b\x1b[2J", "<script>c</script>"]
    for name in ("<script>c<", *names[:2]):
        for k in range(6):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(np.full((8, 8, 3), 20 * k, np.uint8)).save(tmp_path / name / f"{k}.png")
    # Some of the images are in the training and in the test set.
    with pytest.raises(SystemExit):
        main(["doctor", "--data", "folder", "--root", str(tmp_path)])
    text = capsys.readouterr().out
    assert "Data: folder" in text
    assert "\x1b" not in text


def test_the_bar_of_hostile_data(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()

    def console(**_: object) -> Console:
        return Console(file=shown, force_terminal=True, color_system=None, width=200)

    monkeypatch.setattr(progress, "Console", console)
    with progress.bar(HOSTILE, 2) as running:
        running.note(HOSTILE)
        running.advance()
    text = shown.getvalue()
    assert "[red]cat[/]" in text
    assert r"\x1b]0;title\x07" in text
    assert "\x1b]0;title" not in text


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_figure_of_hostile_names(ending: str, tmp_path: Path) -> None:
    point = {"eps": 0.1, "accuracy": 0.5, "interval": [0.4, 0.6]}
    name = r"$\frac{ \x $ </text><script>alert(1)</script>"
    found = {"curve": {"points": [point], "attacks": [name]}, "clean": {"accuracy": 0.9, "interval": [0.8, 1.0]}}
    draw_curve({**found, "threat": {"norm": "Linf"}, "data": name, "images": 5}, tmp_path / f"curve.{ending}")
    content = (tmp_path / f"curve.{ending}").read_bytes()
    assert b"<script" not in content
    assert [path.name for path in tmp_path.iterdir()] == [f"curve.{ending}"]
