"""The page of a board: every method beside a baseline, the best student, and the claims."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from robustill.study.board import STANDARD
from robustill.study.claims import ClaimsFile, RuleTable
from robustill.study.judge import difference, judge, verdicts
from robustill.study.spread import spread, told
from robustill.study.summary import markdown_table

MAIN, BASE = "leaderboard", "rslad"
FIGURES = {
    "leaderboard.svg": "Clean accuracy, AutoAttack accuracy, and its difference to RSLAD's, for every row",
    "claims.svg": "What was measured of each claim, as a share of what would count",
}
Board = Mapping[str, Any]


def table(board: Board, rule_seeds: int, *, base: str = BASE, confidence: float = 0.95) -> list[dict[str, Any]]:
    """Return the rows of the leaderboard, the most robust first: those that have all seeds, then the others.

    Args:
        board: Of `collect`.
        rule_seeds: Seeds that a row needs to be among the first.
        base: Row that the others are compared with.
        confidence: Of the intervals.
    """
    found = []
    for row, seeds in board["studies"].get(MAIN, {}).get("rows", {}).items():
        cells = [board["cells"][folder] for folder in seeds.values() if folder in board["cells"]]
        if not cells:
            continue
        entry: dict[str, Any] = {"row": row, "seeds": len(cells), "taught": bool(cells[0]["taught"])}
        for student in ("best", "last"):
            for metric in ("clean", STANDARD, "wra"):
                values = [statistics.fmean(each) for each in verdicts(board, MAIN, row, metric, student).values()]
                if values:
                    entry[f"{metric} {student}"] = {**spread(values), "values": values}
        entry["paired"] = None if row == base else difference(board, MAIN, row, base, STANDARD, "best", confidence)
        entry["seconds"] = statistics.median([each["seconds_per_epoch"] for each in cells])
        known = [each["validation"] for each in cells if each["validation"] is not None]
        entry["validation"] = statistics.fmean(known) if known else None
        found.append(entry)
    return sorted(found, key=lambda each: (each["seeds"] < rule_seeds, -each[f"{STANDARD} best"]["mean"]))


def shown(board: Board, rule: RuleTable) -> list[dict[str, Any]]:
    """Return the rows of `table` that are students: teachers of all have one seed and another architecture."""
    rows = table(board, rule.seeds, confidence=rule.confidence)
    return [row for row in rows if not row["row"].startswith("teacher_")]


def best_student(board: Board, rows: Sequence[dict[str, Any]], confidence: float = 0.95) -> dict[str, Any] | None:
    """Return the row with a teacher that the validation split prefers, and how it stands to each row without one.

    Returns:
        `row`, and `against`: for each row without a teacher the difference in AutoAttack accuracy with its interval;
        None where there are no such rows.
    """
    taught = [row for row in rows if row["taught"] and row["validation"] is not None]
    others = [row for row in rows if not row["taught"]]
    if not taught or not others:
        return None
    first = max(taught, key=lambda row: row["validation"])["row"]
    against = {
        other["row"]: difference(board, MAIN, first, other["row"], STANDARD, "best", confidence) for other in others
    }
    return {"row": first, "against": {name: each for name, each in against.items() if each is not None}}


def to_markdown(board: Board, claims: ClaimsFile, images: str | None = None) -> str:
    """Return the best student, the leaderboard and the claims as Markdown, without a heading of the page.

    Args:
        board: Of `collect`.
        claims: Judged on it.
        images: Folder, seen from the page, of leaderboard.svg and claims.svg; None for a page without figures.
    """
    rule = claims.rule
    rows = shown(board, rule)
    best = best_student(board, [r for r in rows if r["seeds"] >= rule.seeds], rule.confidence)
    figures = ["" if images is None else f"![{says}]({images}/{name})" for name, says in FIGURES.items()]
    parts = [_best(best), figures[0], _leaders(rows, _agreements(board), rule.seeds), _against(best)]
    return "\n\n".join(filter(None, [*parts, "## Claims", figures[1], _claims(board, claims)])) + "\n"


def _leaders(rows: Sequence[dict[str, Any]], agreement: Mapping[str, str], wanted: int) -> str:
    head = ["row", "seeds", "clean", "AutoAttack", "WRA", "clean (last)", "AutoAttack (last)"]
    head += [f"AutoAttack - {BASE} [95%]", "agreement certified", "s / epoch"]
    lines = []
    for row in rows:
        cells = [row["row"], str(row["seeds"])]
        cells += [told(row[f"{metric} best"]) for metric in ("clean", STANDARD, "wra")]
        last = [row.get(f"{metric} last") for metric in ("clean", STANDARD)]
        cells += ["-" if each is None else told(each) for each in last]
        cells += [_interval(row["paired"]), agreement.get(row["row"], "-"), f"{row['seconds']:.0f}"]
        lines.append(cells)
    few = [row["row"] for row in rows if row["seeds"] < wanted]
    text = markdown_table(head, lines)
    return f"{text}\n\nNot all of {wanted} seeds yet: {', '.join(few)}." if few else text


def _agreements(board: Board) -> dict[str, str]:
    """Return certified agreement in percent at the middle radius, by row."""
    rows = board["studies"].get("relative-calibration", {}).get("calibration", [])
    radii = sorted({each["eps"] for each in rows})
    found: dict[str, list[float]] = {}
    for each in rows:
        if each["eps"] == radii[len(radii) // 2] and each["agreement_certified"] is not None:
            found.setdefault(each["run"], []).append(100 * each["agreement_certified"])
    return {run: f"{statistics.fmean(values):.1f}" for run, values in found.items()}


def _best(found: dict[str, Any] | None) -> str:
    if found is None or not found["against"]:
        return "**The best student**: not measured yet."
    nearest = min(found["against"].values(), key=lambda each: each["difference"])
    name = next(name for name, each in found["against"].items() if each is nearest)
    beats = all(each["interval"] is not None and each["interval"][0] > 0 for each in found["against"].values())
    says = "beats every row without a teacher" if beats else "does not beat every row without a teacher"
    text = f"**The best student**, chosen on validation images: {found['row']}. It {says}"
    return f"{text}; the nearest is {name}: {_interval(nearest)} points of AutoAttack accuracy."


def _against(found: dict[str, Any] | None) -> str:
    if found is None or not found["against"]:
        return ""
    rows = [[name, _interval(each)] for name, each in found["against"].items()]
    return markdown_table([f"{found['row']} less", "AutoAttack, points [95%]"], rows)


def _claims(board: Board, claims: ClaimsFile) -> str:
    head = ["claim", "measured [95%]", "would count", "seeds", "status", "source"]
    lines = []
    for claim, each in zip(claims.claims, judge(board, claims), strict=True):
        found, digits = each["found"], 2 if claim.unit == "points" else 3
        measured = _interval(found, digits) + (f" {claim.unit}" if found is not None and digits == 3 else "")
        seeds = "-" if found is None else str(len(found["seeds"])) if "seeds" in found else f"{found['n']} families"
        counts = f"{each['margin'] * (1 if claim.direction == 'above' else -1) or 0:g}"
        lines.append([claim.says, measured, counts, seeds, each["status"], claim.source])
    return markdown_table(head, lines)


def _interval(found: Any, digits: int = 2) -> str:
    if found is None or found["difference"] is None:
        return "-"
    text = f"{found['difference']:+.{digits}f}"
    if found["interval"] is None:
        return text
    return f"{text} [{found['interval'][0]:+.{digits}f}, {found['interval'][1]:+.{digits}f}]"
