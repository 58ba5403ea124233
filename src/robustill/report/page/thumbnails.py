"""The least and the most learnable images as small pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

from robustill.report.page.content import Block, Exhibit, Gallery, Picture, Table
from robustill.report.page.numbers import count

_WHICH = ("wrong under attack for", "right under attack for")


def thumbnails(found: dict[str, Any]) -> list[Block]:
    """Return pictures.

    Args:
        found: Content of an `examples.json`: `{"references", "rows": [{"title", "of", "images": [{"pixels", "caption",
            "seen_as"}]}]}`, pixels from 0 to 255 as rows of grey values or of (red, green, blue).

    Raises:
        ValueError: Pixels are no image.
    """
    references = found["references"]
    whom = {1: "the one reference", 2: "both references"}.get(references, f"all {references} references")
    shown = [
        _exhibit(row, f"{row['title']} of {count(row['of'])} images {which} {whom}")
        for row, which in zip(found["rows"], _WHICH, strict=True)
        if row["images"]
    ]
    return [Gallery(shown)] if shown else []


def _exhibit(row: dict[str, Any], title: str) -> Exhibit:
    pictures, rows = [], []
    for number, image in enumerate(row["images"], 1):
        label, seen = str(image["caption"]), image["seen_as"]
        alt = f"{row['title']}, number {number}: labelled {label}" + ("" if seen is None else f", seen as {seen}")
        pictures.append(Picture(_png(image["pixels"]), label, alt))
        rows.append((str(number), label, "not one class" if seen is None else str(seen)))
    title = title[:1].upper() + title[1:]
    return Exhibit(title, pictures, Table(title, ("number", "label", "seen by all as"), rows))


def _png(pixels: Sequence[Sequence[Any]]) -> str:
    """Return base64 of a PNG.

    >>> _png([[0, 255]])[:5]
    'iVBOR'
    """
    from PIL import Image

    height, width = len(pixels), len(pixels[0])
    colours = isinstance(pixels[0][0], list)
    values = [value for row in pixels for pixel in row for value in (pixel if colours else (pixel,))]
    # Values outside 0..255 and rows of unequal length raise ValueError.
    image = Image.frombytes("RGB" if colours else "L", (width, height), bytes(values))
    written = io.BytesIO()
    image.save(written, "PNG")
    return base64.b64encode(written.getvalue()).decode("ascii")
