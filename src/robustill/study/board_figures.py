"""A board as figures: where every row stands, and what became of the claims."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from robustill.report.standing import Standing, draw_claims, draw_standing
from robustill.study.board import ATTACKS
from robustill.study.claims import UNMEASURED, ClaimsFile, ClaimTable
from robustill.study.judge import judge
from robustill.study.leaderboard import BASE, shown

Board = Mapping[str, Any]


def draw_board(board: Board, claims: ClaimsFile, path: Path) -> None:
    """Draw the rows of the leaderboard: clean, under AutoAttack, and less the base.

    Args:
        board: Of `collect`.
        claims: Whose rule says how many seeds a row needs.
        path: Where the figure goes; its ending decides the format (.svg, .png, .pdf).
    """
    rows = []
    for row in shown(board, claims.rule):
        pair = row["paired"] or {}
        clean, robust = (row[f"{metric} best"]["values"] for metric in ATTACKS)
        rows.append(Standing(row["row"], clean, robust, row["taught"], pair.get("difference"), pair.get("interval")))
    draw_standing(rows, path, attack="AutoAttack", base=BASE)


def draw_judged(board: Board, claims: ClaimsFile, path: Path) -> None:
    """Draw every claim that was measured and has a least gain that would count."""
    pairs = zip(claims.claims, judge(board, claims), strict=True)
    draw_claims([_scaled(c, each) for c, each in pairs if each["status"] != UNMEASURED and each["margin"]], path)


def _scaled(claim: ClaimTable, each: Mapping[str, Any]) -> dict[str, Any]:
    # To the right is as claimed, whatever the unit and the direction.
    unit = abs(each["margin"]) * (1 if claim.direction == "above" else -1)
    interval = each["found"]["interval"]
    return {
        "says": claim.says,
        "status": each["status"],
        "value": each["found"]["difference"] / unit,
        "interval": None if interval is None else sorted(end / unit for end in interval),
    }
