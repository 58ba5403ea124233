"""Where the numbers come from: commands that make them again, versions, and digests."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from robustill.report.page.content import Block, Code, Table
from robustill.report.page.folder import Run
from robustill.report.page.numbers import count, plain_cell
from robustill.terminal import printable

_MEASURED = ("evaluation", "calibration", "certification")


def reproduction(run: Run) -> list[Block]:
    """Return the commands, and the recipe."""
    commands = [*_commands(run)]
    blocks: list[Block] = [Code("Commands", "\n".join(commands))] if commands else []
    if run.recipe_text:
        blocks.append(Code("recipe.toml, with what was in force besides", printable(run.recipe_text.strip())))
    return blocks


def _commands(run: Run) -> Iterator[str]:
    folder = shlex.quote(printable(str(run.folder)))
    if run.recipe_text:
        yield f"robustill train {shlex.quote(printable(str(run.folder / 'recipe.toml')))} --out {folder}-again"
    evaluation = run.content("evaluation")
    if evaluation is not None:
        yield " ".join(["robustill evaluate", folder, *_options(evaluation)])
    if run.recipe_text:
        yield f"robustill report {folder}"


def _options(evaluation: dict[str, Any]) -> Iterator[str]:
    own = [name for name in evaluation["attacks"] if not name.startswith("transfer-")]
    if own:
        yield f"--attacks {shlex.quote(printable(','.join(own)))}"
    yield f"--eps {evaluation['threat']['eps']!r} --norm {shlex.quote(str(evaluation['threat']['norm']))}"
    if evaluation.get("split", "test") != "test":
        yield f"--split {shlex.quote(str(evaluation['split']))}"
    if len(own) < len(evaluation["attacks"]):
        yield "--transfer-from MODEL"
    if "curve" in evaluation:
        yield f"--eps-grid {','.join(format(p['eps'], '.6g') for p in evaluation['curve']['points'])}"
    yield f"--images {int(evaluation['images'])} --seed {int(evaluation.get('seed', 0))}"


def origins(run: Run) -> list[Block]:
    """Return versions, digests and times of what was measured."""
    rows: list[tuple[str, str, str]] = []
    for name in _MEASURED:
        found = run.content(name)
        if found is not None:
            rows += [(f"{name}.json", f"version of {what}", str(which)) for what, which in found["versions"].items()]
            rows += [
                (f"{name}.json", f"SHA-256 of the {key.removesuffix('_digest')}", str(value))
                for key, value in found.items()
                if key.endswith("_digest")
            ]
            rows.append((f"{name}.json", "seconds", plain_cell(found["seconds"], ".1f").text))
    trained = [line["seconds"] for line in run.epochs if isinstance(line.get("seconds"), int | float)]
    if trained:
        rows.append(("metrics.jsonl", "training", f"{count(len(trained))} epochs in {sum(trained):,.0f} s"))
    return [Table("Versions, digests and times", ("file", "what", "value"), rows)] if rows else []
