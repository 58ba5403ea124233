"""Every fault and hostile input in docs/reliability.md names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def missing(page: str) -> list[str]:
    """Return the tests that a page names and that do not exist."""
    found = []
    for file, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page):
        path = ROOT / file
        known = (
            {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
            if (path.is_file())
            else set()
        )
        if not path.is_file() or (name and name not in known):
            found.append(f"{file}::{name}")
    return found


def test_every_row_names_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| fault", "| input"))]
    assert len(rows) > 45
    assert [row for row in rows if not re.search(r"\| `tests/[\w/]+\.py(::\w+)?` \|$", row)] == []


def test_every_test_that_is_named_exists() -> None:
    assert missing(PAGE) == []


def test_one_that_does_not_exist_is_seen() -> None:
    page = "| a | b | `tests/test_docs_reliability.py::test_nothing` |\n| a | b | `tests/test_none.py::test_x` |"
    assert missing(page) == ["tests/test_docs_reliability.py::test_nothing", "tests/test_none.py::test_x"]
