"""`PairBounder`: two networks that see the same image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robustill.certification.bounder import Bounder
from robustill.certification.check import check_classes, check_rows, check_temperature
from robustill.certification.curves import least_gap
from robustill.certification.forms import Forms
from robustill.certification.interval import Interval, at_least, intersect, two_sided
from robustill.certification.pairs import Pairs
from robustill.certification.softmax import joint_gap, log_odds
from robustill.errors import InputError, ModelError


class PairBounder:
    """Bounds of what a student and a teacher do at the same image, which is tighter than bounding each alone.

    Args:
        student: A `Bounder`.
        teacher: Another, on the same images, with the same radius, norm and clipping.

    Raises:
        InputError: They speak of different regions or numbers of classes.

    >>> import torch
    >>> from torch import nn
    >>> _ = torch.manual_seed(0)
    >>> student, teacher = nn.Linear(2, 2).eval(), nn.Linear(2, 2).eval()
    >>> x = torch.tensor([[0.5, 0.5]])
    >>> from robustill.certification import Bounder
    >>> pair = PairBounder(Bounder(student, x, eps=0.1), Bounder(teacher, x, eps=0.1))
    >>> found, gap = pair.differences(), student(x) - teacher(x)
    >>> bool((found.lower <= gap).all() and (gap <= found.upper).all())
    True
    """

    def __init__(self, student: Bounder, teacher: Bounder) -> None:
        same = student.x is teacher.x or torch.equal(student.x, teacher.x)
        settings = [(each.eps, each.norm, each.clip, each.classes) for each in (student, teacher)]
        if not same or settings[0] != settings[1]:
            raise InputError("the two networks must be bounded on the same images, radius, norm and classes")
        self.student, self.teacher, self.region = student, teacher, student.region

    def differences(self, rows: Tensor | None = None) -> Interval:
        """Return bounds of `rows @ (student logits - teacher logits)`, `[B, S]`.

        Args:
            rows: `[S, C]` or `[B, S, C]`; None: the differences of the logits themselves.

        Raises:
            InputError: Rows of another shape.
            ModelError: A network ends with a softmax, so that it returns no logits.
        """
        for each in (self.student, self.teacher):
            if each.graph.head is not None:
                hint = "ask for confidence differences, or remove it"
                raise ModelError(f"a network ends with a {each.graph.head} instead of logits", hint)
        rows = check_rows(rows, len(self.student.x), self.student.classes, self.student.x)
        return self._boxes(rows)[2]

    def confidence_differences(
        self, classes: Tensor | Sequence[int] | None = None, temperature: float = 1.0
    ) -> Interval:
        """Return bounds of the student's confidence less the teacher's, `[B, C]`, or `[B, 1]` of one class per image.

        Args:
            classes: One class per image, `[B]`; None: all.
            temperature: What the logits of both are divided by before the softmax.

        Raises:
            InputError: Classes or temperature outside their range.
        """
        temperature = check_temperature(temperature)
        student, teacher = self.student, self.teacher
        chosen = check_classes(classes, len(student.x), student.classes, student.x)
        pairs = Pairs(chosen, student.classes, student.x)
        *margins, shifts = (pairs.table(box) for box in self._boxes(pairs.rows))
        ours, theirs = (
            each.softmax(pairs, box, temperature) for each, box in zip((student, teacher), margins, strict=True)
        )
        # The log odds of the class move together with all its margins.
        moves = Interval(*(end.masked_fill(pairs.target > 0, torch.nan) for end in shifts))
        shift = Interval(-moves.upper.nan_to_num(-torch.inf).amax(2), -moves.lower.nan_to_num(torch.inf).amin(2))
        found = intersect(
            Interval(ours.box.lower - theirs.box.upper, ours.box.upper - theirs.box.lower),
            joint_gap(log_odds(theirs.d, pairs.target), Interval(*(end / temperature for end in shift))),
        )
        if student.method == teacher.method == "ibp":
            # Intervals know nothing that the two have in common.
            return found.known(-1.0, 1.0)
        direct = Interval(
            least_gap(ours.below, theirs.above, self.region), -least_gap(theirs.below, ours.above, self.region)
        )
        return intersect(found, direct).known(-1.0, 1.0)

    def _boxes(self, rows: Tensor) -> tuple[Interval, Interval, Interval]:
        """Return bounds of rows on the student, on the teacher, and on the difference of their logits."""
        found: list[tuple[Interval, ...]] = []
        for part in self.student.parts(rows, copies=6):
            ours, theirs = (each.ask(torch.cat([part, -part], 1)) for each in (self.student, self.teacher))
            half = part.shape[1]
            # Student less teacher: the teacher's forms of the negated rows.
            a, b, lower = (torch.cat([end[:, half:], end[:, :half]], 1) for end in theirs)
            apart = ours.lower + lower
            joint = self.region.lower(Forms(ours.a + a)) + ours.b + b
            found.append(
                (ours.interval(), theirs.interval(), two_sided(torch.maximum(at_least(apart), at_least(joint))))
            )
        boxes = [
            Interval(*(torch.cat(ends, 1) for ends in zip(*each, strict=True))) for each in zip(*found, strict=True)
        ]
        return boxes[0], boxes[1], boxes[2]
