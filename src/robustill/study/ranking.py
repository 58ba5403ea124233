"""Teachers of a study by their entropy where no reference is right, beside what their students became."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustill.errors import RecipeError
from robustill.study.address import reference
from robustill.study.cells import Cell, Cells
from robustill.study.earlier import Earlier
from robustill.study.folder import Store
from robustill.study.table import RankingTable
from robustill.writing import write_json

CRITERIA = {"unlearnable": "unlearnable_entropy", "contrast": "contrast"}
"""Names here and in a ranking of teachers."""
LEAST = 3
OUTCOMES = ("last", "best", "gap")


def rank(cells: Cells, store: Store, asked: RankingTable, out: Path, earlier: Earlier) -> dict[str, Any] | None:
    """Find the unlearnable set, ask every teacher, and compare with the students; None while a cell is missing.

    Args:
        cells: Of the study.
        store: Where they live.
        asked: Its table `ranking`.
        out: Folder of verdicts, answers, `ranking.json` and `ranking.svg`; what is there already is taken over.
        earlier: What students became whose cells are not here.

    Raises:
        RecipeError: The students of the study have no such teacher, or several.
        RobustillError: As `rank_teachers` and `unlearnable`.
    """
    taught = _taught(cells, asked)
    references = _of(cells, asked.references)
    networks = [*references, *(teacher[0] for teacher, _ in taught.values())]
    students = [cell for _, rows in taught.values() for cell in rows if not earlier.has(cell)]
    if any(store.trained(cell) is None for cell in networks) or any(store.result(cell) is None for cell in students):
        return None
    found = _asked(references, {name: teacher for name, (teacher, _) in taught.items()}, store, asked, out)
    content: dict[str, Any] = found.to_json()
    content["students"] = {name: _became(rows, store, earlier) for name, (_, rows) in taught.items()}
    scores = {criterion: found.scores(name, asked.surface) for criterion, name in CRITERIA.items()}
    firsts = {
        criterion: next((each.name for each in found.order(name, asked.surface)), None)
        for criterion, name in CRITERIA.items()
    }
    families = {name: _owner(teacher) for name, (teacher, _) in taught.items()}
    content["validation"] = _validations(scores, firsts, content["students"], found.baselines(), families)
    write_json(content, out / "ranking.json")
    _draw(content, asked.surface, out / "ranking.svg")
    return content


def _taught(cells: Cells, asked: RankingTable) -> dict[str, tuple[tuple[Cell, bool], list[Cell]]]:
    """Return for each teacher its cell, whether its last student is meant, and the cells of its students."""
    found: dict[str, tuple[tuple[Cell, bool], list[Cell]]] = {}
    for cell in _of(cells, asked.students):
        source = cell.recipe.teachers.get(asked.teacher)
        if not isinstance(source, str) or source not in cell.needs:
            where = f"{cells.study.name}: ranking.students: {cell.name}"
            raise RecipeError(f"{where} has no {asked.teacher!r} that is one cell", 'teachers = "cell:NAME"')
        name, last = reference(source)
        teacher = (cell.needs[source], last)
        found.setdefault(f"{name}, last" if last else name, (teacher, []))[1].append(cell)
    return found


def _of(cells: Cells, entry: str) -> list[Cell]:
    rows = [variant for name, variant in cells.variants.items() if name.partition("[")[0] == entry]
    return [cells.cell(variant, seed) for variant in rows for seed in cells.seeds(variant)]


def _owner(teacher: tuple[Cell, bool]) -> str:
    """Checkpoints of one run are one family."""
    return teacher[0].folder


def _asked(
    references: list[Cell], teachers: Mapping[str, tuple[Cell, bool]], store: Store, asked: RankingTable, out: Path
) -> Any:
    from robustill.diagnostics.learnability import save_learnability, unlearnable
    from robustill.diagnostics.ranking import rank_teachers
    from robustill.models import load_model
    from robustill.training.device import cpu_threads, find_device

    recipe, threat = references[0].recipe, references[0].measures["evaluate"]
    data, place = recipe.data_set(), find_device(recipe.training.device)
    known = {f"{asked.references}/{cell.seed}": load_model(store.of(cell)).to(place) for cell in references}
    networks = {
        name: load_model(store.of(cell) / f"student{'_last' * last}.safetensors").to(place)
        for name, (cell, last) in teachers.items()
    }
    with cpu_threads(recipe.training.threads):
        sets = unlearnable(
            known, data, asked.attack, eps=threat["eps"], norm=threat["norm"], seed=asked.seed, out=out / "verdicts"
        )
        save_learnability(sets, out / "unlearnable.safetensors")
        return rank_teachers(
            networks, next(iter(known.values())), data, sets, surface=asked.surface, seed=asked.seed,
            out=out / "answers",
        )  # fmt: skip


def _became(rows: list[Cell], store: Store, earlier: Earlier) -> dict[str, Any]:
    """Return robust accuracy of the students of one teacher by seed, best, last and the gap between them."""
    found: dict[str, dict[str, float]] = {outcome: {} for outcome in OUTCOMES}
    for cell in rows:
        result = store.result(cell)
        known = result["rows"] if result is not None else earlier.rows(cell)
        robust = {row["student"]: row["accuracy"] for row in known if row["attack"] == "robust"}
        if "last" not in robust:
            raise RecipeError("[ranking] compares best and last students", "set evaluate.last = true")
        seed = str(cell.seed)
        found["best"][seed], found["last"][seed] = robust["best"], robust["last"]
        found["gap"][seed] = robust["best"] - robust["last"]
    return found


def _validations(
    scores: Mapping[str, Any],
    firsts: Mapping[str, str | None],
    students: Mapping[str, Any],
    baselines: Any,
    families: Mapping[str, str],
) -> list[dict[str, Any]]:
    from robustill.diagnostics.ranking import validate_ranking

    found = []
    for criterion, own in scores.items():
        if sum(score is not None for score in own.values()) < LEAST:
            continue
        for outcome in OUTCOMES:
            values = {name: list(each[outcome].values()) for name, each in students.items()}
            result = validate_ranking(
                own, values, baselines=baselines, families=families, first=firsts[criterion],
                larger_is_better=outcome != "gap",
            )  # fmt: skip
            found.append({"criterion": criterion, "outcome": outcome, **result.to_json()})
    return found


def _draw(content: Mapping[str, Any], surface: str, path: Path) -> None:
    from robustill.report.foretold import draw_foretold

    points = {
        each["name"]: {
            "entropy": each["surfaces"][surface]["entropy"]["unlearnable"]["mean"],
            "dropped": bool(each["dropped"]),
            **{outcome: list(content["students"][each["name"]][outcome].values()) for outcome in ("last", "gap")},
        }
        for each in content["teachers"]
    }
    draw_foretold(points, path)
