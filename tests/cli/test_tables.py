"""Tables that fit the terminal."""

import pytest

from robustill.cli.tables import print_table

COLUMNS = ["run", "clean", "fgsm", "worst case", "p"]
ROWS = [("a_rather_long_name", "82.67 ± 0.06", "74.47 ± 0.67", "71.00 ± 0.69", "0.25")]


@pytest.mark.parametrize(("columns", "left_out"), [(74, None), (73, "p"), (67, "p"), (66, "p, fgsm"), (20, "p, fgsm")])
def test_a_narrow_terminal_does_without_some_columns(
    columns: int, left_out: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table("title", COLUMNS, ROWS, optional=["p", "none", "fgsm"])
    printed = capsys.readouterr().out
    assert ("left out, for the width: " in printed) == (left_out is not None)
    if left_out is not None:
        assert printed.rstrip().endswith(f"left out, for the width: {left_out}")
    assert ("74.47" in printed) == (left_out in (None, "p"))
    if columns >= 66:
        assert "71.00 ± 0.69" in printed


def test_names_stay_whole_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("robustill:some_model_of_length_38_or_so", "words that may go on in the next line " * 3)]
    monkeypatch.setenv("COLUMNS", "80")
    print_table("title", ["name", "about"], rows)
    assert rows[0][0] in capsys.readouterr().out
    # A name that would leave too little is broken, not cut off.
    monkeypatch.setenv("COLUMNS", "40")
    print_table("title", ["name", "about"], rows)
    printed = capsys.readouterr().out
    first = "".join(line.split("│")[1].strip() for line in printed.splitlines() if line.startswith("│"))
    assert first == rows[0][0]
