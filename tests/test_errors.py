"""Errors for users: message and hint, and the nearest of the options."""

import pytest

from robustill import errors
from robustill.errors import InputError, MissingExtraError, RobustillError, nearest


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
