"""What the worst points met so far show, per example."""

from __future__ import annotations

import torch
from torch import Tensor

from robustill.losses import cross_entropy, probabilities


class Witness:
    """One network at the points it was shown: does it stay right, and how sure is it where it is worst?

    Args:
        y: True classes, int64 `[B]`.
        temperature: What the logits are divided by before the softmax.
    """

    def __init__(self, y: Tensor, temperature: float = 1.0) -> None:
        self.y, self.temperature = y, temperature
        self.stands = torch.ones_like(y, dtype=torch.bool)
        self._loss = torch.full(y.shape, -torch.inf, device=y.device)
        self.confidence = torch.zeros(y.shape, device=y.device)
        self.right = torch.zeros_like(self.stands)

    def see(self, logits: Tensor, rows: Tensor) -> None:
        """Note the logits `[R, C]` of the examples `rows` `[R]` at a point of each."""
        y = self.y[rows]
        top, chosen = probabilities(logits, temperature=self.temperature).max(1)
        # A comparison of what is not a number is false, so such logits count as wrong.
        self.stands[rows] &= logits.gather(1, y[:, None]).squeeze(1) >= logits.amax(1)
        loss = cross_entropy(logits / self.temperature, y).float().nan_to_num(torch.inf)
        worse = loss > self._loss[rows]
        for mine, new in ((self._loss, loss), (self.confidence, top.float()), (self.right, chosen == y)):
            mine[rows] = torch.where(worse, new, mine[rows])

    def found(self, name: str) -> dict[str, Tensor]:
        """Return the verdict, and confidence and correctness at the worst point, `[B]` each."""
        return {f"{name}_stands": self.stands, f"{name}_confidence": self.confidence, f"{name}_right": self.right}


class PairWitness:
    """A student and a teacher at the same points: the largest gaps both ways, and whether they gave different classes.

    Args:
        y: Classes whose confidence is compared, int64 `[B]`.
        temperature: What the logits are divided by.
    """

    def __init__(self, y: Tensor, temperature: float) -> None:
        self.y, self.temperature = y, temperature
        self.student, self.teacher = Witness(y, temperature), Witness(y, temperature)
        self.over = torch.full(y.shape, torch.nan, device=y.device)
        self.under = self.over.clone()
        self.apart = torch.zeros_like(y, dtype=torch.bool)

    def see(self, student: Tensor, teacher: Tensor, rows: Tensor) -> None:
        """Note the logits `[R, C]` of both at one point of each of the examples `rows` `[R]`."""
        self.student.see(student, rows)
        self.teacher.see(teacher, rows)
        gap = gaps(student, teacher, self.y[rows], self.temperature).float()
        self.over[rows] = torch.fmax(self.over[rows], gap)
        self.under[rows] = torch.fmax(self.under[rows], -gap)
        self.apart[rows] |= differ(student, teacher)

    def found(self, compared: Tensor) -> dict[str, Tensor]:
        """Return everything `[B]`; where an example is not `compared`, the gaps are not numbers."""
        gap = {"over": self.over, "under": self.under}
        return {
            **{name: torch.where(compared, value, torch.nan) for name, value in gap.items()},
            "apart": self.apart & compared,
            **self.student.found("student"),
            **self.teacher.found("teacher"),
        }


def gaps(student: Tensor, teacher: Tensor, y: Tensor, temperature: float) -> Tensor:
    """Return the student's confidence in `y` less the teacher's, `[B, C], [B, C], [B] -> [B]`."""
    ours, theirs = (probabilities(each, temperature=temperature) for each in (student, teacher))
    return (ours - theirs).gather(1, y[:, None]).squeeze(1)


def differ(student: Tensor, teacher: Tensor) -> Tensor:
    """Return where the two classes differ and neither is tied with the other's, `[B, C], [B, C] -> bool [B]`."""
    ours, theirs = student.argmax(1, keepdim=True), teacher.argmax(1, keepdim=True)
    ahead = student.gather(1, ours) - student.gather(1, theirs), teacher.gather(1, theirs) - teacher.gather(1, ours)
    return ((ahead[0] > 0) & (ahead[1] > 0)).squeeze(1)
