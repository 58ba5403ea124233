"""Hook of the documentation's build: the pages of the reference, made anew from the code each time.

One directive of mkdocstrings per public name, and every verb of the command line with its options.
"""

from __future__ import annotations

import importlib
import inspect
from typing import Any

PACKAGES = {
    "attacks": "Adversaries: each maximises an objective `x' -> [B]` over a ball around x, inside [0, 1].",
    "methods": "Training methods. Their equations, settings and results: [Methods](../methods/index.md).",
    "losses": "Losses of logits `[B, C]`, one number per example, `[B]`. Every method and attack is made of them.",
    "models": "Architectures, loading and saving, `Frozen` for teachers, and the view that attacks search on.",
    "data": "Data sets by name, folder or file, split and turned into batches `(x in [0, 1], y)`.",
    "training": "The loop and its settings: checkpoints, averaging, adversarial weight perturbation.",
    "evaluation": "Robust accuracy with one verdict per image, exact intervals and checks.",
    "certification": "Certificates: what a network does, at most and at least, for every image near another.",
    "diagnostics": "Questions about data, teachers and students.",
    "theory": "The two-layer patch model of robust teachers that fail.",
    "report": "Figures and pages from the JSON of run folders.",
    "study": "Grids of runs, each cell computed once, and their tables.",
    "export": "Trained networks as files for other programs, attacked again after the export.",
}
_SHOWN = "    options: { show_root_heading: true, show_root_toc_entry: true, show_root_full_path: false }"


def pages() -> dict[str, str]:
    """Return every page of the reference, by its path among the pages."""
    found = {f"reference/{package}.md": package_page(package) for package in PACKAGES}
    return found | {"reference/robustill.md": top_page(), "reference/cli.md": command_page()}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those of the site."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def package_page(package: str) -> str:
    """Return the page of a package: what it is for, its names at a glance, and a directive for each."""
    module = importlib.import_module(f"robustill.{package}")
    names = _names(module)
    glance = "\n".join(f"| [`{name}`](#{_home(module, name)}) | {_line(module, name)} |" for name in names)
    parts = "\n\n".join(f"::: {_home(module, name)}\n{_SHOWN}" for name in names)
    example = f"```python\nfrom robustill.{package} import {names[0]}\n```\n"
    return f"# `robustill.{package}`\n\n{PACKAGES[package]}\n\n{example}\n| name | |\n|---|---|\n{glance}\n\n{parts}\n"


def top_page() -> str:
    """Return the page of the names in `robustill` itself."""
    import robustill

    names = [name for name in robustill.__all__ if name != "__version__"]
    parts = "\n\n".join(f"::: {_home(robustill, name)}\n{_SHOWN}" for name in names)
    return f"# `robustill`\n\nWhat most scripts need, loaded on first use: `import robustill` is fast.\n\n{parts}\n"


def _names(module: Any) -> list[str]:
    listed = getattr(module, "__all__", None) or [
        name for name, each in vars(module).items() if inspect.isfunction(each) and each.__module__ == module.__name__
    ]
    names = [name for name in listed if not name.startswith("_")]
    # Classes before functions before the rest; `robustill.losses` keeps its order.
    kind = {name: 0 if inspect.isclass(getattr(module, name)) else 1 for name in names}
    return sorted(names, key=lambda name: kind[name])


def _home(module: Any, name: str) -> str:
    """Return where an object is defined: a function may share its name with the module it stands in."""
    each = getattr(module, name)
    if inspect.isclass(each) or inspect.isfunction(each):
        return f"{each.__module__}.{each.__qualname__}"
    return f"{module.__name__}.{name}"


def _line(module: Any, name: str) -> str:
    each = getattr(module, name)
    text = inspect.getdoc(each) if inspect.isclass(each) or inspect.isfunction(each) else ""
    return (text or "").strip().split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def command_page() -> str:
    """Return the page of the command line: every verb with its arguments and options."""
    import typer.main

    from robustill.cli.app import app

    importlib.import_module("robustill.cli")
    group: Any = typer.main.get_command(app)
    context = group.make_context("robustill", [], resilient_parsing=True)
    verbs = [(name, group.get_command(context, name)) for name in group.list_commands(context)]
    head = (
        "# Command line\n\nEvery verb prints a table for people; `--json` prints JSON for programs. Errors are one "
        "message\nand exit with 1, an interrupt exits with 130. `robustill VERB --help` says the same as this page.\n\n"
        "`robustill --import MODULE VERB ...` imports a module first that registers "
        "[methods](../how-to/own-method.md) or\n[networks](../how-to/own-network.md) of your own; repeatable.\n"
    )
    return head + "".join(f"\n## `robustill {name}`\n\n{_verb(verb)}" for name, verb in verbs)


def _verb(verb: Any) -> str:
    rows = "\n".join(_option(each) for each in verb.params)
    text = inspect.cleandoc(verb.help or "")
    return f"{_escaped(text)}\n\n| argument | | default |\n|---|---|---|\n{rows}\n"


def _option(each: Any) -> str:
    argument = each.param_type_name == "argument"
    names = [(each.metavar or each.name).strip("{}.")] if argument else [*each.opts, *each.secondary_opts]
    flag = argument or getattr(each, "is_flag", False)
    value = f" {each.metavar}" if each.metavar and not flag else ""
    blank = each.default is None or each.default is False or each.default in ((), [])
    default = "required" if each.required else "" if blank else f"`{each.default}`"
    if each.default is True and each.secondary_opts:
        default = f"`{each.opts[0]}`"
    return f"| `{', '.join(names)}{value}` | {_escaped(getattr(each, 'help', '') or '')} | {default} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
