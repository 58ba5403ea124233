"""Progress: a bar in a terminal, lines elsewhere, nothing when it is not wanted; never on standard output."""

import io
import re
import sys
from collections.abc import Iterator

import pytest

from robustill import progress
from robustill.progress import bar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return iter([now])


def run(now: list[float], *, show: bool = True, done: int = 0) -> None:
    with bar("RSLAD on digits", 100, done=done, show=show) as shown:
        for step in range(4):
            now[0] += 10
            shown.note(f"loss {step}")
            shown.advance(10)


def test_plain_lines_with_an_eta_without_a_terminal(
    clock: Iterator[list[float]], capsys: pytest.CaptureFixture[str]
) -> None:
    run(next(clock))
    out, err = capsys.readouterr()
    assert out == ""
    # One line per 15 seconds: after 20 and 40 seconds, at one unit a second.
    assert err.splitlines() == ["RSLAD on digits 20/100 loss 1 (ETA 80 s)", "RSLAD on digits 40/100 loss 3 (ETA 60 s)"]


def test_a_resumed_run_estimates_from_its_own_steps(
    clock: Iterator[list[float]], capsys: pytest.CaptureFixture[str]
) -> None:
    run(next(clock), done=50)
    assert capsys.readouterr().err.splitlines()[0] == "RSLAD on digits 70/100 loss 1 (ETA 30 s)"


def test_no_line_before_fifteen_seconds(clock: Iterator[list[float]], capsys: pytest.CaptureFixture[str]) -> None:
    now = next(clock)
    with bar("x", 10) as shown:
        now[0] += 14
        shown.advance()
    assert capsys.readouterr().err == ""


def test_silent_when_not_shown(clock: Iterator[list[float]], capsys: pytest.CaptureFixture[str]) -> None:
    run(next(clock), show=False)
    assert capsys.readouterr() == ("", "")


def test_a_line_is_written_at_once_in_a_log(clock: Iterator[list[float]], capsys: pytest.CaptureFixture[str]) -> None:
    now = next(clock)
    with bar("x", 4) as shown:
        shown.line("nothing yet")
        for k in range(2):
            now[0] += 6
            shown.advance(2)
            shown.line(f"epoch {k + 1}/2\x1b[2J")
        # The next one is due 15 seconds after the last, whatever it was.
        now[0] += 14
        shown.advance(0)
    assert capsys.readouterr().err.splitlines() == [
        "x 0/4 nothing yet (ETA unknown)",
        r"x 2/4 epoch 1/2\x1b[2J (ETA 6 s)",
        r"x 4/4 epoch 2/2\x1b[2J (done)",
    ]
    with bar("x", 4, show=False) as shown:
        shown.line("not wanted")
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    with bar("RSLAD on digits", 100, done=30) as shown:
        shown.note("loss 0.5")
        shown.advance(20)
    text = terminal.getvalue()
    assert "50/100" in text
    assert "RSLAD on digits" in text
    assert "loss 0.5" in text
    assert "(ETA" not in text
    with bar("RSLAD on digits", 100) as shown:
        shown.line("epoch 1/3")
    assert "epoch 1/3" in terminal.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("columns", "below"), [(60, True), (80, True), (160, False)])
def test_the_remaining_time_stays_in_a_narrow_terminal(
    columns: int, below: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    note = "epoch 1/6 loss 1.1771, validation: clean 75.1%, robust 58.6%"
    with bar("AdaAD on fashion-mnist", 20) as shown:
        shown.advance(12)
        shown.note(note)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n").splitlines()
    row = next(line for line in reversed(lines) if "12/20" in line)
    assert row.startswith("AdaAD on fashion-mnist ")
    assert len(re.findall(r"\d:\d\d:\d\d|-:--:--", row)) == 2, "elapsed and remaining"
    assert (note in row) != below
    assert any(line.startswith(note) for line in lines) == below


def test_what_goes_wrong_within_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), bar("x", 3):
        1 / 0  # noqa: B018
