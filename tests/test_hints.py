"""Errors for users say what to do: by a hint, or by a message that names what is right."""

import ast
import re
from pathlib import Path

import pytest

import robustill
from robustill import errors
from robustill.data import load_data
from robustill.errors import DataError

ROOT = Path(robustill.__file__).parent

# "eps must be positive", "expected [N, H, W]", "holds neither a nor b": the message itself is the way out.
SAYS_WHAT_IS_RIGHT = re.compile(
    r"\b(must|expected|needs?|needed|missing|lacks|only|one of|give|use|looked for|instead of|cannot be negative)\b"
    r"|at least|or more|positive|finite|, not |nothing would be left"
)
# `read_data` adds the hint that all readers share.
BY_READ_DATA = ("DataError", "DataNotFoundError")
# Pieces of a sentence that another error ends.
PIECES = {("models/trace.py", "it draws random numbers"), ("models/trace.py", "it makes tensors of its own")}


def kinds(root: Path) -> set[str]:
    """Names of RobustillError and of what is derived from it, in whichever file."""
    found = {"RobustillError"}
    classes = [node for file in root.rglob("*.py") for node in ast.walk(ast.parse(file.read_text()))
               if isinstance(node, ast.ClassDef)]  # fmt: skip
    while True:
        more = {each.name for each in classes if found & {ast.unparse(base) for base in each.bases}} - found
        if not more:
            return found
        found |= more


def raised(root: Path) -> list[tuple[str, ast.Call]]:
    names, found = kinds(root), []
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            call = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names:
                found.append((str(file.relative_to(root)), call))
    return found


def without(root: Path) -> list[str]:
    """Places that raise an error without a hint whose message does not say what is right."""
    found = []
    for file, call in raised(root):
        hinted = len(call.args) > 1 or any(keyword.arg in ("hint", None) for keyword in call.keywords)
        text = ast.unparse(call.args[0]) if call.args else ""
        reader = file.startswith("data/") and ast.unparse(call.func) in BY_READ_DATA
        if hinted or reader or SAYS_WHAT_IS_RIGHT.search(text) or (file, text.strip("'\"")) in PIECES:
            continue
        found.append(f"{file}:{call.lineno}: {text[:80]}")
    return found


def test_every_error_says_what_to_do() -> None:
    assert without(ROOT) == []
    assert len(raised(ROOT)) > 300


def test_most_errors_have_a_hint_of_their_own() -> None:
    calls = [call for file, call in raised(ROOT) if not file.startswith("data/")]
    hinted = [call for call in calls if len(call.args) > 1 or call.keywords]
    assert len(hinted) > 0.75 * len(calls)


def test_the_pieces_are_there() -> None:
    for file, text in PIECES:
        assert text in (ROOT / file).read_text()


def test_an_error_without_a_hint_is_seen(tmp_path: Path) -> None:
    (tmp_path / "errors.py").write_text("class RobustillError(Exception): ...\nclass OwnError(RobustillError): ...\n")
    (tmp_path / "a.py").write_text(
        "raise OwnError('it broke')\nraise OwnError('it broke', 'mend it')\nraise OwnError('it must be whole')\n"
        "raise OwnError('it broke', hint='mend it')\nraise ValueError('it broke')\n"
    )
    assert without(tmp_path) == ["a.py:1: 'it broke'"]
    assert {name for name in kinds(ROOT) if hasattr(errors, name)} >= {"DataError", "InputError", "RecipeError"}


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "robustill list data"), (b"no archive", "get the file anew")],
    ids=["absent", "broken"],
)  # fmt: skip
def test_data_that_cannot_be_read_has_a_hint(content: bytes | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as told:
        load_data(str(path))
    assert told.value.hint is not None
    assert words in told.value.hint
    assert str(path) in told.value.message
