"""From the results of stages to a `Calibration`."""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.diagnostics.bracket.calibration import Behaviour, Bracket, Calibration, SmoothedGap
from robustill.diagnostics.bracket.kept import Kept
from robustill.diagnostics.bracket.sandwich import ROUNDING, certain_within, check_bracket, check_verdicts, found_within
from robustill.diagnostics.bracket.subject import Subject


def check_pair(kept: Kept, eps: float, bounds: str, at: Tensor, index: Tensor) -> None:
    """Compare what the attack found and what is certified of the examples `at`.

    Raises:
        BracketError: They contradict each other.
    """
    attack, above = f"attack@{eps!r}", f"{bounds}@{eps!r}"
    for side in ("over", "under"):
        what = f"confidence gap ({side})"
        check_bracket(what, eps, kept.get(attack, side)[at], kept.get(above, side)[at], index[at])
    agreed = kept.get(above, "agreement")[at] < -ROUNDING
    check_verdicts("disagreement", eps, kept.get(attack, "apart")[at], agreed, index[at])


def pair_result(
    kept: Kept,
    chosen: Subject,
    radii: tuple[float, ...],
    norm: str,
    bounds: str,
    points: str,
    smoothing: tuple[float, int, float] | None,
) -> Calibration:
    """Return everything that is kept of finished stages; a smaller ball is part of a larger one.

    Raises:
        BracketError: A lower end is above an upper one.
    """

    def stack(kind: str, name: str) -> Tensor:
        return torch.stack([kept.get(f"{kind}@{eps!r}", name) for eps in radii])

    found = {side: found_within(stack("attack", side)) for side in ("over", "under")}
    apart = found_within(stack("attack", "apart"))
    if bounds == "none":
        above = {side: torch.where(lower.isnan(), lower, 1.0) for side, lower in found.items()}
        agreed = torch.zeros_like(apart)
    else:
        above = {side: certain_within(stack(bounds, side)) for side in found}
        agreed = certain_within(stack(bounds, "agreement")) < -ROUNDING
    brackets = {}
    for side, lower in found.items():
        for k, eps in enumerate(radii):
            check_bracket(f"confidence gap ({side})", eps, lower[k], above[side][k], chosen.index)
        # Rounding may have put the ends in the wrong order.
        brackets[side] = Bracket(lower, torch.maximum(lower, above[side]).clamp(max=1.0))
    for k, eps in enumerate(radii):
        check_verdicts("disagreement", eps, apart[k], agreed[k], chosen.index)

    def behaviour(name: str) -> Behaviour:
        right = kept.get("clean", f"{name}_class") == chosen.labels
        rows = {
            "stands": ~found_within(~torch.cat([right[None], stack("attack", f"{name}_stands")])),
            "confidence": torch.cat(
                [kept.get("clean", f"{name}_confidence")[None], stack("attack", f"{name}_confidence")]
            ),
            "right": torch.cat([right[None], stack("attack", f"{name}_right")]),
        }
        return Behaviour(**rows)

    smoothed = None
    if smoothing is not None:
        stage = "smoothing {} {} {}".format(*smoothing)
        smoothed = SmoothedGap(*smoothing, *(kept.get(stage, name) for name in SmoothedGap._fields[3:]))
    return Calibration(
        radii, norm, bounds, points, chosen.labels, kept.get("clean", "student_class"),
        kept.get("clean", "teacher_class"), kept.get("clean", "gap"), brackets["over"], brackets["under"], apart,
        agreed, behaviour("student"), behaviour("teacher"), smoothed,
    )  # fmt: skip
