"""Upper bounds of relative calibration and certified agreement."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robustill.certification import Bounder, PairBounder
from robustill.diagnostics.bracket.sandwich import further_rounding


@torch.no_grad()
def bound_pair(
    student: nn.Module, teacher: nn.Module, x: Tensor, y: Tensor, eps: float, method: str, norm: str, temperature: float
) -> dict[str, Tensor]:
    """Return what no image within `eps` of `x` exceeds, `[B]` each.

    `over` and `under`: the student's confidence in `y` less the teacher's, and the other way round. `agreement`: below
    0 both networks give `y` everywhere; see `agreement_slack`.

    Raises:
        ModelError: A network has an operation without known bounds.
    """
    bounders = (Bounder(each, x, eps, method, norm) for each in (student, teacher))
    found = bound_both(PairBounder(*bounders), y, temperature)
    logits = torch.cat([student(x), teacher(x)], 1)
    of_gaps, of_margins = further_rounding(logits / temperature), further_rounding(logits)
    more = {"over": of_gaps, "under": of_gaps, "agreement": of_margins}
    return {name: values + more[name] for name, values in found.items()}


@torch.no_grad()
def bound_both(pair: PairBounder, y: Tensor, temperature: float) -> dict[str, Tensor]:
    """Return what `bound_pair` does, of networks that are bounded already: one teacher may serve many students."""
    x = pair.student.x
    gap = pair.confidence_differences(y, temperature)
    rows = torch.eye(pair.student.classes, dtype=x.dtype, device=x.device)
    rows = rows - rows[y].unsqueeze(1)
    ours, theirs = (each.margins(y).upper.squeeze(1) for each in (pair.student, pair.teacher))
    lower, upper = pair.differences(rows)
    slack = agreement_slack(ours, theirs, lower, upper, y)
    return {"over": gap.upper.squeeze(1), "under": -gap.lower.squeeze(1), "agreement": slack}


def agreement_slack(ours: Tensor, theirs: Tensor, lower: Tensor, upper: Tensor, y: Tensor) -> Tensor:
    """Return a number `[B]` below 0 where student and teacher must give the same class, `y`.

    For every class j the event that one of the networks gives j and the other one y has to be impossible: the margin
    `d_j = z_j - z_y` is negative for both. What bounds one margin also bounds the other through their difference,
    `d^S_j <= d^T_j + (d^S_j - d^T_j)`, so a network that cannot be bounded well alone may be held by the other one.

    That the two go over to another class together cannot be certified so: on the border between two classes of one
    network the other one would need a strict preference for both.

    Args:
        ours: Upper bounds of the student's margins, `[B, C]`.
        theirs: Those of the teacher's.
        lower: Lower bounds of the student's less the teacher's.
        upper: Upper ones.
        y: The class, int64 `[B]`.
    """
    both = torch.stack([torch.minimum(ours, theirs + upper), torch.minimum(theirs, ours - lower)])
    return both.scatter(2, y[None, :, None].expand(2, -1, 1), -torch.inf).amax((0, 2))
