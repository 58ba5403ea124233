"""What an evaluation found: one boolean per example and attack, intervals, and the worst case over all attacks."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from robustill.attacks.threat import Norm
from robustill.errors import InputError
from robustill.evaluation.breakdown import Curve, class_table
from robustill.evaluation.checks import Check
from robustill.evaluation.interval import clopper_pearson
from robustill.terminal import printable

# The one ensemble whose robust accuracy may be called AutoAttack's.
_STANDARD = "autoattack"


@dataclass(frozen=True)
class Evaluation:
    """Verdicts of every attack on every example, and the numbers that follow from them.

    Args:
        verdicts: For `"clean"` and each attack, where the prediction stays right, bool `[n]`. An example wrong
            without a perturbation is wrong under every attack, since x itself is in the ball.
        eps: Radius in pixel units.
        norm: `"Linf"` or `"L2"`.
        about: What was evaluated: data set, split, digests, seed.
        seconds: Time spent on each attack, and on each stage of an ensemble.
        stages: For an ensemble such as AutoAttack, where the prediction stays right after each of its stages.
        labels: True classes, int64 `[n]`; None: no numbers per class.
        class_names: One per class.
        curve: The worst case over a grid of radii; None: not asked for.
        checks: Whether these numbers can be believed.

    >>> import torch
    >>> right = {"clean": torch.tensor([True] * 4), "pgd20": torch.tensor([True, True, False, True])}
    >>> found = Evaluation(right, eps=8 / 255, norm="Linf")
    >>> found.accuracy("clean"), found.accuracy(), found.wra()
    (1.0, 0.75, 0.875)
    """

    verdicts: dict[str, Tensor]
    eps: float
    norm: Norm
    about: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    stages: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    labels: Tensor | None = None
    class_names: tuple[str, ...] = ()
    curve: Curve | None = None
    checks: tuple[Check, ...] = ()

    @property
    def robust(self) -> Tensor:
        """Where the prediction stays right under all attacks, bool `[n]`."""
        return torch.stack(list(self.verdicts.values())).all(0)

    def accuracy(self, name: str = "robust") -> float:
        """Return the share of right examples: `"clean"`, an attack's name, or `"robust"` for the worst case."""
        return float(self._of(name).double().mean())

    def interval(self, name: str = "robust", confidence: float = 0.95) -> tuple[float, float]:
        """Return the Clopper-Pearson interval of `accuracy(name)`: exact for any sample size."""
        return clopper_pearson(self._of(name), confidence)

    def wra(self, name: str = "robust") -> float:
        """Return the weighted robust accuracy, the mean of clean accuracy and `accuracy(name)` (MTARD's metric)."""
        return (self.accuracy("clean") + self.accuracy(name)) / 2

    def worst_class(self, name: str = "robust") -> tuple[str, float]:
        """Return the class that is right least often, and how often.

        Raises:
            InputError: The labels are not known.
        """
        if self.labels is None:
            raise InputError("the labels are not known", "Evaluation(..., labels=...)")
        table = class_table({name: self._of(name)}, self.labels, self.class_names)
        return min(((row["name"], row[name]["accuracy"]) for row in table), key=lambda row: row[1])

    def to_json(self) -> dict[str, Any]:
        """Return what `evaluation.json` holds."""
        attacks = {name: self._entry(name) for name in self.verdicts if name != "clean"}
        for name, entry in attacks.items():
            entry["wra"] = self.wra(name)
            if name in self.stages:
                entry["standard"] = name == _STANDARD
                entry["stages"] = {
                    stage: {"accuracy": float(right.double().mean()), "seconds": self._seconds(f"{name}/{stage}")}
                    for stage, right in self.stages[name].items()
                }
        return {
            "schema": 1,
            "images": len(self.robust),
            "threat": {"norm": self.norm, "eps": self.eps},
            "clean": self._entry("clean"),
            "attacks": attacks,
            "robust": {**self._entry("robust"), "wra": self.wra()},
            **self._optional(),
            "seconds": round(sum(self.seconds.values()), 3),
            **self.about,
            "versions": _versions(),
        }

    def _optional(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.labels is not None:
            name, accuracy = self.worst_class()
            both = {"clean": self.verdicts["clean"], "robust": self.robust}
            found["classes"] = class_table(both, self.labels, self.class_names)
            found["worst_class"] = {"name": name, "robust": accuracy}
        if self.curve is not None:
            found["curve"] = self.curve.to_json()
        if self.checks:
            found["checks"] = {check.name: check.to_json() for check in self.checks}
        return found

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return table rows (what, accuracy, 95% interval, WRA) as text in percent."""
        found = []
        for name in self.verdicts:
            for stage, right in self.stages.get(name, {}).items():
                found.append((f"  after {stage}", f"{100 * float(right.double().mean()):.2f}", "", ""))
            found.append(self._row(name))
        return [*found, *([self._row("robust")] if len(self.verdicts) > 2 else [])]

    def __repr__(self) -> str:
        names = [*self.verdicts, *(["robust"] if len(self.verdicts) > 2 else [])]
        told = {name: f"{100 * self.accuracy(name):.2f} %" for name in names}
        said = ", ".join(
            f"{'worst case' if name == 'robust' else printable(name)} {each}" for name, each in told.items()
        )
        return f"Evaluation({len(self.robust)} images, {self.norm} eps {self.eps:.4g}: {said})"

    def _repr_html_(self) -> str:
        from robustill.notebook import bars, html, table

        images, names = len(self.robust), [*self.verdicts, *(["robust"] if len(self.verdicts) > 2 else [])]
        threat = f"{images:,} images, {self.norm} eps {self.eps:.4g}"
        drawn = [
            ("worst case" if name == "robust" else name, self.accuracy(name), self.interval(name)) for name in names
        ]
        fired = [(check.name, check.says) for check in self.checks if check.fired]
        return html(
            bars(f"Accuracy on {threat}", drawn, "right predictions, %"),
            table(f"Accuracy in % on {threat}", ("", "accuracy", "95% interval", "WRA"), self.rows()),
            *([table("The attacks may have been fooled", ("check", "finding"), fired)] if fired else []),
        )

    def _seconds(self, stage: str) -> float:
        return round(self.seconds.get(stage, 0.0), 3)

    def _row(self, name: str) -> tuple[str, str, str, str]:
        low, high = self.interval(name)
        label = "worst case" if name == "robust" else name
        if name in self.stages and name != _STANDARD:
            label += " (not the standard)"
        wra = "" if name == "clean" else f"{100 * self.wra(name):.2f}"
        return label, f"{100 * self.accuracy(name):.2f}", f"{100 * low:.1f} to {100 * high:.1f}", wra

    def _entry(self, name: str) -> dict[str, Any]:
        return {"accuracy": self.accuracy(name), "interval": list(self.interval(name))}

    def _of(self, name: str) -> Tensor:
        if name != "robust" and name not in self.verdicts:
            raise InputError(f"no verdicts for {name!r}", f"there are: {', '.join(self.verdicts)}, robust")
        return self.robust if name == "robust" else self.verdicts[name]


def _versions() -> dict[str, str]:
    from robustill import __version__

    return {"robustill": __version__, "torch": torch.__version__, "python": platform.python_version()}
