"""What one teacher's answers come to: its scores, what the gates look at, and what else one might rank it by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustill.diagnostics.ranking.bootstrap import weighted_mean
from robustill.diagnostics.ranking.gates import Gates, Measured
from robustill.diagnostics.ranking.groups import Groups
from robustill.diagnostics.ranking.report import TeacherReport
from robustill.diagnostics.ranking.scores import COLUMNS, Score, columns, median_margin, scored
from robustill.diagnostics.ranking.surfaces import Examples
from robustill.models import model_digest


@dataclass(frozen=True)
class Measure:
    """How answers are turned into scores.

    Args:
        asked: The training images the teachers were asked about.
        groups: What these images are.
        test: Test images, for the accuracies; None: no baselines.
        surface: The one that ranks.
        temperature: Of the distillation.
        gates: Their temperature, and what is confident.
        resamples: Bootstrap draws.
        seed: Of the draws.
    """

    asked: Examples
    groups: Groups
    test: Examples | None
    surface: str
    temperature: float
    gates: Gates
    resamples: int
    seed: int

    def report(self, name: str, teacher: nn.Module, logits: Tensor, on_test: Tensor | None) -> TeacherReport:
        """Return a report of `teacher`, not gated yet.

        Args:
            name: What to call it.
            teacher: The network.
            logits: Its answers to `asked`, `[surfaces, n, C]`.
            on_test: Its answers to `test`.
        """
        y, weights = self.groups.labels, self.groups.weights
        surfaces = {each: self._scored(logits[s], self.temperature) for s, each in enumerate(self.asked.surfaces)}
        margins = {
            each: median_margin(logits[s], y, weights["unlearnable"], self.temperature)
            for s, each in enumerate(self.asked.surfaces)
        }
        robust = self._scored(_standing(logits, y), 1.0)["accuracy"]["learnable"]
        baselines: dict[str, float | None] = {}
        if self.test is not None and on_test is not None:
            table = surfaces[self.surface]
            baselines = _accuracies(on_test, self.test.labels) | {
                f"entropy_{group}": table["entropy"][group].mean for group in ("all", "learnable", "matched")
            }
            baselines["nll_unlearnable"] = table["nll"]["unlearnable"].mean
            baselines["parameters"] = float(sum(p.numel() for p in teacher.parameters()))
        digest, classes = model_digest(teacher), logits.shape[2]
        return TeacherReport(name, digest, surfaces, margins, robust, (), baselines, classes)

    def gated(self, logits: Tensor) -> Measured:
        """Return what the gates look at."""
        chosen, weights = logits[self.asked.surfaces.index(self.surface)], self.groups.weights
        values = columns(chosen, self.groups.labels, self.gates.temperature, self.gates.confident)
        learnable, unlearnable = (weighted_mean(values, weights[each]) for each in ("learnable", "unlearnable"))
        standing = _standing(logits, self.groups.labels).argmax(1) == self.groups.labels
        return Measured(
            robust=float(weighted_mean(standing[:, None], weights["learnable"])),
            informative=float(learnable[COLUMNS.index("label_probability")]),
            wrong=float(unlearnable[COLUMNS.index("confident_wrong")]),
        )

    def _scored(self, logits: Tensor, temperature: float) -> dict[str, dict[str, Score]]:
        return scored(
            logits, self.groups.labels, self.groups.weights, temperature=temperature, confident=self.gates.confident,
            resamples=self.resamples, seed=self.seed,
        )  # fmt: skip


def _standing(logits: Tensor, y: Tensor) -> Tensor:
    """Return the answers under the teacher's own attack, or without one where it is wrong already, `[n, C]`."""
    clean, attacked = logits[0], logits[-1]
    return torch.where((clean.argmax(1) == y)[:, None], attacked, clean)


def _accuracies(logits: Tensor, y: Tensor) -> dict[str, float | None]:
    right = {"robust_accuracy": _standing(logits, y), "clean_accuracy": logits[0]}
    return {name: float((each.argmax(1) == y).double().mean()) for name, each in right.items()}
