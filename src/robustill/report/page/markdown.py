"""The page as Markdown: the same words and numbers, tables in place of figures, no pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robustill.report.page.content import Block, Cell, Code, Figure, Gallery, Number, Points, Section, Table, Words
from robustill.terminal import printable

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """Return a document; text from files cannot become markup in it."""
    parts = [f"# {plain(title)}"]
    for section in sections:
        parts += [f"{'#' * section.level} {plain(section.title)}", *(_block(block) for block in section.blocks)]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    r"""Return text on one line that shows as it is.

    >>> plain("a|b <script>")
    'a\\|b \\<script\\>'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))


def _block(block: Block) -> str:
    match block:
        case Words(text):
            return plain(text)
        case Points(items):
            return "\n".join(f"- {plain(each)}" for each in items)
        case Table():
            return _table(block)
        case Figure(caption=caption, table=table):
            return f"{plain(caption)}\n\n{_table(table)}"
        case Code(label, text):
            # A fence longer than any in the text.
            fence = "`" * max(3, 1 + max((len(each) for each in re.findall("`+", text)), default=0))
            return f"{plain(label)}:\n\n{fence}\n{text}\n{fence}"
        case Gallery(items):
            return "\n\n".join(f"{plain(each.title)}\n\n{_table(each.table)}" for each in items)


def _table(table: Table) -> str:
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    lines = [[plain(column) for column in table.columns], ["---"] * len(table.columns), *rows]
    return f"{plain(table.caption)}:\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: Cell) -> str:
    return plain(cell.text if isinstance(cell, Number) else cell)
