"""What a study may ask for beside results: baselines of its own, curves, landscapes, a ranking of teachers."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from robustill.diagnostics.ranking import Gates, Ranking, TeacherReport
from robustill.diagnostics.ranking.scores import Score
from robustill.errors import RecipeError
from robustill.models import load_model, model_digest, save_model
from robustill.study import Study
from robustill.study.earlier import Earlier
from robustill.study.folder import Store
from robustill.study.ranking import OUTCOMES
from robustill.study.run_cell import attempt
from robustill.study.schedule import Schedule, jobs_of
from robustill.study.summary import table
from robustill.writing import write_json
from tests.study.small import QUICK, TEACHERS, Inline, Silent, expand, opened, pretend

PAIR = '[runs.{0}]\nrecipe = "digits_{1}_cnn-small"\n'
TRADES = PAIR.format("trades", "trades")


def ran(study: Study, work: Inline | None = None) -> Study:
    study._prepare()
    runner = work or Inline()
    Schedule(jobs_of(study.cells.all(), study.store), study.store, runner, Silent(), retries=0).run()
    study.write()
    return study


def test_a_row_may_have_a_baseline_of_its_own(tmp_path: Path) -> None:
    runs = PAIR.format("a", "trades") + PAIR.format("b", "mart") + "baseline = 'a'\n"
    runs += PAIR.format("c", "pgd-at") + "baseline = 'b'\n" + PAIR.format("d", "rslad") + TEACHERS

    def accuracy(job: dict[str, object]) -> float:
        return {"a": 0.1, "b": 0.3, "c": 0.8, "d": 0.9}.get(str(job["name"])[0], 0.0)

    study = ran(opened(tmp_path, runs, "seeds = 2\nbaseline = 'd'"), Inline(pretend(accuracy)))
    summary = json.loads((study.out / "summary.json").read_text())
    found = {run: each["best"]["fgsm"] for run, each in summary["paired"].items()}
    assert {run: round(each["difference"], 6) for run, each in found.items() if each} == {"a": -0.8, "b": 0.2, "c": 0.5}
    assert "d" not in found
    assert summary["baselines"]["c"] == "b"
    columns, rows = table(summary, "best")
    assert columns[4:6] == ["less", "fgsm - base"]
    assert {row[0]: row[4] for row in rows}["c"] == "b"
    with pytest.raises(RecipeError, match=r"runs.a.baseline: no row 'x'"):
        expand(TRADES + PAIR.format("a", "mart") + "baseline = 'x'\n")


def test_other_measures_leave_a_finished_cell_finished(tmp_path: Path) -> None:
    """Two studies with different measures share a cell: neither undoes the other's."""
    small = QUICK.replace("attack.steps = 1", "attack.steps = 1\ndata.limit = 200")
    base = small + "[landscape]\nradius = 0.2\npoints = 3\nflatness_at = 0.2\ndirections = 2\nimages = 20\nsteps = 1\n"
    store, results = Store(tmp_path), []
    for head in (small, base):
        (cell,) = expand(TRADES, "seeds = 1", head).all()
        store.of(cell).mkdir(exist_ok=True)
        write_json(store.job(cell), store.of(cell) / "cell.json")
        assert attempt(store.of(cell)) == 0
        results.append((cell, store.result(cell)))
    (first, before), (second, found) = results
    assert store.of(first) == store.of(second)
    assert first.address != second.address
    assert store.result(first) == before
    assert store.done(first)
    assert store.done(second)
    assert found is not None
    assert before is not None
    assert found["rows"] == before["rows"]
    stored = json.loads((store.of(second) / found["landscape"]["file"]).read_text())["runs"]["best"]
    assert found["landscape"]["rise"] == stored["flatness"]["rise"]["mean"]
    assert "landscape" not in before


def test_only_the_entries_that_are_named_are_looked_at() -> None:
    base = QUICK + "[landscape]\nruns = ['trades']\n"
    found = {cell.variant.name: cell for cell in expand(TRADES + TEACHERS, "seeds = 1", base).all()}
    assert "landscape" in found["trades"].measures
    assert "landscape" not in found["robust"].measures
    for table_, key in (("landscape", "runs = ['trade']"), ("curves", "panels = [['a']]\nruns = ['trade']")):
        with pytest.raises(RecipeError, match=rf"{table_}.runs: no run 'trade'\n.*'trades'"):
            expand(TRADES, "", QUICK + f"[{table_}]\n{key}\n")


def test_curves_are_what_the_journals_say(tmp_path: Path) -> None:
    def work(folder: Path) -> int:
        lines = [
            {"kind": "step", "epoch": 0, "step": 0, "adv": 2.0},
            {"kind": "step", "epoch": 0, "step": 50, "adv": 1.5},
            {"kind": "epoch", "epoch": 0, "adv": 1.7, "probe": {"peer": 0.25}, "seconds": 1},
            {"kind": "step", "epoch": 1, "step": 0, "adv": 1.0},
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return pretend()(folder)

    base = QUICK + "[curves]\npanels = [['adv'], ['probe.peer', 'none']]\nruns = ['trades']\n"
    study = ran(opened(tmp_path, TRADES + TEACHERS, "seeds = 2", base), Inline(work))
    with (study.out / "curves.csv").open() as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    own = [row[2:] for row in rows if row[:2] == ("trades", "1")]
    # Lines come every 50 steps, so an epoch is taken for 100 long.
    assert own == [
        ("0.0", "step", "adv", "2.0"),
        ("0.5", "step", "adv", "1.5"),
        ("1", "epoch", "adv", "1.7"),
        ("1", "epoch", "probe.peer", "0.25"),
        ("1.0", "step", "adv", "1.0"),
    ]
    assert {row[0] for row in rows} == {"trades"}
    assert (study.out / "curves.svg").stat().st_size > 1000


def tied(robust: dict[str, float]) -> Ranking:
    """Return teachers whose intervals overlap, of falling scores and of these robust accuracies."""
    reports = []
    for k, (name, accuracy) in enumerate(robust.items()):
        score = Score(1 - 0.1 * k, 0.5, 1.5)
        surfaces = {"clean": {"entropy": {"unlearnable": score, "contrast": score}}}
        same = Score(accuracy, accuracy, accuracy)
        reports.append(TeacherReport(name, "", surfaces, {"clean": None}, same, (), {}, classes=3))
    return Ranking(tuple(reports), "unlearnable_entropy", "clean", 1.0, Gates())


def test_teachers_are_ranked_when_all_is_there(tmp_path: Path) -> None:
    small = QUICK.replace(
        "attack.steps = 1", "attack.steps = 1\ndata.limit = 300\ndata.validation = 60\ntraining.batch_size = 16"
    )
    small = small.replace("epochs = 1", "epochs = 4")
    runs = PAIR.format("reference", "pgd-at") + "seeds = [5, 6]\n" + PAIR.format("a", "trades") + "seeds = 1\n"
    runs += PAIR.format("student", "rslad") + "grid.teachers.teacher = ['cell:a', 'cell:robust', 'cell:robust:last']\n"
    base = small + "[ranking]\nreferences = 'reference'\nstudents = 'student'\nattack = 'fgsm'\n"
    study = opened(tmp_path, runs + TEACHERS.partition("[runs.clean]")[0], "seeds = 1", base)
    study._prepare()
    from robustill.study.ranking import rank

    assert study.table.ranking is not None
    nothing = Earlier(None, study.rows(), study.store)
    assert rank(study.cells, study.store, study.table.ranking, study.out / "ranking", nothing) is None
    ran(study)
    robust = next(study.store.of(cell) for cell in study.cells.all() if cell.variant.name == "robust")
    other = load_model(study.store.of(next(c for c in study.cells.all() if c.variant.name == "a")))
    save_model(other, robust / "student_last.safetensors")
    found = rank(study.cells, study.store, study.table.ranking, study.out / "ranking", nothing)
    assert found is not None
    assert [each["name"] for each in found["teachers"]] == ["a", "robust", "robust, last"]
    digests = {each["name"]: each["digest"] for each in found["teachers"]}
    assert digests["robust, last"] == digests["a"] == model_digest(other)
    assert digests["robust"] == model_digest(load_model(robust))
    for name, each in found["students"].items():
        label = {"a": "cell:a", "robust": "cell:robust", "robust, last": "cell:robust:last"}[name]
        (cell,) = [c for c in study.cells.all() if c.variant.name == f"student[teacher={label}]"]
        result = study.store.result(cell)
        assert result is not None
        robust = {row["student"]: row["accuracy"] for row in result["rows"] if row["attack"] == "robust"}
        assert each["gap"]["0"] == robust["best"] - robust["last"]
    # None of these networks has learned enough to be asked.
    assert all(each["dropped"] for each in found["teachers"])
    assert found["validation"] == []
    assert (study.out / "ranking" / "ranking.svg").exists()
    asked = (study.cells, study.store, study.table.ranking, study.out / "ranking")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robustill.study.ranking._asked", lambda *_: tied({"a": 0.7, "robust": 0.9, "robust, last": 0.8}))
        became = iter(3 * [0.3] + 3 * [0.2] + 3 * [0.5])
        patch.setattr("robustill.study.ranking._became", lambda *_: {each: {"0": next(became)} for each in OUTCOMES})
        regrets = [each["regret"] for each in rank(*asked, nothing)["validation"]]  # type: ignore[index]
    assert regrets[0] == pytest.approx(0.5 - 0.2), "the score of 'a' is the highest, 'robust' is tied and more robust"
    # What students became may be told by an earlier run's table; their teachers have to be here.
    (study.store.of(cell) / "result.json").unlink()
    assert rank(*asked, nothing) is None
    earlier = Earlier(study.out, study.rows(), study.store)
    assert rank(*asked, earlier) == found
    (study.store.of(next(iter(cell.needs.values()))) / "trained.json").unlink()
    assert rank(*asked, Earlier(study.out, study.rows(), study.store)) is None
    shutil.rmtree(study.out / "ranking")


def test_teachers_that_failed_a_gate_have_no_score_and_checkpoints_of_one_run_are_one_family() -> None:
    from robustill.study.ranking import _validations

    scores = {"a": 0.1, "b": 0.2, "b, last": 0.3, "wild": None}
    students = {
        name: {"last": {"0": value}, "best": {"0": value}, "gap": {"0": -value}}
        for name, value in {"a": 0.3, "b": 0.4, "b, last": 0.5, "wild": 0.1}.items()
    }
    families = {"a": "a", "b": "b", "b, last": "b", "wild": "wild"}
    both = {"unlearnable": scores, "contrast": {**scores, "a": None}}
    found = _validations(both, {"unlearnable": "b", "contrast": None}, students, {}, families)
    assert [(each["criterion"], each["outcome"]) for each in found] == [
        ("unlearnable", outcome) for outcome in ("last", "best", "gap")
    ]
    assert [each["rho"] for each in found] == [1.0, 1.0, -1.0]
    assert (found[0]["families"]["teachers"], found[0]["dropped"]) == (2, ["wild"])
    assert found[0]["regret"] == pytest.approx(0.1), "of the teacher that the ranking puts first"


def test_a_ranking_needs_teachers_that_are_cells() -> None:
    from robustill.study.ranking import rank

    runs = TRADES + PAIR.format("reference", "pgd-at")
    base = QUICK + "[ranking]\nreferences = 'reference'\nstudents = 'trades'\n"
    cells = expand(runs, "seeds = 1", base)
    assert cells.study.ranking is not None
    with pytest.raises(RecipeError, match="trades seed 0 has no 'teacher' that is one cell"):
        rank(cells, Store(Path("none")), cells.study.ranking, Path("none"), Earlier(None, [], Store(Path("none"))))
