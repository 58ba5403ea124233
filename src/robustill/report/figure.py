"""Saving figures: whole or not at all, and with names from files taken as plain text."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from robustill.errors import InputError
from robustill.terminal import printable
from robustill.writing import make_folder, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: str | Path, *, dpi: int = 110) -> None:
    """Write a figure at once, in the format that the file's ending names.

    Raises:
        InputError: The ending names no format of figures.
        WriteError: The disk is full, or the folder cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.text import Text

    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise InputError(
            f"{path}: {path.suffix or 'no ending'} is not a format of figures", "end it in .svg, .png or .pdf"
        )
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        # A class may be called "$\frac": no formula, and no error.
        text.set_parse_math(False)
        text.set_text(printable(text.get_text()))
    drawn = io.BytesIO()
    # The same numbers make the same file: no date, and names of parts that are not drawn by lot.
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with rc_context({"svg.hashsalt": "robustill"}):
        figure.savefig(drawn, dpi=dpi, format=kind, metadata=undated)
    make_folder(path.parent)
    write_whole(path, [drawn.getvalue()])
