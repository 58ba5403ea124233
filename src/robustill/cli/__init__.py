"""The command line: reads a recipe, calls the library, writes a table for people and JSON for programs."""

from __future__ import annotations

import sys
from io import TextIOWrapper

from rich.console import Console
from rich.markup import escape

# Each registers its verbs.
from robustill.cli import (  # noqa: F401
    calibrate,
    certify,
    evaluate,
    export,
    landscape,
    look,
    rank_teachers,
    report,
    simulate,
    study,
    train,
    unlearnable,
)
from robustill.cli.app import app
from robustill.errors import RobustillError
from robustill.terminal import printable

__all__ = ["app", "main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; errors of users and of the machine print one message and exit with 1, an interrupt 130.

    >>> import contextlib
    >>> with contextlib.suppress(SystemExit):
    ...     main(["--version"])
    robustill 0.1.0
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal's encoding does not have must not lose a table; stderr is like this anyway.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(args=arguments)
    except RobustillError as error:
        _tell(str(error))
    except OSError as error:
        # A file or folder that the machine refuses is no mistake of the program.
        what = f"{error.strerror or error}: {error.filename}" if error.filename is not None else str(error)
        _tell(f"{what}\n  hint: check the path, its permissions and the disk")


def _tell(text: str) -> None:
    Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(printable(text))}", highlight=False)
    sys.exit(1)
