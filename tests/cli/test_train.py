"""`robustill train` and `robustill demo`: run folders, resuming."""

import json
from pathlib import Path

import pytest
import torch

from robustill import demo
from robustill.models import load_model
from robustill.recipe import load_recipe
from tests.cli.command import QUICK, Robustill, refused


def test_a_run_folder_holds_what_is_promised(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert names >= {"recipe.toml", "metrics.jsonl", "last.pt", "student.safetensors", "student_last.safetensors"}
    assert not [name for name in names if "tmp" in name]
    recipe = load_recipe(trained)
    assert recipe.training.epochs == 2
    assert recipe.training.optimizer.lr == 0.02
    assert load_model(trained).class_names == tuple("0123456789")


def test_train_prints_a_table_and_json(robustill: Robustill, tmp_path: Path) -> None:
    outcome = robustill("train", "digits_standard_cnn-small", *QUICK, "--out", "run")
    assert outcome.code == 0
    assert "run: accuracy on the validation split, %" in outcome.out
    assert "selected" in outcome.out
    best = robustill("train", "digits_standard_cnn-small", *QUICK, "--out", "other", "--json").json
    assert set(best) == {"out", "best", "last"}
    assert best["out"] == "other"
    assert best["last"]["epoch"] == 1
    assert f"{100 * best['best']['clean']:.2f}" in outcome.out


def test_the_recipe_of_a_run_says_what_is_in_force_where_it_is_silent(robustill: Robustill) -> None:
    teacher = ("--set", "teachers.teacher=robustill:digits_pgd-at_resnet18")
    robustill("train", "digits_igdm_cnn-small", *QUICK, *teacher, "--out", "run")
    text = (Path("run") / "recipe.toml").read_text()
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert "# method.base.alpha = 0.8333333333333334" in comments
    assert any(line.startswith("# base.attack = PGD(") and "norm='Linf'" in line for line in comments)
    assert "# augmentation: none" in comments
    assert load_recipe("run") == load_recipe("digits_igdm_cnn-small", [*QUICK[1::2], teacher[1]])


def test_train_goes_to_runs_by_default(robustill: Robustill) -> None:
    assert robustill("train", "digits_standard_cnn-small", *QUICK, "--json").json["out"] == str(
        Path("runs") / "digits_standard_cnn-small"
    )
    assert Path("runs/digits_standard_cnn-small/last.pt").exists()


def test_mixed_precision_is_a_short_form(robustill: Robustill) -> None:
    robustill("train", "digits_standard_cnn-small", *QUICK, "--mixed-precision", "bf16", "--out", "run")
    assert load_recipe("run").training.mixed_precision == "bf16"


def test_a_finished_run_resumes_to_the_same_result(robustill: Robustill, trained: Path) -> None:
    before = {name: (trained / name).read_bytes() for name in ("student.safetensors", "metrics.jsonl", "recipe.toml")}
    first = robustill("train", "digits_standard_cnn-small", *QUICK, "--out", trained, "--resume", "--json")
    assert first.code == 0
    # The run's own recipe is used, by the name of the folder alone too.
    assert robustill("train", trained, "--resume", "--json").json == first.json
    assert robustill("train", "digits_standard_cnn-small", "--out", trained, "--resume", "--json").json == first.json
    for name, content in before.items():
        assert (trained / name).read_bytes() == content, name


def test_a_wrapper_and_a_network_that_learns_beside_the_student(robustill: Robustill) -> None:
    tables = ["method={name = 'fair_ard', beta = 1, base = {name = 'peeraid', gamma2 = '1/100'}}", "attack.steps=1"]
    tables += ["teachers.peer=cnn_small", "training.guides.peer.optimizer.lr=0.01", "data.limit=200"]
    changes = [word for table in tables for word in ("--set", table)]
    first = robustill("train", "digits_pgd-at_cnn-small", *QUICK, *changes, "--out", "run", "--json")
    assert first.code == 0, first.err
    recipe = load_recipe("run")
    assert recipe.method.base is not None
    assert recipe.method.base.model_extra == {"gamma2": "1/100"}
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    epoch = lines[-1]
    assert epoch.keys() >= {"peer_right_adv", "lowest", "probe"}
    assert epoch["probe"].keys() == {"peer_clean", "peer_on_its_own", "peer_on_the_students"}
    peer, student = load_model("run/peer_last.safetensors"), load_model("run/student_last.safetensors")
    assert not torch.equal(next(peer.parameters()), next(student.parameters()))
    assert robustill("train", "run", "--resume", "--json").json == first.json


def test_a_used_folder_is_not_overwritten(robustill: Robustill, trained: Path) -> None:
    before = (trained / "last.pt").read_bytes()
    outcome = robustill("train", "digits_standard_cnn-small", *QUICK, "--out", trained)
    refused(outcome, f"{trained} already holds a run", "hint: pass --resume to go on, or choose another --out")
    refused(robustill("train", trained), "already holds a run", "--resume")
    assert (trained / "last.pt").read_bytes() == before


def test_resume_with_another_recipe(robustill: Robustill, trained: Path) -> None:
    changed = ["--set", "training.batch_size=8"]
    outcome = robustill("train", "digits_standard_cnn-small", *QUICK, *changed, "--out", trained, "--resume")
    refused(outcome, "was started with another recipe: training.batch_size: 64 then, 8 now")
    assert "train longer" not in outcome.err
    weights = trained / "student_last.safetensors"
    longer = ["--set", "training.epochs=3"]
    outcome = robustill("train", "digits_standard_cnn-small", *QUICK, *longer, "--out", trained, "--resume")
    refused(
        outcome, "training.epochs: ", f"to train longer, start anew from its weights: --set student.weights={weights}"
    )
    further = robustill(
        "train", "digits_standard_cnn-small", *QUICK, "--set", f"student.weights={weights}", "--out", "on"
    )
    assert further.code == 0


def test_nothing_to_resume(robustill: Robustill) -> None:
    outcome = robustill("train", "digits_standard_cnn-small", "--out", "new", "--resume")
    refused(outcome, "no checkpoint in new", "hint: start the run without --resume")
    assert not Path("new").exists()


def test_a_damaged_checkpoint(robustill: Robustill) -> None:
    robustill("train", "digits_standard_cnn-small", *QUICK, "--out", "run")
    Path("run/last.pt").write_bytes(Path("run/last.pt").read_bytes()[:1000])
    Path("run/last.previous.pt").unlink()
    refused(robustill("train", "run", "--resume"), "run/last.pt is damaged", "hint:")


def test_a_folder_that_cannot_be_made(robustill: Robustill, trained: Path) -> None:
    Path("file").write_text("")
    refused(robustill("train", "digits_standard_cnn-small", "--out", "file"), "cannot create the folder file")
    refused(robustill("evaluate", trained, "--images", 50, "--out", "file"), "cannot create the folder file")
    refused(robustill("doctor", "--out", "file"), "cannot create the folder file")


def test_the_demo_trains_four_networks_and_goes_on_where_it_was(
    robustill: Robustill, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes, targets = demo.load_recipe, demo.evaluate_target
    short = ["training.epochs=1", "training.batch_size=512"]
    monkeypatch.setattr(demo, "load_recipe", lambda name, changes: recipes(name, [*changes, *short]))
    monkeypatch.setattr(demo, "evaluate_target", lambda run: targets(run, attacks="fgsm", images=50))
    first = robustill("demo", "--out", "story")
    assert first.code == 0
    folders = {path.name for path in Path("story").iterdir() if path.is_dir()}
    assert folders == {"teacher_nat", "teacher_adv", "bmtard", "pgd_at"}
    written = json.loads(Path("story/demo.json").read_text())
    assert [set(row) for row in written] == [{"network", "clean", "attacked", "mean"}] * 4
    assert all(row["clean"] in first.out for row in written)
    assert load_recipe("story/bmtard").teachers == {
        "teacher_adv": str(Path("story/teacher_adv")),
        "teacher_nat": str(Path("story/teacher_nat")),
    }
    assert "Share of right predictions on 50 test digits" in first.out
    assert first.out.count("\u2502") == 4 * 5
    assert Path("story/report.html").read_text().count('<h2 id="run-') == 4
    assert f"wrote {Path('story/report.html')}" in first.out
    before = Path("story/bmtard/metrics.jsonl").read_bytes()
    again = robustill("demo", "--out", "story")
    assert again.out == first.out
    assert Path("story/bmtard/metrics.jsonl").read_bytes() == before
