"""The card: what the run and the files say, in words that cannot become markup, and a head that a machine reads."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from robustill.errors import CheckpointError
from robustill.export import Exported, Origin, export_run
from robustill.export.card import card
from robustill.export.places import last_name
from robustill.models import build_model, load_model, model_digest, save_model
from robustill.recipe import parse_recipe
from tests.recipe.tables import PLAIN
from tests.report import folders

EVIL = 'x\n---\nlicense: mit\n# [a](http://b) <script>alert("1")</script> | `c` \x1b[2J'


def head(text: str) -> dict[str, Any]:
    first, between, body = text.split("---\n", 2)
    assert first == ""
    assert body
    found = yaml.safe_load(between)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run folder of an untrained student of digits with a teacher far away, evaluated by hand."""
    folder = tmp_path / "runs" / "mine"
    tables = {
        "method": {"name": "rslad"},
        "teachers": {"teacher": "/home/me/secret/big-teacher"},
        "attack": {"eps": 0.1},
    }
    recipe = parse_recipe({**PLAIN, **tables, "title": EVIL})
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe.to_toml())
    save_model(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)), folder / "student.safetensors")
    folders.lines(folder / "metrics.jsonl", folders.epochs())
    digest = model_digest(load_model(folder / "student.safetensors"))
    folders.write(folder / "evaluation.json", {**folders.evaluation(), "model_digest": digest, "data": "digits"})
    return folder


def export(run: Path, **options: Any) -> tuple[str, Exported]:
    found = export_run(run, formats=["safetensors"], measurement=None, progress=False, **options)
    return (run / "export" / "README.md").read_text(), found


def test_the_head(run: Path) -> None:
    text, _ = export(run, license="apache-2.0")
    found = head(text)
    (model,) = found.pop("model-index")
    assert found == {
        "license": "apache-2.0", "library_name": "robustill", "pipeline_tag": "image-classification",
        "tags": ["robustill", "adversarial-robustness", "image-classification"], "metrics": ["accuracy"],
    }  # fmt: skip
    (result,) = model["results"]
    assert result["dataset"] == {"name": "digits", "type": "digits", "split": "test"}
    assert [metric["value"] for metric in result["metrics"]] == [0.9, 0.5]
    assert result["metrics"][1]["name"] == "robust accuracy, Linf eps 0.1, pgd20, cw"


def test_the_body_is_of_the_run(run: Path) -> None:
    text, exported = export(run, repository="me/mine")
    assert "Of 40 test images, 36 are classified right without an attack. 20 (50.0%) stay right" in text
    assert "every pixel and channel may change by up to 0.1 of its range" in text
    assert "Trained with robustill by the method rslad on digits, guided by teacher: big-teacher." in text
    assert "| pgd20 | 55.00 | 42.5 to 61.3 | 50.00 |" in text
    assert 'robustill.load_model("hf-hub:me/mine")' in text
    assert "robustill export runs/mine --formats safetensors --no-measure" in text
    assert "robustill evaluate runs/mine --attacks pgd20,cw --eps 0.1" in text
    assert exported.files["safetensors"].sha256 in text
    assert "No licence was given" in text
    assert "The files were not attacked." in text


def test_no_place_of_the_machine_is_told(run: Path) -> None:
    text, exported = export(run)
    for told in (text, json.dumps(exported.to_json())):
        assert "/home/me" not in told
        assert "secret" not in told
        assert str(run.parent) not in told
    assert 'teacher = "big-teacher"' in text


def test_figures_of_other_weights_are_left_out(run: Path) -> None:
    folders.write(run / "evaluation.json", {**folders.evaluation(), "data": "digits"})
    text, exported = export(run)
    assert "36 are classified right" not in text
    assert "- evaluation.json is of other weights, so its figures are left out." in text
    assert exported.warnings == ("evaluation.json is of other weights, so its figures are left out.",)
    assert "model-index" not in head(text)


def test_the_last_student_has_its_own_figures(run: Path) -> None:
    save_model(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)), run / "student_last.safetensors")
    digest = model_digest(load_model(run / "student_last.safetensors"))
    text, _ = export(run, last=True)
    assert "classified right without" not in text
    content = folders.evaluation(clean=np.arange(40) < 32)
    folders.write(run / "last" / "evaluation.json", {**content, "model_digest": digest, "data": "digits"})
    text, exported = export(run, last=True)
    assert "Of 40 test images, 32 are classified right" in text
    assert "robustill export runs/mine --last --formats" in text
    assert exported.model["model_digest"] == digest


def test_a_damaged_evaluation_is_named(run: Path) -> None:
    content = folders.evaluation()
    del content["robust"]
    content["model_digest"] = model_digest(load_model(run / "student.safetensors"))
    folders.write(run / "evaluation.json", content)
    with pytest.raises(CheckpointError, match=r"evaluation\.json cannot be read: not what robustill evaluate writes"):
        export(run)


def test_hostile_names_stay_text(whole: tuple[Path, Exported]) -> None:
    exported = replace(
        whole[1], name=EVIL, model={**whole[1].model, "class_names": [EVIL] * 10, "architecture": EVIL},
        measured={**whole[1].measured, "data": EVIL}, notes=(EVIL,),
    )  # fmt: skip
    text = card(exported, Origin(dataset=EVIL, options=(EVIL,)))
    found = head(text)
    assert "license" not in found
    assert "datasets" not in found
    assert found["model-index"][0]["name"].startswith("x\n---\nlicense: mit")
    assert "\x1b" not in text
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", text.split("---\n", 2)[2], flags=re.MULTILINE | re.DOTALL)
    assert "\n---\n" not in outside
    assert "license: mit\n" not in outside
    assert re.search(r"(?<!\\)<script", outside) is None
    assert re.search(r"(?<!\\)\[a(?<!\\)\]\(", outside) is None
    headings = [line.removeprefix("## ") for line in outside.splitlines() if line.startswith("## ")]
    assert len(re.findall(r"^ {0,3}#", outside, flags=re.MULTILINE)) == 1 + len(headings)
    known = {"Use", "Threat model", "Accuracy of the files, measured again", "Limits", "Reproduction"}
    assert set(headings) == known
    for line in outside.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in (4, 5, 6), line


def test_the_table_of_the_files(whole: tuple[Path, Exported]) -> None:
    text = (whole[0] / "README.md").read_text()
    network, int8 = (whole[1].evaluations[name] for name in ("network", "int8"))
    row = next(line for line in text.splitlines() if line.startswith("| cw, made on the network |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1].startswith(f"{100 * network.accuracy('cw'):.2f} (")
    assert cells[3].startswith(f"{100 * int8.accuracy('transfer-cw'):.2f} (")
    assert "by square with 40 queries of the logits of the file itself" in text
    assert "onnx" in head(text)["tags"]
    assert "Loading a .pt2 file may execute code." in text


def test_the_snippets_run(whole: tuple[Path, Exported], monkeypatch: pytest.MonkeyPatch) -> None:
    text = (whole[0] / "README.md").read_text()
    snippets = [
        code for code in re.findall(r"^```\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL) if "import" in code
    ]
    assert len(snippets) == 2
    monkeypatch.chdir(whole[0])
    for code in snippets:
        names: dict[str, Any] = {}
        exec(compile(code, "README.md", "exec"), names)
        assert tuple(names["logits"].shape) == (1, 10)


@pytest.mark.parametrize(
    ("place", "left"),
    [
        ("/a/b/c.pt", "c.pt"), ("~/b", "b"), ("C:\\a\\b", "b"), ("\\\\server\\share\\x", "x"),
        ("resnet18@/a/b.pt", "b.pt"),
        ("hf-disk:~/a/pets/", "pets"), ("runs/teacher", "runs/teacher"), ("RSLAD: a/b", "RSLAD: a/b"), ("/", ""),
    ],
)  # fmt: skip
def test_places(place: str, left: str) -> None:
    prefix = re.match(r"[\w-]+[@:](?=[/~])", place)
    assert last_name(place) == (prefix[0] if prefix and not place.startswith("C:") else "") + left
