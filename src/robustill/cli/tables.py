"""Tables for people, JSON for programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from robustill import writing
from robustill.errors import InputError
from robustill.terminal import printable
from robustill.writing import make_folder


def print_table(title: str, columns: list[str], rows: list[Any], *, header: bool = True) -> None:
    """Print a table with its title as a line of its own above."""
    console = Console()
    # As a line of its own, the title is not broken at the width of the table.
    console.print(plain(title), style="italic", soft_wrap=True)
    table = Table(show_header=header)
    for k, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="right" if k and header and _numeric(rows, k) else "left")
    for row in rows:
        table.add_row(*map(plain, row))
    console.print(table)


def plain(text: str) -> str:
    r"""Return text for rich that shows as it is: no markup, and nothing that steers the terminal.

    >>> plain("[red]cat\x1b[2J")
    '\\[red]cat\\x1b[2J'
    """
    return escape(printable(text))


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
    make_folder(path.parent)
    writing.write_json(value, path)


def _numeric(rows: list[Any], column: int) -> bool:
    return all(row[column][:1].isdigit() or row[column] in ("", "-") for row in rows)
