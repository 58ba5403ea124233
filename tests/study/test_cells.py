"""From a study to its cells."""

from pathlib import Path

import pytest

from robustill.errors import RecipeError
from robustill.study import Cells
from robustill.study.layers import Place
from tests.study.small import QUICK, TEACHERS, expand

MANY = list(range(99))
RSLAD = '[runs.rslad]\nrecipe = "digits_rslad_cnn-small"\n'


def names(cells: Cells, *only: str) -> list[str]:
    return [cell.name for cell in cells.all(only)]


def test_a_grid_is_every_row_with_every_seed_and_teachers_come_first() -> None:
    runs = RSLAD + "[runs.trades]\nrecipe = 'digits_trades_cnn-small'\ngrid.method.beta = [1, 6]\nseeds = [5]\n"
    cells = expand(runs + TEACHERS, "seeds = 2")
    # "clean" is an entry, but nobody's teacher. Every row has its first seed before any has its second.
    assert names(cells) == [
        "robust seed 7",
        "rslad seed 0",
        "trades[beta=1] seed 5",
        "trades[beta=6] seed 5",
        "clean seed 7",
        "rslad seed 1",
    ]
    found = {cell.name: cell for cell in cells.all()}
    assert found["rslad seed 1"].needs == {"cell:robust": found["robust seed 7"]}
    assert found["rslad seed 1"].recipe.training.seed == 1
    assert found["trades[beta=6] seed 5"].recipe.method.model_extra == {"beta": 6}
    assert names(cells, "rslad") == ["robust seed 7", "rslad seed 0", "rslad seed 1"]
    assert names(cells, "trades[beta=6]") == ["trades[beta=6] seed 5"]
    with pytest.raises(RecipeError, match=r"no such run\n.*did you mean 'trades'"):
        cells.all(["trade"])


def test_a_grid_is_a_product() -> None:
    runs = "[runs.trades]\nrecipe = 'digits_trades_cnn-small'\n"
    runs += "grid = { method.beta = [1, 6], 'attack.steps' = [2, 3] }\n"
    found = {cell.variant.name: cell.recipe for cell in expand(runs, "seeds = 1").all()}
    assert list(found) == [f"trades[beta={b},steps={s}]" for b in (1, 6) for s in (2, 3)]
    assert found["trades[beta=6,steps=2]"].attack.steps == 2
    with pytest.raises(RecipeError, match=r"grid.method.beta = 1: not a list"):
        expand("[runs.trades]\nrecipe = 'digits_trades_cnn-small'\ngrid.method.beta = 1\n")


def test_teachers_of_the_same_seeds_are_paired() -> None:
    runs = RSLAD + TEACHERS.replace("seeds = [7]", "seeds = [0, 1]")
    found = {cell.name: cell for cell in expand(runs, "seeds = 2").all()}
    for seed in (0, 1):
        (need,) = found[f"rslad seed {seed}"].needs.values()
        assert need.name == f"robust seed {seed}"
    with pytest.raises(RecipeError, match="'cell:robust' has no seed 2"):
        expand(runs, "seeds = 3").all()


def test_layers_go_over_one_another() -> None:
    runs = "[runs.a]\nrecipe = 'digits_trades_cnn-small'\nset = { attack.steps = 3, method.beta = 2 }\n"
    runs += "grid = { method.beta = [4] }\n[set]\ntraining.epochs = 9\n"
    (cell,) = expand(runs, "seeds = [1]").all()
    assert cell.recipe.attack.eps == 0.05
    assert cell.recipe.attack.steps == 3
    assert cell.recipe.method.model_extra == {"beta": 4}
    assert cell.recipe.training.epochs == 9
    # Of the recipe, untouched.
    assert cell.recipe.training.batch_size == 64


def test_shared_teachers_and_attacks_are_for_those_who_take_them() -> None:
    found = {cell.variant.name: cell.recipe for cell in expand(TEACHERS).all()}
    assert (found["clean"].attack.steps, found["robust"].attack.steps) == (None, 1)
    assert found["robust"].teachers == {}


def test_a_shared_teacher_does_not_make_another_method_of_an_entry() -> None:
    runs = "".join(f'[runs.{name}]\nrecipe = "digits_{name}_cnn-small"\n' for name in ("iad", "iad2"))
    runs += '[runs.both]\nrecipe = "digits_iad_cnn-small"\nteachers = { teacher_nat = "cell:clean" }\n'
    runs += '[runs.later]\nrecipe = "digits_iad2_cnn-small"\n[set]\nteachers.teacher_nat = "cell:robust"\n'
    found = {cell.variant.name: cell.recipe.teachers for cell in expand(runs + TEACHERS, "seeds = 1").all()}
    assert found["iad"] == {"teacher": "cell:robust"}
    assert found["iad2"] == {"teacher": "cell:robust", "teacher_nat": "cell:robust"}
    assert found["both"] == {"teacher": "cell:robust", "teacher_nat": "cell:robust"}


def test_entries_without_a_recipe_and_names() -> None:
    base = "[base]\ndata.name = 'digits'\nstudent.architecture = 'cnn_small'\nevaluation.eps = 0.1\n"
    runs = "[runs]\na.set = { method.name = 'pgd_at' }\nb.recipe = '{data}_trades_{net}'\n"
    head = "seeds = 1\nnames = { data = 'digits', net = 'cnn-small' }\n"
    assert [cell.recipe.method.name for cell in expand(runs, head, base).all()] == ["pgd_at", "trades"]
    with pytest.raises(RecipeError, match=r"'{data}_trades_{net}' needs a name 'data'"):
        expand(runs, "seeds = 1", base).all()
    with pytest.raises(RecipeError, match=r"runs\.c: no method"):
        expand("[runs.c]\n", "seeds = 1", base).all()


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        ("[runs.a]\nrecipe = 'digits_rslad_cnn-smal'\n", "no recipe .*\n.*did you mean 'digits_rslad_cnn-small'"),
        ("[runs.a]\nrecipe = 'digits_trades_cnn-small'\nset.method.bet = 1\n", "runs.a.*trades has no such argument"),
        ("[runs.a]\nrecipe = 'digits_trades_cnn-small'\nset.method.name = 'trade'\n", "did you mean 'trades'"),
        ("[runs.a]\nrecipe = 'digits_trades_cnn-small'\nteachers.t = 'x'\n", "runs.a: teachers.t: trades takes no"),
        (RSLAD, "'cell:robust': this study has no run 'robust'"),
        (RSLAD + "teachers.teacher = 'runs/none'\n", "teachers.teacher = 'runs/none': there is no such.*\n.*cell:"),
        ("[runs.a]\nrecipe = 'digits_trades_cnn-small'\nseeds = [1, 1]\n", "runs.a: seeds = "),
        ("[runs.a]\nrecipe = 'digits_trades_cnn-small'\nseeds = 0\n", "runs.a: seeds = 0"),
        ("[runs.a]\nrecipe = 'digits_trades_cnn-small'\nseeds = 999999999999\n", "runs.a: seeds = 9+"),
        (
            f"[runs.a]\ngrid = {{ a = {list(range(99))}, b = {list(range(99))}, c = {list(range(99))} }}\n",
            "grid has more",
        ),
    ],
)
def test_a_wrong_entry_is_named(runs: str, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        expand(runs).all()


def test_a_wrong_attack_or_baseline_comes_to_light_before_anything_runs() -> None:
    with pytest.raises(RecipeError, match="unknown attack 'pgd_20'"):
        expand(TEACHERS, base=QUICK.replace('["fgsm"]', '["pgd_20"]')).all()
    runs = "[runs.trades]\nrecipe = 'digits_trades_cnn-small'\ngrid.method.beta = [1, 6]\n"
    with pytest.raises(RecipeError, match=r"no row 'trades'\n.*trades.beta="):
        expand(runs, "baseline = 'trades'")


def test_teachers_in_a_circle() -> None:
    runs = "[runs.a]\nrecipe='digits_rslad_cnn-small'\nteachers.teacher='cell:b'\n"
    runs += "[runs.b]\nrecipe='digits_rslad_cnn-small'\nteachers.teacher='cell:a'\n"
    with pytest.raises(RecipeError, match="a circle: a -> b -> a"):
        expand(runs).all()


@pytest.mark.parametrize(
    "line",
    [
        "recipe = '/etc/passwd'",
        "recipe = '../secret.toml'",
        "recipe = '~root/x.toml'",
        "recipe = 'link.toml'",
        "recipe = 'digits_rslad_cnn-small'\nteachers.teacher = '/home/other/run'",
        "recipe = 'digits_rslad_cnn-small'\nteachers.teacher = '../other/run'",
        "recipe = 'digits_rslad_cnn-small'\nteachers.teacher = 'resnet18@/home/other/x.pt'",
        "recipe = 'digits_trades_cnn-small'\nset.student.weights = '/home/other/x.safetensors'",
        "recipe = 'digits_trades_cnn-small'\nset.data.root = '/home/other'",
        "recipe = 'digits_trades_cnn-small'\nset.data.name = 'hf-disk:/home/other'",
        "recipe = 'digits_trades_cnn-small'\nset.training.overfitting.subset = '../x'",
        "recipe = 'digits_trades_cnn-small'\ngrid.data.root = ['.', '..']",
    ],
)
def test_files_of_others_are_not_named(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.toml").write_text("password = 1\n")
    work = tmp_path / "work"
    work.mkdir()
    (work / "link.toml").symlink_to(tmp_path / "secret.toml")
    monkeypatch.chdir(work)
    with pytest.raises(RecipeError, match=r"is outside of the working folder.*\n.*--allow FOLDER") as refused:
        expand(f"[runs.a]\n{line}\n").all()
    assert "password" not in str(refused.value)


def test_what_is_allowed_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "shared").mkdir()
    monkeypatch.chdir(work)
    runs = f"[runs.a]\nrecipe = 'digits_trades_cnn-small'\nset.data.root = '{tmp_path}/shared'\n"
    study = expand(runs).study
    with pytest.raises(RecipeError, match="outside"):
        Cells(study).all()
    assert len(Cells(study, Place(work, (tmp_path / "shared",))).all()) == 3


def test_the_same_training_is_not_evaluated_in_two_ways() -> None:
    runs = "[runs.a]\nrecipe='digits_trades_cnn-small'\n[runs.b]\nrecipe='digits_trades_cnn-small'\n"
    with pytest.raises(RecipeError, match="a seed 0 and b seed 0 are the same training"):
        expand(runs + "set.evaluation.eps = 0.2\n").all()
    folders = [cell.folder for cell in expand(runs).all()]
    assert folders[::2] == folders[1::2]
