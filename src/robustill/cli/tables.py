"""Tables for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from robustill import writing
from robustill.errors import InputError
from robustill.terminal import printable
from robustill.writing import as_json, make_folder


def print_table(
    title: str, columns: list[str], rows: list[Any], *, header: bool = True, optional: Sequence[str] = ()
) -> None:
    """Print a table with its title as a line of its own above.

    Args:
        title: What it shows.
        columns: Their names.
        rows: Texts, one for each column.
        header: Whether the names of columns are shown.
        optional: Columns that a narrow terminal does without, the first of these first; a line says which.
    """
    console = Console()
    # As a line of its own, the title is not broken at the width of the table.
    console.print(plain(title), style="italic", soft_wrap=True)
    widths = [max(cell_len(printable(text)) for text in each) for each in zip(columns, *rows, strict=True)]
    left_out = _left_out(columns, widths, optional, console.width)
    table = Table(show_header=header)
    shown = [k for k, column in enumerate(columns) if column not in left_out]
    for k in shown:
        right = bool(k) and header and _numeric(rows, k)
        # Names stay whole, to be copied, where that leaves room for the rest.
        whole = k == 0 and widths[0] <= console.width // 2
        table.add_column(columns[k], overflow="fold", no_wrap=whole, justify="right" if right else "left")
    for row in rows:
        table.add_row(*(plain(row[k]) for k in shown))
    console.print(table)
    if left_out:
        console.print(f"left out, for the width: {plain(', '.join(left_out))}", style="dim", soft_wrap=True)


def _left_out(columns: list[str], widths: list[int], optional: Sequence[str], room: int) -> list[str]:
    """Return as many of the optional columns, from the first on, as must go for the others to stand in one line."""
    found: list[str] = []
    for name in (name for name in optional if name in columns):
        kept = [width for column, width in zip(columns, widths, strict=True) if column not in found]
        if sum(kept) + 3 * len(kept) + 1 <= room:
            break
        found.append(name)
    return found


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
    sys.stdout.write(as_json(value))


def write_json(value: Any, path: Path) -> None:
    """Write a JSON file, and its folder if need be."""
    make_folder(path.parent)
    writing.write_json(value, path)


def _numeric(rows: list[Any], column: int) -> bool:
    return all(row[column][:1].isdigit() or row[column] in ("", "-") for row in rows)
