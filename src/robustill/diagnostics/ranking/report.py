"""Teachers' scores on each surface, and the order that follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from robustill.diagnostics.ranking.gates import Gates
from robustill.diagnostics.ranking.scores import Score
from robustill.errors import InputError, nearest
from robustill.terminal import printable

CRITERIA = {"unlearnable_entropy": "unlearnable", "contrast": "contrast"}
"""Criteria by name, with the group of images whose mean entropy they are."""


@dataclass(frozen=True)
class TeacherReport:
    """What was measured of one teacher.

    Args:
        name: What to call it.
        digest: Its `model_digest`.
        surfaces: For each surface and column the scores by group of images; entropies in nats.
        margins: For each surface the median logit margin of the label on the unlearnable images, over temperature.
        robust_accuracy: On the learnable images, attacked itself.
        dropped: Why it is not ranked; empty: it is.
        baselines: What else one might rank teachers by, larger first.
        classes: Number of classes.

    >>> from robustill.diagnostics.ranking.scores import Score
    >>> score = Score(1.5, 1.25, 1.75)
    >>> surfaces = {"clean": {"entropy": {"unlearnable": score}}}
    >>> report = TeacherReport("wide", "", surfaces, {"clean": None}, Score(0.5, 0.25, 0.75), (), {}, classes=10)
    >>> report.score("unlearnable_entropy", "clean").mean
    1.5
    """

    name: str
    digest: str
    surfaces: Mapping[str, Mapping[str, Mapping[str, Score]]]
    margins: Mapping[str, float | None]
    robust_accuracy: Score
    dropped: tuple[str, ...]
    baselines: Mapping[str, float | None]
    classes: int

    def score(self, criterion: str, surface: str) -> Score:
        """Return the score that a criterion ranks by.

        Raises:
            InputError: No such criterion or surface.
        """
        if criterion not in CRITERIA:
            raise InputError(f"there is no criterion {criterion!r}", nearest(criterion, CRITERIA))
        if surface not in self.surfaces:
            raise InputError(f"there is no surface {surface!r}", nearest(surface, self.surfaces))
        return self.surfaces[surface]["entropy"][CRITERIA[criterion]]

    def to_json(self) -> dict[str, Any]:
        """Return plain containers."""
        surfaces = {}
        for name, table in self.surfaces.items():
            entries: dict[str, Any] = {
                column: {group: s.to_json(self.classes if column == "entropy" else None) for group, s in groups.items()}
                for column, groups in table.items()
            }
            surfaces[name] = entries | {"margin": {"unlearnable": self.margins[name]}}
        return {
            "name": self.name,
            "digest": self.digest,
            "classes": self.classes,
            "dropped": list(self.dropped),
            "robust_accuracy_learnable": self.robust_accuracy.to_json(),
            "surfaces": surfaces,
            "baselines": dict(self.baselines),
        }


@dataclass(frozen=True)
class Ranking:
    """Teachers in the order in which they promise to help.

    Args:
        reports: One per teacher, in the order given.
        criterion: What ranks, a key of `CRITERIA`.
        surface: The images on which it is measured.
        temperature: Of the distillation.
        gates: What teachers had to meet.
        about: The set, the threat, the student.

    >>> from robustill.diagnostics.ranking.scores import Score
    >>> def teacher(name, entropy):
    ...     score = Score(entropy, entropy - 0.25, entropy + 0.25)
    ...     surfaces = {"clean": {"entropy": {"unlearnable": score}}}
    ...     return TeacherReport(name, "", surfaces, {"clean": None}, Score(0.5, 0.25, 0.75), (), {}, classes=10)
    >>> ranking = Ranking((teacher("sure", 0.5), teacher("unsure", 2.0)), "unlearnable_entropy", "clean", 1.0, Gates())
    >>> ranking.ranks()
    {'sure': 2, 'unsure': 1}
    """

    reports: tuple[TeacherReport, ...]
    criterion: str
    surface: str
    temperature: float
    gates: Gates
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def ranked(self) -> tuple[TeacherReport, ...]:
        """The teachers that passed the gates, best first; tied ones by their robust accuracy on the learnable."""
        return self.order()

    @property
    def dropped(self) -> tuple[TeacherReport, ...]:
        """The teachers that failed a gate."""
        return tuple(each for each in self.reports if each.dropped)

    def ranks(self, criterion: str | None = None, surface: str | None = None) -> dict[str, int]:
        """Return for each ranked teacher 1 + the number of those whose interval lies wholly above its own.

        Teachers whose intervals overlap are tied, even where chains of them do not all share one rank.
        """
        scores = {each.name: self._score(each, criterion, surface) for each in self._passed()}
        return {name: 1 + sum(other.above(own) for other in scores.values()) for name, own in scores.items()}

    def order(self, criterion: str | None = None, surface: str | None = None) -> tuple[TeacherReport, ...]:
        """Return the ranked teachers by rank, then robust accuracy on the learnable, under a criterion and surface."""
        ranks = self.ranks(criterion, surface)
        return tuple(sorted(self._passed(), key=lambda each: (ranks[each.name], -(each.robust_accuracy.mean or 0.0))))

    def tied(self, name: str) -> tuple[str, ...]:
        """Return the ranked teachers whose interval overlaps that of `name`."""
        scores = {each.name: self._score(each, None, None) for each in self._passed()}
        if name not in scores:
            return ()
        own = scores.pop(name)
        return tuple(n for n, other in scores.items() if not (own.above(other) or other.above(own)))

    def scores(self, criterion: str | None = None, surface: str | None = None) -> dict[str, float | None]:
        """Return the score of each teacher for `validate_ranking`; None for one that failed a gate."""
        return {
            each.name: None if each.dropped else self._score(each, criterion, surface).mean for each in self.reports
        }

    def baselines(self) -> dict[str, dict[str, float | None]]:
        """Return what else one might rank by, `{baseline: {teacher: score}}`, of all teachers."""
        names = self.reports[0].baselines
        return {name: {each.name: each.baselines[name] for each in self.reports} for name in names}

    def disagreements(self) -> list[dict[str, str]]:
        """Return pairs of teachers that two surfaces rank in opposite ways, both beyond their intervals."""
        found = []
        surfaces = list(self.reports[0].surfaces)
        for (a, b), (one, two) in (
            (pair, both) for pair in combinations(self._passed(), 2) for both in combinations(surfaces, 2)
        ):
            here = self._score(a, None, one), self._score(b, None, one)
            there = self._score(a, None, two), self._score(b, None, two)
            for (x, p, q), (y, r, s) in (((a, *here), (b, *there)), ((b, *here[::-1]), (a, *there[::-1]))):
                if p.above(q) and s.above(r):
                    found.append({"surface": one, "prefers": x.name, "other_surface": two, "other_prefers": y.name})
        return found

    def to_json(self) -> dict[str, Any]:
        """Return what `teachers.json` holds."""
        ranks, surfaces = self.ranks(), list(self.reports[0].surfaces)
        return {
            "schema": 1,
            "criterion": self.criterion,
            "surface": self.surface,
            "temperature": self.temperature,
            "gates": vars(self.gates),
            **self.about,
            "ranking": [{"name": each.name, "rank": ranks[each.name], "tied_with": list(self.tied(each.name))}
                        for each in self.ranked],
            "orders": {s: {c: [each.name for each in self.order(c, s)] for c in CRITERIA} for s in surfaces},
            "disagreements": self.disagreements(),
            "teachers": [each.to_json() for each in self.reports],
        }  # fmt: skip

    def __repr__(self) -> str:
        ranks, scores = self.ranks(), self.scores()
        shown = {name: "-" if score is None else f"{score:.3f}" for name, score in scores.items()}
        ranked = [f"{ranks[each.name]}. {printable(each.name)} {shown[each.name]}" for each in self.ranked]
        dropped = [printable(each.name) for each in self.dropped]
        said = [
            ", ".join(ranked) or "no teacher passed the gates",
            *([f"dropped: {', '.join(dropped)}"] if dropped else []),
        ]
        return f"Ranking({self.criterion} on {self.surface} images: {'; '.join(said)})"

    def _repr_html_(self) -> str:
        from robustill.notebook import html, table

        ranks, rows = self.ranks(), []
        for each in (*self.ranked, *self.dropped):
            score = self._score(each, None, None)
            ends = "-" if score.low is None else f"{score.low:.3f} to {score.high:.3f}"
            mean = "-" if score.mean is None else f"{score.mean:.3f}"
            why = "; ".join(each.dropped) or ", ".join(self.tied(each.name))
            rows.append((each.name, ranks.get(each.name, "dropped"), mean, ends, why))
        title = f"Teachers by {self.criterion.replace('_', ' ')} on {self.surface} images, nats"
        columns = ("teacher", "rank", "score", "95% interval", "tied with, or why dropped")
        return html(table(title, columns, rows))

    def _passed(self) -> tuple[TeacherReport, ...]:
        return tuple(each for each in self.reports if not each.dropped)

    def _score(self, report: TeacherReport, criterion: str | None, surface: str | None) -> Score:
        return report.score(criterion or self.criterion, surface or self.surface)
