"""Data that lie elsewhere than the recipe says, or that are others: what else the `[data]` table says still holds."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustill.errors import InputError
from robustill.models import build_model, save_model
from robustill.recipe import load_recipe
from tests.cli.command import Robustill, refused

TABLE = ("data.validation=0.3", "data.seed=5")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Return a folder of ten images of two classes, none of them as large as another."""
    draws = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for k in range(10):
            pixels = draws.integers(0, 256, (30 + k, 31, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{k}.png")
    return tmp_path / "photos"


def run_on(data: Path) -> Path:
    """Return the folder of a run whose student was not trained."""
    run = data.parent / "run"
    run.mkdir()
    changes = [f"data.name={data}", "data.size=16", *TABLE]
    (run / "recipe.toml").write_text(load_recipe("digits_rslad_cnn-small", changes).to_toml())
    save_model(build_model("cnn_small", num_classes=2, shape=(3, 16, 16)), run / "student.safetensors")
    return run


def test_a_folder_that_has_moved_is_read_as_the_recipe_says(robustill: Robustill, photos: Path) -> None:
    run = run_on(photos)
    arguments = ["--split", "validation", "--attacks", "fgsm", "--no-checks", "--json"]
    before = robustill("evaluate", run, *arguments).json
    shutil.move(photos, photos.parent / "moved")
    for way in (["evaluate", run, *arguments], ["evaluate", run, "--root", photos.parent / "moved", *arguments]):
        assert robustill(*way).code == 1
    refused(robustill("evaluate", run, "--root", photos.parent / "moved"), "--data PATH", "data.name")
    after = robustill("evaluate", run, "--data", photos.parent / "moved", *arguments).json
    same = ("images", "data_digest", "clean", "attacks")
    assert [after[key] for key in same] == [before[key] for key in same]


def test_other_data_are_cut_as_the_recipe_says() -> None:
    recipe = load_recipe("digits_standard_cnn-small", TABLE)
    assert recipe.data_set("digits").digest == recipe.data_set().digest
    assert len(recipe.data_set("digits").validation or ()) == 431


@pytest.mark.parametrize("change", ["data.size=32", "data.validation=5000", "data.crop=20"])
def test_what_other_data_cannot_take_is_left_out(change: str) -> None:
    recipe = load_recipe("digits_standard_cnn-small", ["data.name=photos", "data.limit=100", change])
    found = recipe.data_set("digits")
    assert (found.shape, len(found.test), found.augment.crop) == ((1, 8, 8), 100, 0)


def test_what_is_impossible_anywhere_is_said() -> None:
    recipe = load_recipe("digits_standard_cnn-small").model_copy(deep=True)
    object.__setattr__(recipe.data, "limit", 0)
    with pytest.raises(InputError, match="limit is 0"):
        recipe.data_set("digits")


def test_doctor_resizes(robustill: Robustill, photos: Path) -> None:
    assert "pass size" in robustill("doctor", "--data", photos).err
    outcome = robustill("doctor", "--data", photos, "--size", 16, "--json")
    assert outcome.code == 0, outcome.out
    assert outcome.json["tables"][f"Data: {photos}"]["shape"] == "3x16x16"


def test_a_verb_without_root_does_not_speak_of_it(robustill: Robustill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robustill.data.known._SYSTEM", Path("nowhere"))
    outcome = robustill("train", "fashion-mnist_standard_cnn-small")
    refused(outcome, "--set data.root=PATH")
    assert "--root" not in outcome.err
    assert "--root PATH" in robustill("doctor", "--data", "fashion-mnist").err
