"""Text from files on a terminal: names of classes and files must not be able to steer it."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return `text` with everything that does not show written as an escape: control, direction and broken characters.

    Line breaks and tabs stay.

    >>> printable("cat\x1b[2J")
    'cat\\x1b[2J'
    >>> printable("naïve 猫\n")
    'naïve 猫\n'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t\xa0" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
