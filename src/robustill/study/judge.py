"""Claims against a board: which difference each is about, its interval, and what the rule makes of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence, Set
from typing import Any

from robustill.errors import RecipeError, nearest
from robustill.study.board import STANDARD, unpack
from robustill.study.claims import NOT, REPRODUCED, UNDECIDED, ClaimsFile, ClaimTable, status
from robustill.study.compare import over_seeds, over_seeds_and_images
from robustill.study.ranking import OUTCOMES

POINTS = ("clean", STANDARD, "wra")
_INTERVALS = 0.95
"""The level of a ranking's intervals, whatever that of the rule is."""
# What says which row it is, and what is no number.
_NO_COLUMNS = {"cell", "run", "seed", "eps"}
_SAME = 1e-9
Board = Mapping[str, Any]


def verdicts(board: Board, study: str, row: str, metric: str, student: str) -> dict[int, list[float]]:
    """Return for each seed of a row a number per image, in points: 100 where it is right, 0 where not, 50 in between.

    A seed without AutoAttack's standard form, or without that student, is not there.
    """
    found: dict[int, list[float]] = {}
    for seed, entry in _judged(board, study, row, student).items():
        right = {name: unpack(entry[name], entry["images"]) for name in ("clean", STANDARD)}
        if metric == "wra":
            found[seed] = [50.0 * (a + b) for a, b in zip(right["clean"], right[STANDARD], strict=True)]
        else:
            found[seed] = [100.0 * each for each in right[metric]]
    return found


def _judged(board: Board, study: str, row: str, student: str) -> dict[int, dict[str, Any]]:
    folders = board["studies"].get(study, {}).get("rows", {}).get(row, {})
    cells = {int(seed): board["cells"].get(folder, {"students": {}}) for seed, folder in folders.items()}
    return {seed: cell["students"][student] for seed, cell in cells.items() if student in cell["students"]}


def difference(board: Board, study: str, row: str, base: str, metric: str, student: str, confidence: float) -> Any:
    """Return `row - base` in points over seeds and images; None without a common seed.

    Raises:
        RecipeError: They were not judged on the same images.
    """
    both = [each for name in (row, base) for each in _judged(board, study, name, student).values()]
    if len({(each["which"], each["images"]) for each in both}) > 1:
        raise RecipeError(f"{study}: {row} and {base} were judged on different images", "evaluate all studies alike")
    pair = [verdicts(board, study, each, metric, student) for each in (row, base)]
    return over_seeds_and_images(pair[0], pair[1], confidence)


def judge(board: Board, claims: ClaimsFile) -> list[dict[str, Any]]:
    """Return for each claim the difference that was found, its interval and its status.

    Raises:
        RecipeError: A claim has a metric, column or radius that there is not.
    """
    found = []
    for claim in claims.claims:
        margin = claims.margin(claim)
        if claim.metric.startswith("ranking:"):
            found.append(_ranked(board, claim, claims))
            continue
        each = _difference(board, claim, claims)
        says = status(each, claim.direction, margin, claims.rule.seeds)
        found.append({"claim": claim.name, "found": each, "margin": margin, "status": says})
    return found


def _difference(board: Board, claim: ClaimTable, claims: ClaimsFile) -> Any:
    rule, student = claims.rule, claim.student or claims.rule.student
    if claim.metric in POINTS and claim.base is not None:
        return difference(board, claim.study, claim.run, claim.base, claim.metric, student, rule.confidence)
    values = _values(board, claim, claim.run, claim.metric, student)
    if claim.base is not None:
        other = _values(board, claim, claim.base, claim.metric, student)
    elif isinstance(claim.less, str):
        other = _values(board, claim, claim.run, claim.less, student)
    else:
        other = {seed: float(claim.less or 0.0) for seed in values}
    return over_seeds(values, other, rule.confidence)


def _values(board: Board, claim: ClaimTable, row: str, metric: str, student: str) -> dict[int, float]:
    if metric in POINTS:
        right = verdicts(board, claim.study, row, metric, student)
        return {seed: statistics.fmean(each) for seed, each in right.items()}
    table, _, column = metric.partition(":")
    if table not in ("landscape", "calibration", "curve"):
        raise RecipeError(f"claim {claim.name}: no metric {metric!r}", nearest(metric, POINTS))
    rows: Sequence[dict[str, Any]] = board["studies"].get(claim.study, {}).get(table, [])
    own = [each for each in rows if each["run"] == row]
    if table == "curve":
        _check_column(claim, metric, {each["term"] for each in own})
        return {each["seed"]: each["value"] for each in own if each["term"] == column}
    at = _at(claim, metric, own)
    _check_column(claim, metric, {name for each in at for name in each} - _NO_COLUMNS)
    # A bound that was not asked for is no number.
    return {each["seed"]: each[column] for each in at if each[column] is not None}


def _check_column(claim: ClaimTable, metric: str, known: Set[str]) -> None:
    """A run that is not there yet has no columns: it is not measured."""
    table, _, column = metric.partition(":")
    if known and column not in known:
        raise RecipeError(
            f"claim {claim.name}: there is no {column!r} in the {table} of its run", nearest(column, known)
        )


def _at(claim: ClaimTable, metric: str, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    """Return the rows of one radius."""
    radii = sorted({each["eps"] for each in rows if "eps" in each})
    if claim.eps is None and len(radii) > 1:
        raise RecipeError(f"claim {claim.name}: {metric} is there at eps {radii}", "say which one: eps = ...")
    if claim.eps is None or not rows:
        return rows
    if not radii:
        raise RecipeError(f"claim {claim.name}: {metric} has no radius", "leave eps out")
    near = min(radii, key=lambda eps: abs(eps - claim.eps))
    if abs(near - claim.eps) >= _SAME:
        raise RecipeError(f"claim {claim.name}: {metric} is not there at eps {claim.eps:g}", f"did you mean {near:g}?")
    return [each for each in rows if each["eps"] == near]


def _ranked(board: Board, claim: ClaimTable, claims: ClaimsFile) -> dict[str, Any]:
    """A rank correlation has its own test: all orders of the families."""
    outcome, margin = claim.metric.partition(":")[2], claims.margin(claim)
    if outcome not in OUTCOMES:
        raise RecipeError(f"claim {claim.name}: a ranking has no outcome {outcome!r}", nearest(outcome, OUTCOMES))
    rows = board["studies"].get(claim.study, {}).get("ranking", [])
    found = next((each for each in rows if each["outcome"] == outcome and each["seeds"] >= claims.rule.seeds), None)
    if found is None or found["families"]["rho"] is None:
        return {"claim": claim.name, "found": None, "margin": margin, "status": status(None, "above", margin, 1)}
    families, interval = found["families"], found["families_interval"]
    about = {"difference": families["rho"], "interval": interval, "p": families["p"], "n": families["teachers"]}
    says = _rank_status(families, interval, claim.direction, margin, claims.rule.confidence)
    return {"claim": claim.name, "found": about, "margin": margin, "status": says}


def _rank_status(
    families: Mapping[str, Any], interval: Sequence[float] | None, direction: str, margin: float, confidence: float
) -> str:
    sign = 1 if direction == "above" else -1
    # An interval says nothing at a higher level than its own.
    ends = interval if interval is not None and confidence <= _INTERVALS else (-1.0, 1.0)
    short = max(sign * end for end in ends) < margin
    # Not `p < 1 - confidence`: 1 - 0.95 is more than 0.05.
    if families["p"] is not None and families["p"] + confidence < 1 and sign * families["rho"] > 0:
        return f"{REPRODUCED}, smaller" if short else REPRODUCED
    return NOT if short else UNDECIDED
