"""The leaderboard: its numbers are those of the stored verdicts, and nothing else gets in."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from robustill.errors import CheckpointError, RecipeError
from robustill.study import Study, board_figures
from robustill.study import board as board_module
from robustill.study.board import collect, pack, unpack
from robustill.study.board_figures import draw_board, draw_judged
from robustill.study.claims import load_claims
from robustill.study.extended import extended
from robustill.study.judge import difference, judge
from robustill.study.leaderboard import best_student, table, to_markdown
from robustill.study.schedule import Schedule, jobs_of
from tests.study.small import QUICK, TEACHERS, Inline, Silent, opened

ROOT = Path(__file__).parents[2]
IMAGES = 11
RUNS = "".join(
    f'[runs.{name}]\nrecipe = "digits_{recipe}_cnn-small"\n'
    for name, recipe in {"rslad": "rslad", "saad": "ard", "pgd_at": "pgd-at", "trades": "trades"}.items()
)
BASE = QUICK.replace('["fgsm"]', '["pgd20", "autoattack"]').replace("images = 100", f"images = {IMAGES}")
CLAIMS = """
[[claims]]
name = "a"
says = "SAAD | helps"
source = "paper"
study = "leaderboard"
run = "saad"
base = "rslad"
metric = "autoattack"
claimed = 10.0
"""


def right(name: str, seed: int, student: str) -> dict[str, torch.Tensor]:
    """Return made-up verdicts: what is wrong without an attack is wrong under one."""
    draw = torch.Generator().manual_seed(hash((len(name), seed, student == "last")) % 1000)
    clean = torch.rand(IMAGES, generator=draw) < 0.9
    robust = clean & (torch.rand(IMAGES, generator=draw) < (0.9 if name == "saad" else 0.4))
    return {"clean": clean, "pgd20": robust | clean, "autoattack": robust}


def write(folder: Path, found: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
    """Write an evaluation as `evaluate` does; return the rows of a result."""
    folder.mkdir(exist_ok=True)
    level = {name: torch.where(each, 1, -1).to(torch.int16) for name, each in found.items()}
    tensors = {f"level/{name}": each for name, each in level.items() if name != "autoattack"}
    # Two stages, of which the first lets more stand.
    tensors |= {"level/autoattack/apgd-ce": level["clean"].clone(), "level/autoattack/square": level["autoattack"]}
    save_file(tensors, folder / "verdicts.safetensors", {"settings": json.dumps({"index": "i"})})
    accuracy = {name: each.double().mean().item() for name, each in found.items()}
    content = {
        "images": IMAGES, "data_digest": "d", "split": "test", "threat": {"norm": "Linf", "eps": 0.05},
        "clean": {"accuracy": accuracy.pop("clean")}, "attacks": {k: {"accuracy": v} for k, v in accuracy.items()},
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(content))
    entries = {"clean": content["clean"], **content["attacks"], "robust": content["attacks"]["autoattack"]}
    return [
        {"attack": k, "images": IMAGES, "accuracy": v["accuracy"], "low": 0.0, "high": 1.0} for k, v in entries.items()
    ]


def work(folder: Path) -> int:
    job = json.loads((folder / "cell.json").read_text())
    name, _, seed = job["name"].rpartition(" seed ")
    best = {"epoch": 0, "robust": 0.9 if name == "saad" else 0.5}
    trained = {"training": job["training"], "epochs": 2, "best": best, "last": {"epoch": 1}}
    (folder / "trained.json").write_text(json.dumps(trained))
    rows = []
    for student, place in (("best", folder), ("last", folder / "last")):
        rows += [{"student": student, **row} for row in write(place, right(name, int(seed), student))]
    (folder / "metrics.jsonl").write_text('{"kind": "epoch", "epoch": 1, "seconds": 12.4}\n')
    result = {"address": job["address"], "trained": trained, "rows": rows, "calibration": [], "seconds": {}}
    (folder / "result.json").write_text(json.dumps(result))
    return 0


@pytest.fixture
def study(tmp_path: Path) -> Study:
    found = opened(tmp_path, RUNS + TEACHERS, 'name = "leaderboard"\nbaseline = "rslad"', BASE)
    found._prepare()
    jobs = jobs_of(found.cells.all(), found.store)
    Schedule(jobs, found.store, Inline(work), Silent(), retries=0).run()
    return found


def test_bits_hold_any_number_of_verdicts() -> None:
    for images in (1, 7, 8, 9, 1000):
        found = (torch.rand(images, generator=torch.Generator().manual_seed(images)) < 0.5).int().tolist()
        assert unpack(pack([bool(each) for each in found]), images) == found


def test_the_leaderboards_numbers_are_those_of_the_verdicts(study: Study) -> None:
    board = json.loads(json.dumps(collect([study])))
    rows = {row["row"]: row for row in table(board, 3)}
    for name in ("rslad", "saad", "pgd_at", "trades"):
        for student in ("best", "last"):
            for attack in ("clean", "autoattack"):
                by_hand = [100 * right(name, seed, student)[attack].double().mean().item() for seed in range(3)]
                assert rows[name][f"{attack} {student}"]["mean"] == pytest.approx(sum(by_hand) / 3)
    assert rows["saad"]["wra best"]["mean"] == pytest.approx(
        (rows["saad"]["clean best"]["mean"] + rows["saad"]["autoattack best"]["mean"]) / 2
    )
    assert rows["saad"]["seconds"] == 12.4
    assert (rows["rslad"]["taught"], rows["trades"]["taught"]) == (True, False)
    found = difference(board, "leaderboard", "saad", "rslad", "autoattack", "best", 0.95)
    by_hand = [
        (
            right("saad", seed, "best")["autoattack"].double() - right("rslad", seed, "best")["autoattack"].double()
        ).mean()
        for seed in range(3)
    ]
    assert found["difference"] == pytest.approx(100 * sum(map(float, by_hand)) / 3)
    assert rows["rslad"]["paired"] is None


def test_verdicts_that_are_not_those_that_were_counted_are_refused(study: Study) -> None:
    cell = next(cell for cell in study.cells.all() if cell.variant.name == "saad")
    folder = study.store.of(cell)
    other = right("saad", cell.seed, "best")
    other["autoattack"] = ~other["clean"] & other["clean"]
    kept = (folder / "evaluation.json").read_text()
    write(folder, other)
    with pytest.raises(CheckpointError, match="autoattack are not those that the study counted"):
        collect([study])
    (folder / "evaluation.json").write_text(kept)
    with pytest.raises(CheckpointError, match=r"verdicts.safetensors does not hold"):
        collect([study])


def test_the_page_says_what_was_found(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    path.write_text(CLAIMS)
    board, claims = collect([study]), load_claims(path)
    (judged,) = judge(board, claims)
    page = to_markdown(board, claims)
    first = best_student(board, table(board, 3))
    assert first is not None
    assert first["row"] == "saad"
    assert set(first["against"]) == {"pgd_at", "trades", "robust", "clean"} & set(first["against"])
    assert {"pgd_at", "trades"} <= set(first["against"])
    assert f"| SAAD \\| helps | {judged['found']['difference']:+.2f} [" in page
    assert f"| 5 | 3 | {judged['status']} | paper |" in page
    assert re.search(r"^\| rslad \| 3 \| [\d.]+ ± [\d.]+ \| .* \| - \| - \| 12 \|$", page, re.MULTILINE)


def test_missing_seeds_are_said(study: Study) -> None:
    for cell in study.cells.all():
        if cell.variant.name == "trades" and cell.seed:
            (study.store.of(cell) / "result.json").unlink()
    path = study.out / "claims.toml"
    path.write_text(CLAIMS.replace('run = "saad"', 'run = "trades"'))
    board = collect([study])
    assert board["studies"]["leaderboard"]["missing"] == 2
    page = to_markdown(board, load_claims(path))
    assert "Not all of 3 seeds yet: robust, clean, trades." in page or "trades" in page.partition("seeds yet")[2]
    assert "| not measured |" in page


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
    ("earlier", "now", "stays"), [(3, 2, "before"), (2, 3, "now"), (3, 3, "now"), (3, 0, "before")]
)
def test_the_ranking_of_more_seeds_goes_on(study: Study, earlier: int, now: int, stays: str) -> None:
    before, here = collect([study]), collect([study])
    for board, seeds, name in ((before, earlier, "before"), (here, now, "now")):
        board["studies"]["leaderboard"]["ranking"] = [{"outcome": name, "seeds": seeds}] if seeds else []
    (row,) = extended(here, before, [study])["studies"]["leaderboard"]["ranking"]
    assert row["outcome"] == stays


def test_the_projects_pages_are_what_its_file_gives() -> None:
    file = ROOT / "results" / "leaderboard.json"
    if not file.exists():
        pytest.skip("nothing was measured yet")
    text = to_markdown(json.loads(file.read_text()), load_claims(ROOT / "studies" / "claims.toml"))
    for page in (ROOT / "results" / "README.md", ROOT / "docs" / "leaderboard.md"):
        lines = page.read_text().splitlines()
        assert [line for line in text.splitlines() if line not in lines] == []


def test_figures_show_rows_and_the_claims_that_were_measured(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "claims.toml"
    less = CLAIMS.replace('name = "a"', 'name = "b"').replace("SAAD | helps", "less").replace('"saad"', '"trades"')
    other = CLAIMS.replace('name = "a"', 'name = "c"').replace("SAAD | helps", "nobody").replace('"saad"', '"none"')
    path.write_text(CLAIMS + less.replace("claimed = 10.0", 'margin = 4.0\ndirection = "below"') + other)
    board, claims = collect([study]), load_claims(path)
    draw_board(board, claims, tmp_path / "board.svg")
    drawn = (tmp_path / "board.svg").read_text()
    for name in ("rslad", "saad", "trades", "AutoAttack less that of rslad, points"):
        assert f"<!-- {name} -->" in drawn
    draw_judged(board, claims, tmp_path / "claims.svg")
    drawn = (tmp_path / "claims.svg").read_text()
    assert "<!-- SAAD | helps -->" in drawn
    assert "<!-- less -->" in drawn
    assert "nobody" not in drawn
    scaled = board_figures._scaled(claims.claims[1], {**judge(board, claims)[1], "status": "x"})
    found = judge(board, claims)[1]["found"]
    assert scaled["value"] == pytest.approx(-found["difference"] / 4)
    assert scaled["interval"] == pytest.approx([-found["interval"][1] / 4, -found["interval"][0] / 4])
    page = to_markdown(board, claims, "images")
    assert re.findall(r"\]\(([^)]+)\)", page) == ["images/leaderboard.svg", "images/claims.svg"]
    assert "](" not in to_markdown(board, claims)


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
