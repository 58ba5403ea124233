"""Studies of a person's own methods and networks: what cells must know, and when they are other cells."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from robustill.errors import RecipeError
from robustill.models import build_model, save_model
from robustill.plugins import import_modules
from robustill.study import Study
from robustill.study.own import check_handed_on, used
from tests.own import own
from tests.study.small import QUICK, TEACHERS, opened

__all__ = ["own"]

RUNS = '[runs.r]\nrecipe = "digits_standard_cnn-small"\nset = {{ {} }}\n'
METHOD = 'method.name = "labelled"'
NETWORK = 'student.architecture = "narrow"'


def study(folder: Path, setting: str) -> Study:
    return opened(folder, RUNS.format(setting), "seeds = 1")


def taught_by(folder: Path, source: str) -> Study:
    runs = '[runs.r]\nrecipe = "digits_rslad_cnn-small"\n' + TEACHERS
    return opened(folder, runs, "seeds = 1", QUICK.replace("cell:robust", source))


@pytest.mark.parametrize("setting", [METHOD, NETWORK])
def test_what_the_cells_would_not_know_is_one_error_before_the_first(own: Path, setting: str) -> None:
    sys.path.insert(0, str(own.parent))
    importlib.import_module("my_own")
    opened_ = study(own.parent, setting)
    with pytest.raises(RecipeError, match=r"r seed 0: (METHODS|MODELS)") as caught:
        opened_.run()
    assert "is known in this process alone" in caught.value.message
    assert "robustill --import my_own study" in str(caught.value.hint)
    assert list(opened_.store.root.iterdir()) == []
    import_modules(["my_own"])
    check_handed_on(opened_.cells.all())


@pytest.mark.parametrize("setting", [METHOD, NETWORK])
def test_what_a_named_module_registers_is_handed_on(own: Path, setting: str) -> None:
    import_modules(["my_own"])
    check_handed_on(study(own.parent, setting).cells.all())
    # Of two modules the one that was named may not be the one.
    other = own.with_name("my_other.py")
    other.write_text(own.read_text())
    importlib.import_module("my_other")
    with pytest.raises(RecipeError, match="known in this process alone"):
        check_handed_on(study(own.parent, setting).cells.all())


def test_a_network_may_be_a_teachers(own: Path) -> None:
    import_modules(["my_own"])
    (own.parent / "run").mkdir()
    save_model(build_model("narrow", num_classes=10, shape=(1, 8, 8)), own.parent / "run" / "student.safetensors")
    for source in ("run", "run/student.safetensors", "narrow@run/student.safetensors"):
        (cell,) = [each for each in taught_by(own.parent, source).cells.all() if each.variant.name == "r"]
        assert list(used(cell.recipe)) == ['MODELS["narrow"]'], source
