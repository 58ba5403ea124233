"""What a reader is warned of, and what not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from robustill.report import build_page
from robustill.training.checkpoint import save_checkpoint
from tests.report import folders


def told(folder: Path) -> str:
    return "\n".join(build_page([folder]).warnings)


def sure(**more: Any) -> dict[str, Any]:
    """Return an evaluation of 2,000 images under AutoAttack of which there is nothing to warn."""
    content = folders.evaluation()
    content["images"] = 2000
    content["robust"]["interval"] = [0.49, 0.51]
    content["attacks"]["autoattack"] = content["attacks"].pop("cw")
    for each in content["classes"]:
        each["images"] = 1000
    return content | more


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = folders.run(tmp_path / "run")
    folders.write(found / "evaluation.json", sure())
    return found


def test_nothing_to_warn_of(folder: Path) -> None:
    assert told(folder) == ""
    assert "Nothing to warn about was found." in build_page([folder]).to_html()


def test_the_first_example_has_much_to_warn_of(tmp_path: Path) -> None:
    words = told(folders.run(tmp_path / "run"))
    for each in (
        "Only an upper bound: pgd20, cw ran",
        "Small sample: on 40 images",
        "Fewer than 30 images of 2 classes",
    ):
        assert each in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"checks": {}}, "Nobody looked for masked gradients"),
        ({"split": "validation"}, "numbers on validation images, which the epoch was chosen on"),
        ({"split": "train"}, "numbers on train images, which the student learned"),
        ({"data": "digits"}, "Trained on pets, but evaluated on digits."),
        ({"threat": {"norm": "Linf", "eps": 8 / 255}}, "against eps 0.1, but attacked with eps 0.0314 (8/255)."),
        ({"attacks": {}}, "No attack was run"),
        ({"clean": folders.entry(24, 40)}, "Right on 60.0% without an attack: hardly better than guessing among 2"),
        ({"curve": {"attacks": ["pgd20"], "points": [{"eps": 0.5, **folders.entry(10, 40)}]}},
         "At eps 0.5 any image can be made grey, yet 25.0% are still right"),
    ],
)  # fmt: skip
def test_an_evaluation_to_be_careful_with(change: dict[str, Any], words: str, folder: Path) -> None:
    folders.write(folder / "evaluation.json", sure(**change))
    assert words in told(folder)
    assert len(build_page([folder]).warnings) == 1


@pytest.mark.parametrize("source", ["pets", "data/pets.npz", "data/pets", "pets.npz"])
def test_a_file_is_the_data_that_the_evaluation_calls_by_its_name(source: str, folder: Path) -> None:
    recipe = folder / "recipe.toml"
    text = recipe.read_text()
    assert 'name = "pets"' in text
    recipe.write_text(text.replace('name = "pets"', f'name = "{source}"'))
    folders.write(folder / "evaluation.json", sure(data="pets"))
    assert "Trained on" not in told(folder)
    folders.write(folder / "evaluation.json", sure(data="cats"))
    assert f"Trained on {source}, but evaluated on cats." in told(folder)


def test_a_check_that_fired_and_its_conclusion_first(folder: Path) -> None:
    checks = {
        name: {"name": name, "fired": fired, "value": {}, "says": f"About {name}."}
        for name, fired in (("randomised", True), ("overflow", False), ("upper-bound-only", True))
    }
    folders.write(folder / "evaluation.json", sure(checks=checks))
    assert told(folder).splitlines() == [
        "Check upper-bound-only fired. About upper-bound-only.",
        "Check randomised fired. About randomised.",
    ]


def test_uneven_classes(folder: Path) -> None:
    content = sure()
    content["classes"][0]["images"] = 100
    content["clean"] = folders.entry(1089, 1100)
    folders.write(folder / "evaluation.json", content)
    assert told(folder) == "The classes of the test set are uneven: from 100 to 1,000 images."


def test_what_the_student_was_selected_on(folder: Path) -> None:
    (folder / "recipe.toml").write_text(folders.RECIPE.replace('"auto"', '"clean"'))
    assert "selected on clean accuracy" in told(folder)
    assert "first with the best clean accuracy" in build_page([folder]).to_html()
    (folder / "recipe.toml").write_text(folders.RECIPE.replace('"auto"', '"clean"').replace("rslad", "standard"))
    assert told(folder) == ""
    lines = [{k: v for k, v in line.items() if k != "validation"} for line in folders.epochs()]
    folders.lines(folder / "metrics.jsonl", lines)
    assert "No validation split was held out" in told(folder)


def of_classes(*right: tuple[int, int]) -> dict[str, Any]:
    """Return what an evaluation says of classes of which so many images were right, of so many."""
    classes = [
        {"name": f"c{k}", "images": n, "clean": folders.entry(found, n), "robust": folders.entry(0, n)}
        for k, (found, n) in enumerate(right)
    ]
    found, total = (sum(each) for each in zip(*right, strict=True))
    return sure(classes=classes, clean=folders.entry(found, total), images=total)


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (((620, 700), (100, 300)), "hardly better than always naming the largest class (70.0%)"),
        (((690, 700), (250, 300)), ""),
        (((350, 500), (350, 500)), "hardly better than guessing among 2 classes"),
        (((390, 500), (390, 500)), ""),
        (((700, 700), (0, 300)), "images of one class only (c0)"),
        (((700, 700), (1, 300)), "always naming the largest class"),
    ],
)
def test_the_largest_class_is_what_can_be_had_without_looking(
    right: tuple[tuple[int, int], ...], words: str, folder: Path
) -> None:
    folders.write(folder / "evaluation.json", of_classes(*right))
    assert words in told(folder) if words else told(folder) == ""
    assert ("one class only" in told(folder)) == ("one class only" in words)


@pytest.mark.parametrize(("planned", "words"), [(60, "The run is not finished: 3 of 60 epochs."), (3, "")])
def test_a_run_of_python_has_its_plan_in_the_checkpoint(planned: int, words: str, folder: Path) -> None:
    (folder / "recipe.toml").unlink()
    before = told(folder)
    assert "not finished" not in before
    save_checkpoint({"settings": {"epochs": planned}}, folder / "last.pt")
    assert told(folder).startswith(words)
    assert ("Go on with: resume=True" in told(folder)) == bool(words)
    (folder / "last.pt").write_bytes(b"damaged")
    assert told(folder) == before


def test_a_run_that_is_not_finished(folder: Path) -> None:
    folders.lines(folder / "metrics.jsonl", folders.epochs()[:1])
    assert told(folder).startswith("The run is not finished: 1 of 3 epochs.")


def test_other_weights(folder: Path) -> None:
    folders.write(folder / "gallery.json", folders.gallery() | {"model_digest": "f" * 64})
    folders.write(folder / "certification.json", folders.certification() | {"model_digest": "f" * 64})
    folders.write(folder / "calibration.json", folders.calibration() | {"student_digest": "f" * 64})
    words = told(folder)
    for each in ("evaluation.json is of other weights", "certification.json and eval", "calibration.json and eval"):
        assert each in words


def test_certificates_that_contradict(folder: Path) -> None:
    content = folders.certification()
    content["radii"][0]["certified"] = folders.entry(30, 40)
    folders.write(folder / "certification.json", content | {"small_sample": True})
    assert "more images are certified than stand up to an attack" in told(folder)
    assert "certified on 40 images only" in told(folder)


def test_runs_that_share_a_warning_are_named_together(tmp_path: Path, folder: Path) -> None:
    others = [folders.run(tmp_path / name) for name in ("b", "c")]
    for run, more in zip(others, ({"checks": {}}, {"checks": {}, "attacks": {}}), strict=True):
        folders.write(run / "evaluation.json", sure(**more))
    assert [each.split(":")[0] for each in build_page([folder, *others]).warnings] == ["b", "c"]
    folders.write(others[1] / "evaluation.json", sure(checks={}))
    assert [each.split(":")[0] for each in build_page([folder, *others]).warnings] == ["b, c"]
    assert [each.split(":")[0] for each in build_page(others).warnings] == ["All runs"]


@pytest.mark.parametrize(("epoch", "words"), [("1", "best robust accuracy"), ("2", "best clean accuracy")])
def test_the_epoch_that_was_kept_tells_what_auto_was(epoch: str, words: str, folder: Path) -> None:
    weights = {"weight": np.zeros(1, np.float32)}
    save_file(weights, folder / "student.safetensors", {"epoch": epoch})
    html = build_page([folder]).to_html()
    assert f"The student is that of epoch {int(epoch) + 1} of 3, the first with the {words}" in html
    assert ("selected on clean accuracy" in told(folder)) is (epoch == "2")
    (folder / "student.safetensors").write_bytes(b"damaged")
    assert "epoch 2 of 3, the first with the best robust accuracy" in build_page([folder]).to_html()
