"""Results as a notebook shows them: the right numbers, whole HTML, no markup from names, readable without colours."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from robustill import notebook
from robustill.diagnostics import Calibration, Certification, Learnability, Ranking
from robustill.diagnostics.bracket.calibration import Behaviour, Bracket
from robustill.diagnostics.ranking import Gates, TeacherReport
from robustill.diagnostics.ranking.scores import Score
from robustill.evaluation import Check, Evaluation
from robustill.training import TrainResult
from tests.report.parsed import Parsed, outside

EVIL = "<script>alert(1)</script>\x1b[2J"
HALF = torch.arange(20) < 10


def shown(result: Any) -> tuple[str, Parsed]:
    html = result._repr_html_()
    parsed = Parsed(html)
    assert parsed.mistakes == []
    assert outside(html) == []
    assert not parsed.all("script")
    assert "\x1b" not in html
    assert len(parsed.ids()) == len(set(parsed.ids()))
    for svg in parsed.all("svg"):
        assert all(name in parsed.ids() for name in svg.attributes["aria-labelledby"].split())
    return html, parsed


def evaluation(**changes: Any) -> Evaluation:
    right = {"clean": torch.arange(20) < 18, "pgd20": HALF, EVIL: torch.arange(20) < 12}
    check = Check("square-probe", True, {}, f"Square finds more. {EVIL}")
    return Evaluation(right, 8 / 255, "Linf", **{"checks": (check,), **changes})


def test_an_evaluation() -> None:
    html, parsed = shown(evaluation())
    rows = parsed.cells("Accuracy in % on 20 images, Linf eps 0.03137")
    assert [row[:2] for row in rows[1:]] == [
        ["clean", "90.00"], ["pgd20", "50.00"], ["<script>alert(1)</script>\\x1b[2J", "60.00"], ["worst case", "50.00"],
    ]  # fmt: skip
    assert rows[2][2] == "27.2 to 72.8"
    assert len(parsed.all("svg")) == 1
    assert re.findall(r">(\d+\.\d)</text>", html) == ["90.0", "50.0", "60.0", "50.0"]
    assert parsed.cells("The attacks may have been fooled")[1][0] == "square-probe"
    assert repr(evaluation()) == (
        "Evaluation(20 images, Linf eps 0.03137: clean 90.00 %, pgd20 50.00 %, "
        r"<script>alert(1)</script>\x1b[2J 60.00 %, worst case 50.00 %)"
    )
    quiet, _ = shown(evaluation(checks=()))
    assert "fooled" not in quiet


def test_a_training() -> None:
    history = [
        {"epoch": 0, "loss": 2.5, "validation": {"clean": 0.5, "robust": 0.25}},
        {"epoch": 1, "loss": 1.5},
        {"epoch": 2, "loss": 1.25, "validation": {"clean": 0.75, "robust": 0.5}},
    ]
    net = nn.Identity()
    html, parsed = shown(TrainResult(net, net, {"epoch": 2, "clean": 0.75}, history))
    assert parsed.cells("Validation split; epoch 3 was selected")[1:] == [
        ["1", "2.5000", "50.00", "25.00"], ["2", "1.5000", "-", "-"], ["3", "1.2500", "75.00", "50.00"],
    ]  # fmt: skip
    assert len(parsed.all("svg")) == 2
    assert "clean ends at 75; robust ends at 50." in html
    assert repr(TrainResult(net, net, {"epoch": 2, "clean": 0.75, "robust": 0.5}, history)) == (
        "TrainResult(3 epochs, epoch 3 selected: validation clean 75.00 %, robust 50.00 %)"
    )
    assert repr(TrainResult(net, net, {}, history)) == "TrainResult(3 epochs)"
    alone, parsed = shown(TrainResult(net, net, {}, [{"epoch": 0, "loss": 2.5}]))
    assert len(parsed.all("svg")) == 1
    assert "selected" not in alone


@pytest.mark.parametrize("bounds", ["crown", "none"])
def test_a_certification(bounds: str) -> None:
    clean, stands = torch.arange(20) < 16, HALF[None]
    found = Certification((0.1,), "Linf", bounds, torch.zeros(20, dtype=torch.int64), clean, stands, stands & False)
    _, parsed = shown(found)
    told = "certified 0.00 %, attacked 50.00 %" if bounds == "crown" else "attacked 50.00 %"
    assert repr(found) == f"Certification(20 images, Linf, {bounds}: eps 0.1 {told})"
    how = "crown" if bounds == "crown" else "nothing"
    rows = parsed.cells(f"Accuracy in % on 20 images, certified by {how}")
    certified = [["certified"], ["80.0"], ["0.0"]] if bounds == "crown" else [[], [], []]
    assert rows == [
        ["eps", "attacked", *certified[0]], ["0", "80.0", *certified[1]], ["0.1", "50.0", *certified[2]],
    ]  # fmt: skip
    assert len(parsed.all("svg")) == 1


@pytest.mark.parametrize("right", [True, False])
def test_a_calibration(right: bool) -> None:
    labels = torch.zeros(20, dtype=torch.int64)
    classes = labels if right else labels + 1
    low, high = torch.full((1, 20), 0.25), torch.full((1, 20), 0.75)
    alone = Behaviour(torch.ones(2, 20, dtype=torch.bool), torch.ones(2, 20), torch.ones(2, 20, dtype=torch.bool))
    same = torch.zeros(1, 20, dtype=torch.bool)
    found = Calibration(
        (0.1,), "Linf", "crown", "teacher", labels, classes, classes, torch.full((20,), 0.125), Bracket(low, high),
        Bracket(low / 2, high / 2), same, same, alone, alone,
    )  # fmt: skip
    _, parsed = shown(found)
    told = "20 of 20 images, Linf, crown, mean relative calibration: eps 0.1 within 0.250 to 0.750"
    assert repr(found) == f"Calibration({told if right else '0 of 20 images'})"
    rows = parsed.cells(f"Mean relative calibration on {20 if right else 0} of 20 images")
    assert rows[0] == ["eps", "found by attack", "certified: not above"]
    assert rows[1:] == ([["0", "0.1250", "0.1250"], ["0.1", "0.2500", "0.7500"]] if right
                        else [["0", "-", "-"], ["0.1", "-", "-"]])  # fmt: skip
    assert len(parsed.all("svg")) == int(right)


def test_a_ranking() -> None:
    def teacher(name: str, mean: float, *dropped: str) -> TeacherReport:
        score = Score(mean, mean - 0.1, mean + 0.1)
        surfaces = {"clean": {"entropy": {"unlearnable": score, "contrast": score}}}
        return TeacherReport(name, "d", surfaces, {"clean": None}, Score(0.5, 0.4, 0.6), dropped, {}, 10)

    reports = (teacher("sure", 0.25), teacher(EVIL, 1.5), teacher("close", 1.4), teacher("mute", 2.0, "says nothing"))
    ranking = Ranking(reports, "unlearnable_entropy", "clean", 1.0, Gates())
    assert repr(ranking) == (
        r"Ranking(unlearnable_entropy on clean images: 1. <script>alert(1)</script>\x1b[2J 1.500, 1. close 1.400, "
        "3. sure 0.250; dropped: mute)"
    )
    _, parsed = shown(ranking)
    rows = parsed.cells("Teachers by unlearnable entropy on clean images")
    evil = "<script>alert(1)</script>\\x1b[2J"
    assert [row[:3] for row in rows[1:]] == [
        [evil, "1", "1.500"], ["close", "1", "1.400"], ["sure", "3", "0.250"], ["mute", "dropped", "2.000"],
    ]  # fmt: skip
    assert rows[1][3:] == ["1.400 to 1.600", "close"]
    assert rows[4][4] == "says nothing"


def test_an_unlearnable_set() -> None:
    right = torch.tensor([[True, False, True], [True, False, False]])
    whole = torch.arange(3)
    found = Learnability(right, whole, torch.ones(3), whole, whole, whole, ("a/0", "a/1"))
    assert repr(found) == "Learnability(3 images, 2 references: 1 unlearnable, 1 learnable, 1 ambiguous)"


def test_lines_read_without_colours_and_colours_without_light_or_dark() -> None:
    html = notebook.html(notebook.lines("t", [1, 2], {"a": [1, 2], "b": [2, None]}, x_label="x", y_label="y"))
    assert len(set(re.findall(r'class="line" stroke-dasharray="([^"]*)"', html))) == 1
    assert 'class="line"></path>' in html
    style = html[: html.index("</style>")]
    used = set(re.findall(r"var\((--\w+)\)", html))
    assert used <= set(re.findall(r"(--\w+):", style))


def test_classes_of_a_chart_are_styled() -> None:
    html = notebook.html(notebook.bars("t", [("a", 0.5, (0.25, 0.75))], "x"))
    for name in ("grid", "band", "line", "tick"):
        assert f".robustill .{name}" in html
        assert f'class="{name}"' in html
