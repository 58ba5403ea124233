"""Tables of an earlier run beside the cells that are here: the same table, whoever has the cells, or a refusal."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustill.errors import CheckpointError
from robustill.study import Study, open_study
from robustill.study.board import STANDARD
from robustill.study.folder import RESULT
from robustill.study.schedule import Schedule, jobs_of
from tests.study.small import TEACHERS, Inline, Silent, opened, pretend

QUICK = """
[base]
training.epochs = 1
attack.steps = 1
attack.eps = 0.05
evaluation.eps = 0.05
teachers = { teacher = "cell:robust" }

[evaluate]
attacks = ["fgsm"]
images = 10
checks = false
"""
RUNS = '[runs.rslad]\nrecipe = "digits_rslad_cnn-small"\ngrid.method.alpha = [0.5, 1]\n' + TEACHERS
ROW = "rslad[alpha=0.5]"
HEAD = "run,seed,student,attack,images,accuracy,wra,cell,address\n"


def accuracy(job: dict[str, Any]) -> float:
    return 0.5 + len(job["name"]) % 10 / 40 + int(job["name"][-1]) / 90


def ran(folder: Path, base: str = QUICK, told: Callable[[dict[str, Any]], float] = accuracy) -> Study:
    folder.mkdir(exist_ok=True)
    study = opened(folder, RUNS, f'baseline = "{ROW}"', base)
    study._prepare()
    Schedule(jobs_of(study.cells.all(), study.store), study.store, Inline(pretend(told)), Silent(), retries=0).run()
    study.write()
    return study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Return a study of which two cells are not here, with the tables of all in `published`."""
    found = ran(tmp_path)
    shutil.copytree(found.out, tmp_path / "published", ignore=shutil.ignore_patterns("cells"))
    for cell in found.rows():
        if cell.variant.name == ROW and cell.seed:
            (found.store.of(cell) / RESULT).unlink()
    return found


def beside(study: Study, folder: Path, **changes: Any) -> Study:
    found = open_study(study.out.parent / "study.toml", out=study.out.parent / "new", cells=study.store.root, **changes)
    found.beside = folder
    return found


def rewrite(path: Path, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    with path.open(newline="") as file:
        rows = [change(row) for row in csv.DictReader(file)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_half_of_the_cells_and_the_published_table_are_the_whole_table(study: Study, tmp_path: Path) -> None:
    assert study.write()["missing"] == [f"{ROW} seed 1: not run yet", f"{ROW} seed 2: not run yet"]
    again = beside(study, tmp_path / "published")
    summary = again.write()
    assert (summary["missing"], summary["earlier"]) == ([], [f"{ROW} (seed 1, 2)"])
    for name in ("results.csv", "results.parquet", "results.svg"):
        assert (again.out / name).read_bytes() == (tmp_path / "published" / name).read_bytes(), name
    text = (again.out / "summary.md").read_text()
    assert f"\nTaken from an earlier run's tables: {ROW} (seed 1, 2).\n" in text
    assert text.replace(f"\nTaken from an earlier run's tables: {ROW} (seed 1, 2).\n", "") == (
        (tmp_path / "published" / "summary.md").read_text()
    )


def test_cells_that_are_here_go_first_unless_the_published_are_asked_for(study: Study, tmp_path: Path) -> None:
    rewrite(tmp_path / "published" / "results.csv", lambda row: {**row, "accuracy": "0.125"})
    again = beside(study, tmp_path / "published")
    accuracies = again.write()["runs"][ROW]["best"]["clean"]["seeds"]
    assert accuracies == {"0": pytest.approx(0.5 + len(f"{ROW} seed 0") % 10 / 40), "1": 0.125, "2": 0.125}
    again.beside_first = True
    assert set(again.write()["runs"][ROW]["best"]["clean"]["seeds"].values()) == {0.125}


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("address", "000000000000"),
        ("attack", "cw"),
        ("student", "first"),
    ],
)
def test_rows_of_something_else_are_not_taken(column: str, value: str, study: Study, tmp_path: Path) -> None:
    def change(row: dict[str, str]) -> dict[str, str]:
        return {**row, column: value} if row["seed"] == "1" and row["attack"] == "fgsm" else row

    rewrite(tmp_path / "published" / "results.csv", change)
    summary = beside(study, tmp_path / "published").write()
    assert (summary["missing"], summary["earlier"]) == ([f"{ROW} seed 1: not run yet"], [f"{ROW} (seed 2)"])


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ("training.epochs = 1", "training.epochs = 2"),
        ("evaluation.eps = 0.05", "evaluation.eps = 0.1"),
        ('attacks = ["fgsm"]', 'attacks = ["fgsm"]\nnorm = "L2"\neps = 0.05'),
        ("images = 10", "images = 9"),
        ("checks = false", 'checks = false\nsplit = "validation"'),
        ("checks = false", "checks = false\nseed = 5"),
    ],
)
def test_rows_of_other_questions_are_not_taken(asked: str, changed: str, study: Study, tmp_path: Path) -> None:
    source = study.out.parent / "study.toml"
    assert asked in source.read_text()
    source.write_text(source.read_text().replace(asked, changed))
    assert beside(study, tmp_path / "published").write()["earlier"] == []


MORE = {
    "calibration": "run,seed,eps,calibration_found,calibration_certified,agreement_found,agreement_certified",
    "landscape": "run,seed,radius,loss,rise,robust_drop",
}


@pytest.mark.parametrize(
    ("table", "file"), [("[calibrate]\neps = [0.1]\n", "calibration"), ("[landscape]\n", "landscape")]
)
def test_rows_without_all_that_is_asked_are_not_taken(table: str, file: str, study: Study, tmp_path: Path) -> None:
    source = study.out.parent / "study.toml"
    source.write_text(source.read_text().replace("[evaluate]", f"{table}[evaluate]"))
    assert beside(study, tmp_path / "published").write()["earlier"] == []
    # Rows of the same students under the new question, without its own table.
    cells = {(cell.variant.name, str(cell.seed)): cell for cell in beside(study, tmp_path / "published").rows()}
    rewrite(
        tmp_path / "published" / "results.csv",
        lambda row: {**row, "address": cells[row["run"], row["seed"]].address[:12]},
    )
    assert beside(study, tmp_path / "published").write()["earlier"] == []
    # Of one of the two seeds.
    own = tmp_path / "published" / f"{file}.csv"
    values = ",".join("0.5" for _ in MORE[file].split(",")[2:])
    own.write_text(f"{MORE[file]}\n{ROW},2,{values}\n")
    again = beside(study, tmp_path / "published")
    assert again.write()["earlier"] == [f"{ROW} (seed 2)"]
    assert (again.out / own.name).read_text() == own.read_text()
    own.write_text(own.read_text().replace(values, values.replace("0.5", "half")))
    with pytest.raises(CheckpointError, match=rf"{file}.csv, line 2: (eps|radius) is 'half'"):
        again.write()


def test_only_the_students_that_are_asked_for_have_to_be_there(study: Study, tmp_path: Path) -> None:
    table = tmp_path / "published" / "results.csv"
    whole = table.read_text()
    table.write_text("".join(line for line in whole.splitlines(keepends=True) if ",last," not in line))
    assert beside(study, tmp_path / "published").write()["earlier"] == []
    source = study.out.parent / "study.toml"
    source.write_text(source.read_text().replace("checks = false", "checks = false\nlast = false"))
    asked = {(cell.variant.name, str(cell.seed)): cell for cell in beside(study, tmp_path / "published").rows()}
    rewrite(table, lambda row: {**row, "address": asked[row["run"], row["seed"]].address[:12]})
    assert f"{ROW} (seed 0, 1, 2)" in beside(study, tmp_path / "published").write()["earlier"]


def test_other_numbers_of_images_do_not_stand_in_one_table(tmp_path: Path) -> None:
    study = ran(tmp_path, QUICK.replace("images = 10\n", ""))
    shutil.copytree(study.out, tmp_path / "published", ignore=shutil.ignore_patterns("cells"))
    cell = next(cell for cell in study.rows() if cell.variant.name == ROW)
    (study.store.of(cell) / RESULT).unlink()
    rewrite(tmp_path / "published" / "results.csv", lambda row: {**row, "images": "9"})
    with pytest.raises(CheckpointError, match="is about 9 images, the cells here about 10"):
        beside(study, tmp_path / "published").write()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file"),
        ("", "it has no run, seed, student, attack, images, accuracy, wra, cell, address"),
        ("run,seed,images\nrslad,1,9\n", "it has no student, attack, accuracy, wra, cell, address"),
        (HEAD + "a,0,best,clean,9,1.5,,c,d\n", "line 2: accuracy is '1.5'"),
        (HEAD + "a,0,best,clean,9,0.5,,c,d\na,x,best,clean,9,0.5,,c,d\n", "line 3: seed is 'x'"),
        (HEAD + "a,0,best,clean,9,nan,,c,d\n", "line 2: accuracy is 'nan'"),
        (HEAD + "a,0,best,clean,9,0.5,half,c,d\n", "line 2: wra is 'half'"),
        (HEAD + "a,0,,clean,9,0.5,,c,d\n", "line 2: student is ''"),
        (HEAD + "a,0,best\n", "line 2: not as many values as columns"),
        (HEAD + "a,0,best,clean,9,0.5,,c,d,more\n", "line 2: not as many values as columns"),
        ("\x00\xff", "is not a study's table"),
    ],
)
def test_what_is_no_table_is_refused_before_anything_runs(
    text: str | None, says: str, study: Study, tmp_path: Path
) -> None:
    folder = tmp_path / "wrong"
    folder.mkdir()
    if text is not None:
        (folder / "results.csv").write_bytes(text.encode("latin-1"))
    again = beside(study, folder)
    with pytest.raises(CheckpointError, match=says) as caught:
        again.run()
    assert str(folder / "results.csv") in str(caught.value)
    assert again.jobs == {}


def test_the_projects_own_tables_are_those_of_its_studies(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for folder in sorted((root / "results" / "studies").iterdir()):
        study = open_study(
            root / "studies" / f"{folder.name}.toml", out=tmp_path / folder.name, cells=tmp_path / "none",
            allowed=[root], beside=folder,
        )  # fmt: skip
        summary = study.write()
        assert STANDARD in next(iter(summary["runs"].values()))["best"], folder.name
        for path in folder.rglob("*"):
            if path.suffix == ".csv":
                assert (study.out / path.name).read_text() == path.read_text(), path
            elif path.suffix == ".json":
                assert (study.out / path.relative_to(folder)).read_bytes() == path.read_bytes(), path
            elif path.suffix == ".svg":
                assert f"]({path.relative_to(folder).as_posix()})" in (study.out / "summary.md").read_text(), path


def test_what_is_known_is_not_run_again_and_teachers_are_only_trained(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (tmp_path / "published" / "results.csv").read_text()
    lines = [line for line in whole.splitlines(keepends=True) if not line.startswith(f"{ROW},1,")]
    (tmp_path / "published" / "results.csv").write_text("".join(lines))
    again = open_study(tmp_path / "study.toml", out=tmp_path / "new", cells=tmp_path / "none")
    again.beside = tmp_path / "published"
    cell = next(cell for cell in again.rows() if (cell.variant.name, cell.seed) == (ROW, 1))
    (teacher,) = cell.needs.values()
    assert list(again.look()) == list(again.look([ROW])) == [teacher.folder, cell.folder]
    assert again.look(["clean"]) == {}
    runner = Inline(pretend(accuracy))
    monkeypatch.setattr("robustill.study.run._runner", lambda way, cells: runner)
    summary = again.run()
    assert runner.started == [teacher.folder, cell.folder]
    assert not (again.store.of(teacher) / RESULT).exists()
    assert summary["missing"] == []
    assert (again.out / "results.csv").read_text() == whole
    assert again.run() == summary
    assert len(runner.started) == 2
