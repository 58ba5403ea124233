"""Extension of the API reference: doctests in docstrings are shown as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_PARAGRAPH = re.compile(r"(?:^>>> .*\n?)(?:^(?!$).*\n?)*", re.MULTILINE)


def with_examples(docstring: str) -> str:
    """Return a docstring whose doctests stand in sections of their own."""

    def section(found: re.Match[str]) -> str:
        return "Examples:\n" + "".join(f"    {line}\n" for line in found[0].splitlines())

    return _PARAGRAPH.sub(section, docstring)


class Doctests(griffe.Extension):
    """Prepare the docstring of every object."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Put its doctests into sections."""
        if obj.docstring:
            obj.docstring.value = with_examples(obj.docstring.value)
