"""What a page is made of: sections of words, tables, figures and pictures, drawn as HTML or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from markupsafe import Markup


class Number(NamedTuple):
    """A table cell that sorts by its value; None sorts last and shows as a dash."""

    value: float | None
    text: str


Cell = str | Number


@dataclass(frozen=True)
class Words:
    """A paragraph."""

    text: str
    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: Sequence[str]
    kind: ClassVar[str] = "points"


@dataclass(frozen=True)
class Table:
    """Rows under named columns; the first cell of a row is its heading."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Figure:
    """A drawing with its caption, and the numbers it is drawn from, which are shown at once if `open`."""

    svg: Markup
    caption: str
    table: Table
    open: bool = False
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class Code:
    """Text to copy."""

    label: str
    text: str
    kind: ClassVar[str] = "code"


class Picture(NamedTuple):
    """An image as base64 of a PNG, what it is, and the same in words for those who do not see it."""

    png: str
    title: str
    alt: str


class Exhibit(NamedTuple):
    """Pictures of one example, and what networks say about it."""

    title: str
    pictures: Sequence[Picture]
    table: Table


@dataclass(frozen=True)
class Gallery:
    """Examples."""

    items: Sequence[Exhibit]
    kind: ClassVar[str] = "gallery"


Block = Words | Points | Table | Figure | Code | Gallery


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        id: Anchor; letters, digits and dashes.
        title: Heading.
        blocks: Content.
        level: 2, or 3 inside the part of one run of several.
    """

    id: str
    title: str
    blocks: Sequence[Block] = ()
    level: int = 2
