"""The leaderboard: its numbers are those of the stored verdicts, and nothing else gets in."""

import json
import re
from pathlib import Path

import pytest
import torch

from robustill.errors import CheckpointError
from robustill.study import Study, board_figures
from robustill.study.board import collect, pack, unpack
from robustill.study.board_figures import draw_board, draw_judged
from robustill.study.claims import load_claims
from robustill.study.judge import difference, judge
from robustill.study.leaderboard import best_student, table, to_markdown
from tests.study.boards import CLAIMS, ROOT, made, right, write


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return made(tmp_path)


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
