"""Tables for people, JSON for programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from robustill.errors import InputError


def print_table(title: str, columns: list[str], rows: list[Any], *, header: bool = True) -> None:
    """Print a table with its title as a line of its own above."""
    console = Console()
    # As a line of its own, the title is not broken at the width of the table.
    console.print(escape(title), style="italic", soft_wrap=True)
    table = Table(show_header=header)
    for k, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="right" if k and header and _numeric(rows, k) else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)


def number(option: str, text: str) -> float:
    """Return the number that an option gives, such as 0.1 or 8/255.

    Raises:
        InputError: It is none.
    """
    from robustill.training.settings import as_number

    try:
        return float(as_number(text))
    except ValueError as error:
        raise InputError(f"{option} {text!r} is not a number", "write 0.1 or 8/255") from error


def print_json(value: Any) -> None:
    """Print JSON to standard output."""
    import json

    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def write_json(value: Any, path: Path) -> None:
    """Write a JSON file, and its folder if need be."""
    import json

    from robustill.runs import make_folder

    make_folder(path.parent)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _numeric(rows: list[Any], column: int) -> bool:
    return all(row[column][:1].isdigit() or row[column] in ("", "-") for row in rows)
