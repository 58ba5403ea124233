"""`robustill evaluate`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Robustill, refused, teacher


def test_evaluate_writes_what_it_prints(robustill: Robustill, trained: Path) -> None:
    quick = ["--attacks", "fgsm, pgd3", "--images", 50, "--out", "found"]
    values = robustill("evaluate", trained, *quick, "--json").json
    assert values == json.loads(Path("found/evaluation.json").read_text())
    assert (values["schema"], values["images"], values["threat"]) == (1, 50, {"norm": "Linf", "eps": 0.15})
    assert list(values["attacks"]) == ["fgsm", "pgd3"]
    text = robustill("evaluate", trained, *quick).out
    assert "accuracy in % on 50 test images, Linf eps 0.15" in text
    assert f"{100 * values['clean']['accuracy']:.2f}" in text
    assert "worst case" in text


def test_evaluate_the_selected_and_the_last_student(robustill: Robustill, trained: Path) -> None:
    quick = ["--attacks", "fgsm", "--images", 50, "--json"]
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
        "--images",
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
        (
            ["--norm", "L2"],
            ["radius 0.15 of this recipe is one of Linf, and says nothing of L2", "give one of L2: --eps"],
        ),
        (["--split", "tset"], ["digits has no split 'tset'", "choose test, validation or train"]),
        (["--data", "digit"], ["there is no data set 'digit'"]),
        (["--images", "0"], ["images is 0"]),
        (["--batch-size", "0"], ["batch_size is 0"]),
        (["--device", "gpu"], ["unknown device 'gpu'"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_mistakes_in_evaluation(arguments: list[str], parts: list[str], robustill: Robustill, trained: Path) -> None:
    refused(robustill("evaluate", trained, "--out", "found", *arguments), *parts)
    assert not Path("found/evaluation.json").exists()


def test_evaluate_what_is_not_there(robustill: Robustill) -> None:
    refused(robustill("evaluate", "runs/nowhere"), "no such file or folder: runs/nowhere", "there is no runs either")
    Path("runs/teacher").mkdir(parents=True)
    for verb in ("evaluate", "export", "certify"):
        refused(robustill(verb, "runs/teach"), "no such file or folder: runs/teach", "did you mean 'runs/teacher'?")
    refused(robustill("evaluate", "robustill:digits_mtard_cnn-small"), "is not a run folder", "--data and --eps")
    with_data = robustill("evaluate", "runs/nowhere", "--data", "digits", "--eps", "0.1")
    refused(with_data, "no such file or folder: runs/nowhere")
    Path("empty").mkdir()
    refused(robustill("evaluate", "empty", "--data", "digits", "--eps", "0.1"), "the folder empty has no student")


def test_an_interrupted_evaluation_exits_with_130(
    robustill: Robustill, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("robustill.evaluation.runner.adversarial_points", stop)
        outcome = robustill("evaluate", trained, "--images", 50, "--out", "found")
    assert outcome.code == 130
    assert outcome.err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in outcome.err


def test_an_architecture_without_weights_is_told_of(robustill: Robustill) -> None:
    quick = ["--data", "digits", "--eps", "0.1", "--images", 10]
    told = robustill("evaluate", "cnn_small", *quick, "--attacks", "fgsm", "--no-checks").err
    assert "note: cnn_small is an architecture with fresh random weights, not a trained model" in told
    told = robustill("certify", "cnn_small", *quick, "--bounds", "ibp", "--steps", 1, "--out", "here").err
    assert "note: cnn_small is an architecture with fresh random weights" in told
    told = robustill("evaluate", "robustill:digits_mtard_cnn-small", *quick, "--attacks", "fgsm", "--no-checks").err
    assert "fresh" not in told
