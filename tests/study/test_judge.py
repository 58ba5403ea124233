"""What a claim is judged on, and what the rule makes of it."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from robustill.errors import RecipeError
from robustill.study import Study
from robustill.study import board as board_module
from robustill.study.board import collect
from robustill.study.board_figures import draw_board
from robustill.study.claims import load_claims
from robustill.study.judge import difference, judge
from robustill.study.leaderboard import to_markdown
from tests.study.boards import CLAIMS, made, right


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return made(tmp_path)


def test_rows_of_different_images_are_not_compared(study: Study) -> None:
    board = json.loads(json.dumps(collect([study])))
    for folder in board["studies"]["leaderboard"]["rows"]["saad"].values():
        board["cells"][folder]["students"]["best"]["which"] = "others"
    assert difference(board, "leaderboard", "trades", "rslad", "clean", "best", 0.95) is not None
    with pytest.raises(RecipeError, match="saad and rslad were judged on different images"):
        difference(board, "leaderboard", "saad", "rslad", "clean", "best", 0.95)


def test_a_study_without_last_students_has_a_board(study: Study, tmp_path: Path) -> None:
    for cell in study.rows():
        path = study.store.of(cell) / "result.json"
        result = json.loads(path.read_text())
        result["rows"] = [row for row in result["rows"] if row["student"] == "best"]
        path.write_text(json.dumps(result))
    path = tmp_path / "claims.toml"
    path.write_text(CLAIMS + 'student = "last"\n')
    board = collect([study])
    assert "| saad | 3 |" in to_markdown(board, load_claims(path))
    assert "| not measured |" in to_markdown(board, load_claims(path))
    draw_board(board, load_claims(path), tmp_path / "board.svg")
    # Nor has a study without AutoAttack anything to judge.
    board["cells"] = {}
    assert "| not measured |" in to_markdown(board, load_claims(path))


def test_claims_of_numbers_name_their_radius_and_their_margin(tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    calibration = CLAIMS.replace('"autoattack"', '"calibration:share"').replace("claimed = 10.0", "")
    rows = []
    for run, eps, seed in itertools.product(("saad", "rslad"), (0.1, 0.2, 0.3), range(3)):
        share = eps + seed / 100 + (0.2 if run == "saad" else 0)
        rows.append({"run": run, "seed": seed, "eps": eps, "share": None if eps == 0.3 else share})
    board = {"studies": {"leaderboard": {"calibration": rows}}, "cells": {}}
    path.write_text(calibration)
    with pytest.raises(RecipeError, match=r"calibration:share is there at eps \[0.1, 0.2, 0.3\]"):
        judge(board, load_claims(path))
    for eps, status in ((0.2, "reproduced"), (0.3, "not measured")):
        path.write_text(f"{calibration}eps = {eps}\nunit = 'share'\nmargin = 0.05\n")
        assert judge(board, load_claims(path))[0]["status"] == status
    path.write_text(f"{calibration}eps = 0.2\nunit = 'share'\n")
    with pytest.raises(RecipeError, match="claim 'a' is in share and has no margin"):
        load_claims(path)
    path.write_text(CLAIMS.replace("10.0", "-10.0"))
    with pytest.raises(RecipeError, match="greater than or equal to 0"):
        load_claims(path)


def test_accuracy_may_be_compared_with_a_number(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(CLAIMS.replace('base = "rslad"', "less = 40.0").replace("autoattack", "clean"))
    board = collect([study])
    (found,) = judge(board, load_claims(path))
    clean = [100 * right("saad", seed, "best")["clean"].double().mean().item() for seed in range(3)]
    assert found["found"]["difference"] == pytest.approx(sum(clean) / 3 - 40)


@pytest.mark.parametrize(
    ("metric", "more", "said"),
    [
        ("calibration:shere", "eps = 0.1", "there is no 'shere' in the calibration of its run.*did you mean 'share'"),
        ("calibration:run", "eps = 0.1", "there is no 'run' in the calibration"),
        ("calibration:share", "eps = 0.2", "calibration:share is not there at eps 0.2.*did you mean 0.1"),
        ("landscape:rize", "", "there is no 'rize' in the landscape.*did you mean 'rise'"),
        ("landscape:rise", "eps = 0.1", "landscape:rise has no radius.*leave eps out"),
        ("curve:nope", "", "there is no 'nope' in the curve of its run.*validation.robust"),
        ("landscape:rise", "less = 'landscape:rize'", "there is no 'rize'"),
        ("ranking:lost", "", "a ranking has no outcome 'lost'.*did you mean 'last'"),
    ],
)
def test_a_column_radius_or_outcome_that_there_is_not(metric: str, more: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    tables = {
        "calibration": [{"run": "a", "seed": seed, "eps": 0.1, "share": 0.5} for seed in range(3)],
        "landscape": [{"run": "a", "seed": seed, "radius": 0.2, "rise": 0.5} for seed in range(3)],
        "curve": [{"run": "a", "seed": seed, "term": "validation.robust", "value": 0.5} for seed in range(3)],
    }
    claim = f"""
[[claims]]
name = "a"
says = "s"
source = "paper"
study = "study"
run = "RUN"
metric = "{metric}"
{more}
"""
    board: dict[str, Any] = {"studies": {"study": tables}, "cells": {}}
    path.write_text(claim.replace("RUN", "a"))
    with pytest.raises(RecipeError) as refused:
        judge(board, load_claims(path))
    assert re.search(said, str(refused.value), re.DOTALL)
    if not metric.startswith("ranking:"):
        path.write_text(claim.replace("RUN", "not yet there"))
        assert judge(board, load_claims(path))[0]["status"] == "not measured"


RANKED = """
[[claims]]
name = "last"
says = "foretold"
source = "paper"
study = "entropy"
run = "student"
metric = "ranking:last"
margin = 0.5
unit = "rho"

[[claims]]
name = "gap"
says = "overfits"
source = "paper"
study = "entropy"
run = "student"
metric = "ranking:gap"
direction = "below"
margin = 0.5
unit = "rho"
"""


@pytest.mark.parametrize(
    ("outcome", "rho", "p", "interval", "seeds", "status"),
    [
        ("last", 0.8, 0.01, [0.2, 0.9], 3, "reproduced"),
        ("last", 0.3, 0.01, [0.1, 0.4], 3, "reproduced, smaller"),
        ("gap", -0.3, 0.01, [-0.4, -0.1], 3, "reproduced, smaller"),
        ("last", 0.8, 0.05, [0.2, 0.9], 3, "undecided at this size"),
        ("last", 0.8, 0.01, [0.2, 0.9], 2, "not measured"),
        ("last", 0.6, 0.07, [-0.2, 0.9], 3, "undecided at this size"),
        ("last", 0.1, 0.7, [-0.6, 0.4], 3, "not reproduced"),
        ("last", -0.8, 0.01, [-0.9, -0.2], 3, "not reproduced"),
        ("gap", -0.8, 0.01, [-0.9, -0.2], 3, "reproduced"),
        ("gap", 0.8, 0.01, [0.2, 0.9], 3, "not reproduced"),
        ("gap", -0.3, 0.4, [-0.8, 0.6], 3, "undecided at this size"),
        ("gap", -0.3, 0.4, None, 3, "undecided at this size"),
        ("last", None, None, None, 3, "not measured"),
    ],
)
def test_a_rank_correlation_is_judged_by_all_orders_of_families(
    outcome: str, rho: float | None, p: float | None, interval: Any, seeds: int, status: str, tmp_path: Path
) -> None:
    path, out = tmp_path / "claims.toml", tmp_path / "ranking.json"
    path.write_text(RANKED)
    families = {"rho": rho, "p": p, "teachers": 8}
    row = {"outcome": outcome, "rho": 0.0, "p": 1.0, "interval": [-0.1, 0.1], "families": families}
    row["families_interval"] = interval
    scores = {"0": 0.5, "1": 0.6, "2": 0.7}
    students = {"a": {"last": scores}, "b": {"last": dict(list(scores.items())[:seeds])}}
    rows = [{**row, "criterion": criterion} for criterion in ("contrast", "unlearnable")]
    out.write_text(json.dumps({"students": students, "validation": rows}))
    ranking = board_module._ranking(out)
    assert [each["criterion"] for each in ranking] == ["unlearnable"]
    judged = {each["claim"]: each for each in judge({"studies": {"entropy": {"ranking": ranking}}}, load_claims(path))}
    assert judged[outcome]["status"] == status
    assert judged["gap" if outcome == "last" else "last"]["status"] == "not measured"
    if seeds == 3 and rho is not None:
        assert judged[outcome]["found"] == {"difference": rho, "interval": interval, "p": p, "n": 8}


@pytest.mark.parametrize(
    ("confidence", "p", "interval", "status"),
    [
        (0.95, 0.03, [0.2, 0.9], "reproduced"),
        (0.99, 0.03, [0.2, 0.9], "undecided at this size"),
        (0.99, 0.005, [0.2, 0.9], "reproduced"),
        (0.9, 0.07, [-0.1, 0.9], "reproduced"),
        (0.9, 0.3, [-0.1, 0.4], "not reproduced"),
        # The interval is one of 95%, which does not say what one of 99% would.
        (0.99, 0.3, [-0.1, 0.4], "undecided at this size"),
        (0.99, 0.005, [0.1, 0.4], "reproduced"),
    ],
)
def test_a_rank_correlation_is_judged_at_the_rules_confidence(
    confidence: float, p: float, interval: list[float], status: str, tmp_path: Path
) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(f"[rule]\nconfidence = {confidence}\n{RANKED}")
    families = {"rho": 0.3, "p": p, "teachers": 8}
    row = {"outcome": "last", "seeds": 3, "families": families, "families_interval": interval}
    found = judge({"studies": {"entropy": {"ranking": [row]}}}, load_claims(path))
    assert found[0]["status"] == status
