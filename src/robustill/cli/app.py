"""The application and the options that verbs share."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

# As in a user's day; a verb that is not here comes last.
_ORDER = (
    "demo", "train", "evaluate", "calibrate", "certify", "unlearnable", "rank-teachers", "simulate", "landscape",
    "report", "export", "study", "list", "doctor",
)  # fmt: skip


class _Verbs(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = super().get_command(ctx, cmd_name)
        if command is not None and command.help:
            # Lines as long as the source's break a second time in a terminal of another width.
            parts = inspect.cleandoc(command.help).split("\n\n")
            command.help = "\n\n".join(" ".join(part.splitlines()) for part in parts)
        return command

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            # Typer would exit without the message, which says how to go on; one process of several says it.
            if os.environ.get("RANK", "0") == "0":
                sys.stderr.write(f"{str(error) or 'interrupted'}\n")
            raise typer.Exit(130) from error


app = typer.Typer(
    name="robustill",
    cls=_Verbs,
    help="Adversarial distillation: train a small image classifier that stays right under attack, guided by teachers."
    "\n\nA day with it: [bold]robustill doctor[/] checks the data and the teacher, [bold]train[/] distils a student, "
    "[bold]evaluate[/] attacks it, [bold]calibrate[/] and [bold]certify[/] prove what can be proved. Start with "
    "[bold]robustill demo[/], which needs nothing else.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from robustill import __version__

        sys.stdout.write(f"robustill {__version__}\n")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def _options(
    modules: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE",
            help="Import this module first, which registers methods or networks of your own. Before the verb; "
            "repeatable.",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if modules:
        from robustill.plugins import import_modules

        import_modules(modules)
