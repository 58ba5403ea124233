"""Studies of a person's own methods and networks: what cells must know, and when they are other cells."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from robustill.errors import RecipeError
from robustill.models import build_model, save_model
from robustill.plugins import import_modules
from robustill.recipe import load_recipe
from robustill.study import Study
from robustill.study.address import training_address
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


def addresses(found: Study) -> dict[str, str]:
    return {cell.variant.name: cell.training for cell in found.cells.all()}


@pytest.mark.parametrize("setting", [METHOD, NETWORK])
def test_changed_code_is_another_cell(own: Path, setting: str) -> None:
    import_modules(["my_own"])
    before = addresses(study(own.parent, setting))
    assert addresses(study(own.parent, setting)) == before
    own.write_text(own.read_text().replace("self.lam * cross", "2 * self.lam * cross"))
    after = addresses(study(own.parent, setting))
    assert after["r"] != before["r"]
    # Where it lies is nobody's affair.
    elsewhere = own.parent / "folder" / "my_own.py"
    elsewhere.parent.mkdir()
    own.rename(elsewhere)
    sys.modules["my_own"].__file__ = str(elsewhere)
    assert addresses(study(own.parent, setting)) == after


def test_changed_code_of_a_teachers_network_is_another_cell(own: Path) -> None:
    import_modules(["my_own"])
    (own.parent / "run").mkdir()
    save_model(build_model("narrow", num_classes=10, shape=(1, 8, 8)), own.parent / "run" / "student.safetensors")
    before = addresses(taught_by(own.parent, "run"))
    own.write_text(own.read_text() + "# other\n")
    after = addresses(taught_by(own.parent, "run"))
    assert after["r"] != before["r"]
    assert after["clean"] == before["clean"]


def test_what_only_the_package_is_used_for_keeps_its_address(own: Path) -> None:
    import_modules(["my_own"])
    # The same as without any module, in test_address.py.
    recipe = load_recipe("digits_pgd-at_cnn-small")
    assert training_address(recipe, {}) == "6e1ced64e381925ffbc75ec13a8103a0104a427a727b59bec5ece55cb0713fbb"


def test_the_packages_own_function_under_another_name_counts_by_who_named_it(own: Path) -> None:
    line = "from robustill.models.wide_resnet import wide_resnet_of\nMODELS['wrn'] = wide_resnet_of(10, {})\n"
    own.write_text(f"from robustill.models import MODELS\n{line.format(1)}")
    import_modules(["my_own"])
    found = study(own.parent, 'student.architecture = "wrn"')
    check_handed_on(found.cells.all())
    own.write_text(f"from robustill.models import MODELS\n{line.format(2)}")
    assert addresses(study(own.parent, 'student.architecture = "wrn"')) != addresses(found)


def test_code_without_a_file_is_no_obstacle(own: Path) -> None:
    import_modules(["my_own"])
    del sys.modules["my_own"].__file__
    assert len(addresses(study(own.parent, METHOD))["r"]) == 64
