"""The command line: reads a recipe, calls the library, writes a table for people and JSON for programs."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape

# Each registers its verbs.
from robustill.cli import (  # noqa: F401
    calibrate,
    certify,
    evaluate,
    landscape,
    look,
    rank_teachers,
    simulate,
    train,
    unlearnable,
)
from robustill.cli.app import app
from robustill.errors import RobustillError

__all__ = ["app", "main"]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; user errors print one message and exit with 1, an interrupt with 130."""
    try:
        app(args=arguments)
    except RobustillError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(1)
