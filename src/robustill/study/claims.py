"""Claims of papers as data: what is compared, and by which rule it counts as reproduced."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from robustill.errors import RecipeError
from robustill.recipe.files import read_toml
from robustill.recipe.mistakes import explain
from robustill.training.settings import Table

REPRODUCED, NOT, UNDECIDED, UNMEASURED = "reproduced", "not reproduced", "undecided at this size", "not measured"
Student = Literal["best", "last"]


class RuleTable(Table):
    """What decides, for all claims."""

    confidence: float = Field(default=0.95, gt=0, lt=1)
    seeds: int = Field(default=3, ge=2, description="with fewer a claim is not measured")
    margin: float = Field(default=0.5, ge=0, description="points that would count, where a paper prints no gain")
    student: Student = "best"


class ClaimTable(Table):
    """One claim: a difference between two rows of a study, or between a row and a number."""

    name: str
    says: str
    source: str
    study: str = Field(description="the study's file, without its ending")
    run: str
    base: str | None = None
    metric: str = Field(description="clean, autoattack, wra, or TABLE:COLUMN of landscape, calibration, curve, ranking")
    less: float | str | None = Field(
        default=None, description="instead of `base`: a number, or another metric of `run`"
    )
    eps: float | None = Field(default=None, description="radius of a calibration")
    direction: Literal["above", "below"] = "above"
    claimed: float | None = Field(default=None, ge=0, description="the gain that the paper prints, in points")
    margin: float | None = Field(default=None, ge=0, description="the least that would count, in the metric's unit")
    unit: str = "points"
    student: Student | None = None


class ClaimsFile(Table):
    """The rule and the claims."""

    rule: RuleTable = RuleTable()
    claims: tuple[ClaimTable, ...]

    def margin(self, claim: ClaimTable) -> float:
        """Return the least that would count: its own, half of the printed gain, or the rule's."""
        if claim.margin is not None:
            return claim.margin
        return self.rule.margin if claim.claimed is None else claim.claimed / 2


def load_claims(path: Path) -> ClaimsFile:
    """Read a file of claims.

    Raises:
        RecipeError: It cannot be read, has an unknown key, a claim's name stands twice, or one in another unit than
            points has no margin.
    """
    tree = read_toml(path)
    try:
        found = ClaimsFile.model_validate(tree)
    except ValidationError as error:
        raise explain(error, ClaimsFile, tree, str(path)) from error
    names = [claim.name for claim in found.claims]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise RecipeError(f"{path}: two claims are called {twice!r}", "give each a name of its own")
    bare = next((claim for claim in found.claims if claim.unit != "points" and claim.margin is None), None)
    if bare is not None:
        # The rule's margin and printed gains are points of accuracy.
        raise RecipeError(f"{path}: claim {bare.name!r} is in {bare.unit} and has no margin", "say which would count")
    return found


def status(found: dict[str, Any] | None, direction: str, margin: float, seeds: int) -> str:
    """Return what a difference and its interval say of a claim.

    Args:
        found: `seeds`, their list, and `interval`; None where nothing was measured.
        direction: Where the claim says that the difference lies: `"above"` or `"below"` zero.
        margin: The least that would count, 0 or more.
        seeds: How many are needed.

    >>> status({"seeds": [0, 1, 2], "interval": [0.2, 1.4]}, "above", 0.5, seeds=3)
    'reproduced'
    >>> status({"seeds": [0, 1, 2], "interval": [-1.0, 0.4]}, "above", 0.5, seeds=3)
    'not reproduced'
    >>> status({"seeds": [0, 1, 2], "interval": [-1.0, 0.4]}, "below", 2.0, seeds=3)
    'not reproduced'
    """
    if found is None or len(found["seeds"]) < seeds or found["interval"] is None:
        return UNMEASURED
    low, high = found["interval"] if direction == "above" else [-end for end in reversed(found["interval"])]
    if low > 0:
        return f"{REPRODUCED}, smaller" if high < margin else REPRODUCED
    return NOT if high < margin else UNDECIDED
