"""Modules of one's own: where they are looked for, and what is said of one that cannot be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from robustill.errors import InputError
from robustill.methods import METHODS
from robustill.models import MODELS
from robustill.plugins import handing_on, import_modules, imported_modules
from tests.own import own

__all__ = ["own"]


def test_it_registers_once_and_is_handed_on(own: Path) -> None:
    import_modules(["my_own", "my_own"])
    assert METHODS["labelled"].__module__ == "my_own"
    assert MODELS["narrow"].__module__ == "my_own"
    assert imported_modules() == ("my_own",)


@pytest.mark.parametrize(
    ("name", "content", "message", "hint"),
    [
        ("my_absent", None, "no module 'my_absent' in", "run the command in the folder that holds it"),
        ("my_absent.inner", None, "no module 'my_absent' in", "run the command in the folder that holds it"),
        ("my_own.py", None, "my_own.py: not the name of a module", "my_methods for my_methods.py"),
        ("../my_own", None, "not the name of a module", "my_methods for my_methods.py"),
        ("", None, "not the name of a module", "my_methods for my_methods.py"),
        ("my_bad", "x = 1\ny = x / 0\n", "ZeroDivisionError: division by zero", "my_bad.py, line 2"),
        ("my_bad", "x = 1\nx = = 2\n", "SyntaxError: invalid syntax", "my_bad.py, line 2"),
        ("my_bad", "import my_other_package\n", "No module named 'my_other_package'", "my_bad.py, line 1"),
    ],
)
def test_one_that_cannot_be_imported(own: Path, name: str, content: str | None, message: str, hint: str) -> None:
    if content is not None:
        own.with_name(f"{name}.py").write_text(content)
    with pytest.raises(InputError) as caught:
        import_modules([name])
    assert caught.value.message.startswith(f"--import {name}: ")
    assert message in caught.value.message
    assert hint in str(caught.value.hint)
    assert imported_modules() == ()


def test_another_process_looks_where_they_were_found(own: Path) -> None:
    places = [own.parent / "scripts", own.parent / "lib"]
    (places[1] / "my_package").mkdir(parents=True)
    places[0].mkdir()
    own.rename(places[0] / "my_own.py")
    (places[1] / "my_package" / "inner.py").write_text("")
    sys.path += map(str, places)
    import_modules(["my_own", "my_package.inner", "sys"])
    words = ["--import", "my_own", "--import", "my_package.inner", "--import", "sys"]
    assert handing_on() == [*words, "--look-in", str(places[0]), "--look-in", str(places[1])]
