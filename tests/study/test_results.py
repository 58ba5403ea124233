"""Tables: what is in them, and that nothing else is."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from robustill.study import Study
from robustill.study.latex import escaped
from robustill.study.schedule import Schedule, jobs_of
from robustill.study.summary import summarize, to_markdown
from tests.study.small import TEACHERS, Inline, Silent, opened, pretend

RUNS = '[runs.rslad]\nrecipe = "digits_rslad_cnn-small"\ngrid.method.alpha = [0.5, 1]\n' + TEACHERS
ACCURACY = {"rslad[alpha=0.5]": (0.52, 0.61, 0.70), "rslad[alpha=1]": (0.50, 0.58, 0.66)}


def accuracy(job: dict[str, Any]) -> float:
    name, _, seed = job["name"].rpartition(" seed ")
    return ACCURACY[name][int(seed)] if name in ACCURACY else 0.8


@pytest.fixture
def study(tmp_path: Path) -> Study:
    found = opened(tmp_path, RUNS, 'baseline = "rslad[alpha=1]"\ntitle = "A & <b>"')
    found._prepare()
    jobs = jobs_of(found.cells.all(), found.store)
    Schedule(jobs, found.store, Inline(pretend(accuracy)), Silent(), retries=0).run()
    found.write()
    return found


def test_a_row_for_each_cell_student_and_attack(study: Study) -> None:
    with (study.out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (6 + 2) * 2 * 3
    assert len({(row["run"], row["seed"], row["student"], row["attack"]) for row in rows}) == len(rows)
    row = next(
        r for r in rows if (r["run"], r["seed"], r["student"], r["attack"]) == ("rslad[alpha=0.5]", "2", "last", "fgsm")
    )
    assert float(row["accuracy"]) == 0.70
    assert row["set.method.alpha"] == "0.5"
    assert row["teachers"] == "teacher=cell:robust"
    assert (row["method"], row["architecture"], row["data"]) == ("rslad", "cnn_small", "digits")
    assert (row["eps"], row["epoch"], row["images"]) == ("0.05", "2", "10")
    assert not {name for name in row if "second" in name or "time" in name or "host" in name}


def test_parquet_has_the_same_rows(study: Study) -> None:
    table = pyarrow.parquet.read_table(study.out / "results.parquet")
    with (study.out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert table.column_names == list(rows[0])
    assert [float(row["accuracy"]) for row in rows] == table.column("accuracy").to_pylist()
    assert [int(row["seed"]) for row in rows] == table.column("seed").to_pylist()


def test_the_summary_has_what_follows_by_hand(study: Study) -> None:
    summary = json.loads((study.out / "summary.json").read_text())
    found = summary["runs"]["rslad[alpha=0.5]"]["best"]["robust"]
    assert found["mean"] == pytest.approx(0.61)
    assert found["sd"] == pytest.approx(0.09)
    assert found["seeds"] == {"0": 0.52, "1": 0.61, "2": 0.70}
    pair = summary["paired"]["rslad[alpha=0.5]"]["last"]["fgsm"]
    assert pair["difference"] == pytest.approx(0.03)
    assert pair["interval"] == pytest.approx([0.03 - 0.0248414, 0.03 + 0.0248414], abs=1e-6)
    assert pair["p_sign_flip"] == 0.25
    # Seed 7 of a teacher is no seed of the baseline.
    assert summary["paired"]["robust"]["best"]["fgsm"] is None
    assert "rslad[alpha=1]" not in summary["paired"]
    assert summary["missing"] == []


def test_the_page_says_it_to_people(study: Study) -> None:
    text = (study.out / "summary.md").read_text()
    assert "| rslad[alpha=0.5] | 3 | 61.00 ± 9.00 | 61.00 ± 9.00 | +3.00 [+0.52, +5.48] | 0.0351 | 0.25 |" in text
    assert "| robust | 1 | 80.00 | 80.00 | - | - | - |" in text
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Student chosen on the validation split", "Student of the last epoch", "Figures",
    ]  # fmt: skip


def test_the_page_says_what_the_numbers_are_about(study: Study) -> None:
    text = (study.out / "summary.md").read_text()
    assert "\nJudged on digits, test split, 10 images, Linf, eps 0.05.\n" in text
    assert "†" not in text


def test_the_table_for_latex(study: Study) -> None:
    text = (study.out / "summary.tex").read_text()
    assert "\nrslad{[}alpha=0.5{]} & 3 & 61.00 $\\pm$ 9.00 & 61.00 $\\pm$ 9.00 \\\\\n" in text
    assert "\\begin{tabular}{lrrr}\n\\toprule\nrun & seeds & clean & fgsm \\\\\n\\midrule\n" in text
    assert text.count("\\bottomrule\n\\end{tabular}") == 2
    assert "accuracy in \\%, mean $\\pm$ standard deviation over seeds. Judged on digits, test split, 10 images" in text
    assert escaped("a_b & {c} \\ ^~#$†") == (
        "a\\_b \\& \\{c\\} \\textbackslash{} \\textasciicircum{}\\textasciitilde{}\\#\\$$^\\dagger$"
    )


def test_numbers_whose_checks_fired_are_marked() -> None:
    head = {"run": "a", "images": 10, "data": "digits", "norm": "Linf", "eps": 8 / 255, "wra": None}
    rows = [
        {**head, "student": student, "attack": attack, "seed": seed, "accuracy": 0.5, "suspicious": fired}
        for student, seed, fired in [
            ("best", 0, ""),
            ("best", 1, "square-beats-gradients, steps-sweep"),
            ("last", 0, ""),
        ]
        for attack in ("clean", "fgsm")
    ]
    rows += [{**row, "run": "b", "suspicious": "", "eps": 4 / 255} for row in rows]
    summary = summarize(rows, name="s", title="", baselines={}, missing=[], split="validation")
    text = to_markdown(summary)
    assert "| a | 2 | 50.00 ± 0.00 | 50.00 ± 0.00 † |" in text
    assert "| b | 2 | 50.00 ± 0.00 | 50.00 ± 0.00 |" in text
    assert "| a | 1 | 50.00 | 50.00 |" in text
    assert text.count("† A check fired") == 1
    assert "a, best: square-beats-gradients (seed 1); a, best: steps-sweep (seed 1).\n" in text
    assert "Judged on digits, validation split, 10 images, Linf, eps 0.0314 (8/255) (a).\n" in text
    assert "Judged on digits, validation split, 10 images, Linf, eps 0.0157 (4/255) (b).\n" in text


def test_a_table_without_these_columns_has_a_page_too() -> None:
    rows = [{"run": "a", "student": "best", "attack": "fgsm", "seed": 0, "accuracy": 0.5, "wra": None}]
    text = to_markdown(summarize(rows, name="s", title="", baselines={}, missing=[]))
    assert "| a | 1 | 50.00 |" in text
    assert "Judged" not in text
    assert "†" not in text


def test_a_study_of_the_selected_students_alone_has_a_page(study: Study) -> None:
    with (study.out / "results.csv").open() as file:
        rows = [{**row, "accuracy": 0.5, "wra": None} for row in csv.DictReader(file) if row["student"] == "best"]
    summary = summarize(rows, name="a", title="", baselines={"rslad[alpha=0.5]": "rslad[alpha=1]"}, missing=[])
    assert re.findall(r"^## (.*)$", to_markdown(summary), re.MULTILINE) == ["Student chosen on the validation split"]


def test_what_is_missing_is_said(study: Study) -> None:
    cells = study.cells.all()
    (study.store.of(cells[1]) / "result.json").unlink()
    clean = next(cell for cell in cells if cell.variant.name == "clean")
    (study.store.of(clean) / "trained.json").unlink()
    why = {"address": clean.address, "error": "Odd", "message": "a <b>"}
    (study.store.of(clean) / "failed.json").write_text(json.dumps(why))
    summary = study.write()
    assert summary["missing"] == [f"{cells[1].name}: not run yet", "clean seed 7: Odd: a <b>"]
    assert summary["runs"]["rslad[alpha=0.5]"]["best"]["fgsm"]["n"] == 2
    assert "- clean seed 7: Odd: a &lt;b&gt;" in (study.out / "summary.md").read_text()


def test_a_study_without_any_result_has_tables_too(tmp_path: Path) -> None:
    found = opened(tmp_path, RUNS)
    found._prepare()
    assert len(found.write()["missing"]) == 8
    assert pyarrow.parquet.read_table(found.out / "results.parquet").num_rows == 0
