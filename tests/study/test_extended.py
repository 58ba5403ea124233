"""A board that goes on from an earlier one: what is still asked for stays, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from robustill.study import Study
from robustill.study.board import collect
from robustill.study.extended import extended
from tests.study.boards import made


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return made(tmp_path)


def test_a_board_goes_on_from_an_earlier_one(study: Study) -> None:
    before = json.loads(json.dumps(collect([study])))
    cells = {(cell.variant.name, cell.seed): cell for cell in study.rows()}
    own = {"run": "saad", "seed": 1, "cell": cells["saad", 1].folder}
    curve = {"run": "trades", "seed": 0, "term": "loss", "value": 0.9}
    held = {**before["studies"]["leaderboard"], "calibration": [{**own, "eps": 0.1}], "curve": [curve]}
    before["studies"] = {"leaderboard": held}
    # One cell is not here, one has other verdicts here, and one of the board is asked for no more.
    (study.store.of(cells["saad", 1]) / "result.json").unlink()
    gone = cells["rslad", 2].folder
    before["cells"][gone + "x"] = before["cells"].pop(gone)
    held["rows"]["rslad"]["2"] = gone + "x"
    # Another study knew this one.
    place = held["rows"]["saad"].pop("1")
    # Nobody has this one.
    (study.store.of(cells["pgd_at", 2]) / "result.json").unlink()
    del before["cells"][cells["pgd_at", 2].folder], held["rows"]["pgd_at"]["2"]
    changed = cells["trades", 0].folder
    before["cells"][changed]["seconds_per_epoch"] = 99.0
    here = collect([study])
    found = extended(here, before, [study])
    assert found["cells"].keys() == {cell.folder for key, cell in cells.items() if key != ("pgd_at", 2)}
    assert found["cells"][cells["saad", 1].folder] == before["cells"][cells["saad", 1].folder]
    assert found["cells"][gone] == here["cells"][gone]
    assert found["cells"][changed]["seconds_per_epoch"] == 99.0
    about = found["studies"]["leaderboard"]
    rows = {**held["rows"], "rslad": {**held["rows"]["rslad"], "2": gone}, "saad": {**held["rows"]["saad"], "1": place}}
    assert about["rows"] == rows
    assert about["missing"] == 1
    assert about["calibration"] == held["calibration"]
    assert about["curve"] == [{**curve, "cell": changed}]
    rslad = {"run": "rslad", "seed": 0, "cell": cells["rslad", 0].folder, "eps": 0.2}
    more = [{**own, "eps": 0.1, "mine": True}, {**own, "eps": 0.2}, rslad]
    here["studies"]["leaderboard"]["calibration"] = more
    rows = extended(here, before, [study])["studies"]["leaderboard"]["calibration"]
    assert rows == [rslad, {**own, "eps": 0.1}, {**own, "eps": 0.2}]


def test_going_on_from_itself_writes_the_same_file(study: Study) -> None:
    here = collect([study])
    cell = study.rows()[0]
    row = {"run": cell.variant.name, "seed": cell.seed, "eps": 0.1, "points": 42, "cell": cell.folder}
    here["studies"]["leaderboard"]["calibration"] = [row]
    first = json.dumps(here)
    assert json.dumps(
        extended(here, json.loads(first), [study])["studies"]["leaderboard"]["calibration"]
    ) == json.dumps([row])


def test_what_was_found_of_another_training_does_not_go_on(study: Study) -> None:
    before = json.loads(json.dumps(collect([study])))
    held, place = before["studies"]["leaderboard"], before["studies"]["leaderboard"]["rows"]["trades"]["0"]
    held["calibration"] = [{"run": "trades", "seed": 0, "cell": place, "eps": 0.1}]
    held["curve"] = [{"run": "trades", "seed": 0, "term": "loss", "value": 0.9}]
    here = collect([study])
    assert len(extended(here, before, [study])["studies"]["leaderboard"]["curve"]) == 1
    # What the earlier board holds is of an older recipe of this row.
    held["calibration"][0]["cell"] = held["rows"]["trades"]["0"] = "trades_cnn_small_s0-000000000000"
    found = extended(here, before, [study])["studies"]["leaderboard"]
    assert (found["calibration"], found["curve"]) == ([], [])


@pytest.mark.parametrize(("key", "value"), [("eps", 0.75), ("norm", "L1"), ("which", "others"), ("images", 5)])
def test_verdicts_of_another_question_do_not_go_on(key: str, value: Any, study: Study) -> None:
    before, here = json.loads(json.dumps(collect([study]))), collect([study])
    name = here["studies"]["leaderboard"]["rows"]["trades"]["0"]
    before["cells"][name]["seconds_per_epoch"] = 99.0
    assert extended(here, before, [study])["cells"][name]["seconds_per_epoch"] == 99.0
    cell = before["cells"][name]
    (cell["students"]["best"] if key in ("which", "images") else cell)[key] = value
    found = extended(here, before, [study])["cells"][name]
    assert found == here["cells"][name]


@pytest.mark.parametrize(
    ("earlier", "now", "stays"), [(3, 2, "before"), (2, 3, "now"), (3, 3, "now"), (3, 0, "before")]
)
def test_the_ranking_of_more_seeds_goes_on(study: Study, earlier: int, now: int, stays: str) -> None:
    before, here = collect([study]), collect([study])
    for board, seeds, name in ((before, earlier, "before"), (here, now, "now")):
        board["studies"]["leaderboard"]["ranking"] = [{"outcome": name, "seeds": seeds}] if seeds else []
    (row,) = extended(here, before, [study])["studies"]["leaderboard"]["ranking"]
    assert row["outcome"] == stays
