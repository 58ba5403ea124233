"""What a card says beside what was exported."""

from __future__ import annotations

import re
from dataclasses import dataclass

from robustill.errors import InputError
from robustill.report.page.folder import Run

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


@dataclass(frozen=True)
class Origin:
    """What a card says beside what was exported.

    Attributes:
        run: Recipe, course and evaluation of the run, without paths of the machine; None: there is no run.
        license: Identifier, such as apache-2.0; None: none was given.
        dataset: Identifier on the Hugging Face hub; None: it has none.
        options: Of `robustill export`, that made it.
        repository: OWNER/NAME on the hub; None: it is not meant for one.
        notes: What else is to be said.
    """

    run: Run | None = None
    license: str | None = None
    dataset: str | None = None
    options: tuple[str, ...] = ()
    repository: str | None = None
    notes: tuple[str, ...] = ()


def check_license(name: str | None) -> str | None:
    """Return `name` if it can be the identifier of a licence.

    Raises:
        InputError: It cannot.
    """
    if name is not None and not _LICENSE.fullmatch(name):
        raise InputError(f"{name!r} is no identifier of a licence", "write one as the hub does: apache-2.0, mit, other")
    return name
