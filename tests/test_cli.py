"""The command line: what it prints and writes, and one clear message for everything that is wrong."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustill import cli, demo
from robustill.data import DATASETS
from robustill.methods import METHODS
from robustill.models import MODELS, build_model, load_model, save_model
from robustill.recipe import load_recipe, shipped_recipes

VERBS = ("demo", "train", "evaluate", "list", "doctor")
QUICK = ["--set", "training.epochs=2", "--set", "training.optimizer.lr=0.02"]


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Robustill = Callable[..., Outcome]


@pytest.fixture
def robustill(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Robustill:
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(each) for each in arguments])
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), *capsys.readouterr())

    return run


def refused(outcome: Outcome, *parts: str) -> None:
    """Check that there is one message, that it says all `parts`, and no traceback."""
    assert outcome.code == 1, outcome
    assert outcome.err.count("error:") == 1, outcome.err
    assert outcome.err.startswith("error: ")
    assert "Traceback" not in outcome.err
    for part in parts:
        assert part in outcome.err, outcome.err
    assert outcome.out == ""


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder of two epochs of standard training on digits, of which the first was the better one."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    scores = iter([{"clean": 0.9}, {"clean": 0.8}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robustill.training.selection.judge", lambda *args, **kwargs: next(scores))
        with pytest.raises(SystemExit) as ended:
            cli.main(["train", "digits_standard_cnn-small", *QUICK, "--out", str(folder)])
    assert not ended.value.code
    return folder


def teacher(path: Path, classes: int = 10) -> Path:
    torch.manual_seed(0)
    save_model(build_model("cnn_small", num_classes=classes, shape=(1, 8, 8)), path)
    return path


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str, robustill: Robustill) -> None:
    outcome = robustill(verb, "--help")
    assert outcome.code == 0
    assert f" {verb} [OPTIONS]" in outcome.out
    assert "--help" in outcome.out


def test_help_names_every_verb(robustill: Robustill) -> None:
    outcome = robustill("--help")
    assert outcome.code == 0
    assert all(f" {verb} " in outcome.out for verb in VERBS)
    assert {command.name or command.callback.__name__ for command in cli.app.registered_commands} == set(VERBS)


def test_a_wrong_option_is_a_usage_error(robustill: Robustill) -> None:
    outcome = robustill("train", "digits_standard_cnn-small", "--resum")
    assert outcome.code == 2
    assert "No such option" in outcome.err
    assert "--resume" in outcome.err


def test_list_methods_is_the_cards(robustill: Robustill) -> None:
    found = robustill("list", "methods", "--json").json
    assert [each["name"] for each in found] == list(METHODS)
    for each in found:
        assert each["paper"], each
        assert each["inner"], each
        assert each["outer"], each
        assert each["networks"][0] == "student"
    rslad = {each["name"]: each for each in found}["rslad"]
    assert rslad["inner"] == "KL(T(x) || S(x'))"
    assert "2108.07969" in rslad["paper"]
    assert rslad["networks"] == ["student", "teacher"]
    assert rslad["hyperparameters"]["alpha"] == str(5 / 6)


def test_list_methods_for_people(robustill: Robustill) -> None:
    text = robustill("list").out
    assert all(name in text for name in METHODS)
    assert "the adversary maximises" in text


def test_list_models_data_and_recipes(robustill: Robustill) -> None:
    models = {each["name"]: each["about"] for each in robustill("list", "models", "--json").json}
    assert list(models) == list(MODELS)
    small = build_model("cnn_small", num_classes=10, shape=(1, 28, 28))
    assert models["cnn_small"].startswith(f"{sum(p.numel() for p in small.parameters()):,} parameters at 1x28x28")
    data = [each["name"] for each in robustill("list", "data", "--json").json]
    assert [name for name in data if name in DATASETS] == list(DATASETS)
    assert {"PATH", "hf-disk:PATH", "hf-hub:ID"} <= set(data)
    recipes = {each["name"]: each["about"] for each in robustill("list", "recipes", "--json").json}
    assert set(recipes) == set(shipped_recipes())
    assert recipes["digits_rslad_cnn-small"] == "Digits: RSLAD student"
    assert "digits_rslad_cnn-small" in robustill("list", "recipes").out
    assert "hf-hub:ID" in robustill("list", "data").out
    refused(robustill("list", "method"), "there is no list of 'method'", "did you mean 'methods'?")


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


def test_nothing_to_resume(robustill: Robustill) -> None:
    outcome = robustill("train", "digits_standard_cnn-small", "--out", "new", "--resume")
    refused(outcome, "no checkpoint in new", "hint: start the run without --resume")
    assert not Path("new").exists()


def test_a_damaged_checkpoint(robustill: Robustill) -> None:
    robustill("train", "digits_standard_cnn-small", *QUICK, "--out", "run")
    Path("run/last.pt").write_bytes(Path("run/last.pt").read_bytes()[:1000])
    refused(robustill("train", "run", "--resume"), "run/last.pt is damaged", "hint:")


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def pickled(path: str) -> str:
    torch.save({"state_dict": _Payload()}, path)
    return f"cnn_small@{path}"


def rslad(source: object) -> list[object]:
    return ["train", "digits_rslad_cnn-small", "--out", "new", "--set", f"teachers.teacher={source}"]


def test_a_pickled_teacher_is_refused_without_running_it(robustill: Robustill) -> None:
    refused(robustill(*rslad(pickled("teacher.pt"))), "teacher.pt")
    refused(robustill(*rslad("teacher.pt")), "teacher.pt does not say which architecture it holds")
    Path("plain.pt").write_bytes(pickle.dumps(_Payload()))
    refused(robustill(*rslad("cnn_small@plain.pt")), "plain.pt")
    assert not Path("executed").exists()
    assert not Path("new").exists()
    torch.load("teacher.pt", weights_only=False)
    assert Path("executed").exists(), "the payload is no payload: the test proves nothing"


def test_distillation_from_a_file_and_a_warning_for_a_teacher_that_guesses(
    robustill: Robustill, tmp_path: Path
) -> None:
    file = teacher(tmp_path / "t.safetensors")
    before = file.read_bytes()
    outcome = robustill(*rslad(file), *QUICK, "--set", "attack.steps=1", "--set", "attack.init=none")
    assert outcome.code == 0
    assert outcome.err.count("warning: teacher is right on") == 1
    assert file.read_bytes() == before
    values = robustill("evaluate", "new", "--attacks", "fgsm", "--limit", 50, "--json").json
    assert values["threat"]["eps"] == 0.15
    assert load_recipe("new").teachers == {"teacher": str(file)}


def test_a_teacher_with_another_class_count(robustill: Robustill, tmp_path: Path) -> None:
    refused(
        robustill(*rslad(teacher(tmp_path / "t.safetensors", classes=7))), "the model has 7 classes, the data set 10"
    )


def archive(path: str, scale: float) -> str:
    generator = np.random.default_rng(0)
    x, y = (scale * generator.random((30, 8, 8))).astype(np.float32), np.arange(30) % 3
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    return path


def test_float_images_in_0_to_255(robustill: Robustill) -> None:
    wrong = ["train", "digits_standard_cnn-small", "--out", "new", "--set", f"data.name={archive('x.npz', 255)}"]
    refused(robustill(*wrong), "x.npz", "[0, 1]", "255")
    assert not Path("new").exists()
    right = ["train", "digits_standard_cnn-small", *QUICK, "--set", f"data.name={archive('y.npz', 1)}"]
    assert robustill(*right).code == 0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--set", "training.epoch=3"], ["training.epoch: unknown key", "did you mean 'epochs'?"]),
        (["--set", "student.architecture=cnn_smal"], ["cnn_smal", "did you mean 'cnn_small'?"]),
        (["--set", "student.arguments.width=3"], ["cnn_small has no argument 'width'"]),
        (["--set", "method.name=standrad"], ["method.name: unknown method 'standrad'", "did you mean 'standard'?"]),
        (["--set", "training.epochs"], ["--set 'training.epochs' is not KEY=VALUE", "--set method.alpha=0.9"]),
        (["--set", "evaluation.attacks=['pdg20']"], ["evaluation.attacks: unknown attack 'pdg20'", "'pgd20'"]),
        (["--set", "data.name=digit"], ["there is no data set 'digit'", "digits"]),
        (["--set", "data.name=./nowhere"], ["nowhere"]),
        (["--set", "data.name=fashion-mnist", "--set", "data.root=/nonexistent"], ["fashion-mnist", "/nonexistent"]),
        (["--set", "training.device=gpu"], ["unknown device 'gpu'", "choose auto, cpu"]),
        (["--set", "training.awp.gamma=0.01"], ["AWP needs a method with an adversary", "awp.gamma = 0"]),
        (["--set", "training.selection.metric=robust"], ["needs a radius above 0", "set selection.eps"]),
        (["--mixed-precision", "fp8"], ["training.mixed_precision = 'fp8'"]),
    ],
    ids=lambda value: value[1] if value[0].startswith("--") else "",
)
def test_mistakes_in_training(arguments: list[str], parts: list[str], robustill: Robustill) -> None:
    refused(robustill("train", "digits_standard_cnn-small", "--out", "new", *arguments), *parts)
    assert not Path("new/last.pt").exists()


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("digits_rslad_cnn-smal", ["no recipe 'digits_rslad_cnn-smal'", "did you mean 'digits_rslad_cnn-small'?"]),
        ("my.toml", ["my.toml: data.nme: unknown key", "did you mean 'name'?"]),
        ("digits_rslad_cnn-small", ["no such file or folder: runs/digits_pgd-at_cnn-wide"]),
        ("digits_mtard_cnn-small", ["no such file or folder: runs/"]),
    ],
)
def test_mistakes_in_the_recipe(source: str, parts: list[str], robustill: Robustill) -> None:
    table = '[data]\nname = "digits"\nnme = 1\n[student]\narchitecture = "cnn_small"\n[method]\nname = "standard"\n'
    Path("my.toml").write_text(table)
    refused(robustill("train", source, "--out", "new"), *parts)


def test_missing_teachers(robustill: Robustill) -> None:
    Path("my.toml").write_text(load_recipe("digits_mtard_cnn-small").to_toml().replace("[teachers]", "[teachers]\n#"))
    text = [line for line in Path("my.toml").read_text().splitlines() if not line.startswith(("teacher_", "#teacher_"))]
    Path("my.toml").write_text("\n".join(text))
    outcome = robustill("train", "my.toml", "--out", "new")
    refused(outcome, "teachers: mtard needs teacher_adv, teacher_nat", "--set teachers.teacher_adv=RUN_OR_FILE")


def test_a_folder_that_cannot_be_made(robustill: Robustill, trained: Path) -> None:
    Path("file").write_text("")
    refused(robustill("train", "digits_standard_cnn-small", "--out", "file"), "cannot create the run folder file")
    refused(robustill("evaluate", trained, "--limit", 50, "--out", "file"), "cannot create the run folder file")


def test_evaluate_writes_what_it_prints(robustill: Robustill, trained: Path) -> None:
    quick = ["--attacks", "fgsm, pgd3", "--limit", 50, "--out", "found"]
    values = robustill("evaluate", trained, *quick, "--json").json
    assert values == json.loads(Path("found/evaluation.json").read_text())
    assert (values["schema"], values["images"], values["threat"]) == (1, 50, {"norm": "Linf", "eps": 0.15})
    assert list(values["attacks"]) == ["fgsm", "pgd3"]
    text = robustill("evaluate", trained, *quick).out
    assert "accuracy in % on 50 test images, Linf eps 0.15" in text
    assert f"{100 * values['clean']['accuracy']:.2f}" in text
    assert "worst case" in text


def test_evaluate_the_selected_and_the_last_student(robustill: Robustill, trained: Path) -> None:
    quick = ["--attacks", "fgsm", "--limit", 50, "--json"]
    selected = robustill("evaluate", trained, *quick).json
    last = robustill("evaluate", trained, "--last", *quick).json
    assert json.loads((trained / "evaluation.json").read_text()) == selected
    assert json.loads((trained / "last" / "evaluation.json").read_text()) == last
    assert selected["model_digest"] != last["model_digest"]


def test_evaluate_a_file_needs_data_and_radius(robustill: Robustill, tmp_path: Path) -> None:
    file = teacher(tmp_path / "t.safetensors")
    refused(robustill("evaluate", file), "nothing says which data and radius", "hint: give --data and --eps")
    refused(robustill("evaluate", file, "--data", "digits"), "give --data and --eps")
    values = robustill(
        "evaluate",
        file,
        "--data",
        "digits",
        "--eps",
        "8/255",
        "--norm",
        "L2",
        "--attacks",
        "fgsm",
        "--limit",
        50,
        "--json",
    ).json
    assert values["threat"] == {"norm": "L2", "eps": 8 / 255}
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"], "nothing is written without --out"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--attacks", "pdg20"], ["unknown attack 'pdg20'", "did you mean 'pgd20'?"]),
        (["--eps", "small"], ["--eps 'small' is not a number", "write 0.1 or 8/255"]),
        (["--eps", "8/0"], ["--eps '8/0' is not a number"]),
        (["--eps", "nan"], ["impossible attack"]),
        (["--norm", "L1"], ["unknown norm 'L1'", "choose Linf or L2"]),
        (["--split", "tset"], ["digits has no split 'tset'", "choose test, validation or train"]),
        (["--data", "digit"], ["there is no data set 'digit'"]),
        (["--limit", "0"], ["limit is 0"]),
        (["--batch-size", "0"], ["batch_size is 0"]),
        (["--device", "gpu"], ["unknown device 'gpu'"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_mistakes_in_evaluation(arguments: list[str], parts: list[str], robustill: Robustill, trained: Path) -> None:
    refused(robustill("evaluate", trained, "--out", "found", *arguments), *parts)
    assert not Path("found/evaluation.json").exists()


def test_evaluate_what_is_not_there(robustill: Robustill) -> None:
    refused(robustill("evaluate", "runs/nowhere"), "runs/nowhere is not a run folder")
    with_data = robustill("evaluate", "runs/nowhere", "--data", "digits", "--eps", "0.1")
    refused(with_data, "no such file or folder: runs/nowhere")
    Path("empty").mkdir()
    refused(robustill("evaluate", "empty", "--data", "digits", "--eps", "0.1"), "the folder empty has no student")


def test_the_demo_trains_four_networks_and_goes_on_where_it_was(
    robustill: Robustill, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes, targets = demo.load_recipe, demo.evaluate_target
    short = ["training.epochs=1", "training.batch_size=512"]
    monkeypatch.setattr(demo, "load_recipe", lambda name, changes: recipes(name, [*changes, *short]))
    monkeypatch.setattr(demo, "evaluate_target", lambda run: targets(run, attacks="fgsm", limit=50))
    first = robustill("demo", "--out", "story")
    assert first.code == 0
    assert {path.name for path in Path("story").iterdir()} == {"teacher_nat", "teacher_adv", "bmtard", "pgd_at"}
    assert load_recipe("story/bmtard").teachers == {
        "teacher_adv": str(Path("story/teacher_adv")),
        "teacher_nat": str(Path("story/teacher_nat")),
    }
    assert "Share of right predictions on 50 test digits" in first.out
    assert first.out.count("\u2502") == 4 * 5
    before = Path("story/bmtard/metrics.jsonl").read_bytes()
    again = robustill("demo", "--out", "story")
    assert again.out == first.out
    assert Path("story/bmtard/metrics.jsonl").read_bytes() == before


def test_an_interrupted_evaluation_exits_with_130(
    robustill: Robustill, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("robustill.evaluation.run.stays_correct", stop)
        outcome = robustill("evaluate", trained, "--limit", 50, "--out", "found")
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in outcome.err


def test_a_bug_keeps_its_traceback(robustill: Robustill, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise IndexError("a bug")

    monkeypatch.setattr("robustill.catalogue.data_sets", broken)
    with pytest.raises(IndexError, match="a bug"):
        robustill("list", "data")


def test_doctor_on_good_data(robustill: Robustill) -> None:
    outcome = robustill("doctor", "--data", "digits")
    assert (outcome.code, outcome.err) == (0, "")
    assert "Installation" in outcome.out
    assert "Data: digits" in outcome.out
    values = robustill("doctor", "--data", "digits", "--json").json
    assert values["problems"] == []
    assert values["tables"]["Data: digits"]["shape"] == "1x8x8"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--data", "nosuch"], ["there is no data set 'nosuch'"]),
        (["--data", "fashion-mnist", "--root", "/nonexistent"], ["fashion-mnist", "/nonexistent"]),
        (["--data", "digits", "--teacher", "nowhere.safetensors"], ["no such file or folder: nowhere.safetensors"]),
        (["--data", "digits", "--teacher", "t.safetensors", "--images", "0"], ["images is 0"]),
        (["--data", "digits", "--teacher", "seven.safetensors"], ["the model has 7 classes, the data set 10"]),
    ],
    ids=lambda value: " ".join(value[1:]) if value[0] == "--data" else "",
)
def test_doctor_finds_one_problem(arguments: list[str], parts: list[str], robustill: Robustill) -> None:
    teacher(Path("t.safetensors"))
    teacher(Path("seven.safetensors"), classes=7)
    outcome = robustill("doctor", *arguments)
    assert outcome.code == 1
    assert outcome.err.count("problem:") == 1
    assert "Traceback" not in outcome.err
    for part in parts:
        assert part in outcome.err
    again = robustill("doctor", *arguments, "--json")
    assert again.code == 1
    assert len(again.json["problems"]) == 1
    assert again.err == ""


def test_doctor_on_a_teacher(robustill: Robustill) -> None:
    teacher(Path("t.safetensors"))
    outcome = robustill("doctor", "--data", "digits", "--teacher", "t.safetensors", "--eps", "8/255", "--images", "50")
    assert outcome.code == 1
    assert "near chance" in outcome.err
    assert "Teacher: t.safetensors" in outcome.out
    refused(robustill("doctor", "--teacher", "t.safetensors"), "a teacher is verified on data", "give --data NAME")


def test_what_looks_like_markup_is_printed_as_it_is(
    robustill: Robustill, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.symlink(trained, "[bold]run[", target_is_directory=True)
    text = robustill("evaluate", "[bold]run[", "--limit", 50, "--attacks", "fgsm").out
    assert "[bold]run[: accuracy" in text
    outcome = robustill("doctor", "--data", "[/x]/[red]y")
    assert outcome.code == 1
    assert "[/x]/[red]y" in outcome.err
    assert "Data: [/x]/[red]y" in outcome.out


def test_the_installed_command() -> None:
    command = [sys.executable, "-c", "from robustill.cli import main; main()", "train", "digits_standard_cnn-smal"]
    env = {**os.environ, "COLUMNS": "40", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.splitlines() == [
        "error: no recipe 'digits_standard_cnn-smal': neither a file nor the name of a shipped one",
        "  hint: did you mean 'digits_standard_cnn-small'?",
    ]
