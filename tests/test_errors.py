"""Errors for users: message and hint, and the nearest of the options."""

from pathlib import Path

import pytest

from robustill import errors
from robustill.errors import InputError, MissingExtraError, RobustillError, nearest, nearest_path


def test_the_hint_is_a_line_of_its_own() -> None:
    error = RobustillError("no such thing", "look elsewhere")
    assert str(error) == "no such thing\n  hint: look elsewhere"
    assert (error.message, error.hint) == ("no such thing", "look elsewhere")
    assert str(RobustillError("no such thing")) == "no such thing"


def test_every_error_is_a_robustill_error() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 6
    assert all(issubclass(kind, RobustillError) for kind in kinds)


def test_python_kinds_that_callers_expect() -> None:
    with pytest.raises(ValueError, match="x"):
        raise InputError("x")
    with pytest.raises(ImportError, match="x"):
        raise MissingExtraError("x")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rslda", "did you mean 'rslad'?"),
        ("trade", "did you mean 'trades'?"),
        ("zzz", "choose one of: ard, rslad, trades"),
        ("", "choose one of: ard, rslad, trades"),
    ],
)
def test_nearest(name: str, hint: str) -> None:
    assert nearest(name, iter(["trades", "rslad", "ard"])) == hint


def test_of_many_options_those_with_the_name_in_them_or_the_first() -> None:
    recipes = [f"{data}_{method}_cnn" for data in ("digits", "cifar10") for method in ("rslad", "kd")]
    assert nearest("kd", recipes) == "choose one of: cifar10_kd_cnn, digits_kd_cnn"
    assert nearest("", recipes).count(",") == 3
    many = [f"{number:03}" for number in range(45)]
    assert nearest("x", many) == f"choose one of: {', '.join(many[:5])} and 40 more"


def test_nearest_path(tmp_path: Path) -> None:
    (tmp_path / "runs" / "teacher").mkdir(parents=True)
    assert nearest_path(tmp_path / "runs" / "teach") == f"did you mean '{tmp_path}/runs/teacher'?"
    assert nearest_path(tmp_path / "run" / "zzz" / "w.pt") == f"did you mean '{tmp_path}/runs'?"
    assert nearest_path(tmp_path / "zzz" / "w.pt") == f"check the path: there is no {tmp_path}/zzz either"
    for path in (tmp_path / "zzz", "a\0b", "x" * 5000, "/", "", tmp_path / "runs" / "teacher" / "a" / ".."):
        assert nearest_path(path).startswith("check the path")
