"""What an export wrote and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robustill.evaluation import Check, Evaluation
from robustill.export.measurement import NETWORK, SQUARE, TRANSFER
from robustill.export.parity import Parity


@dataclass(frozen=True)
class Written:
    """A file of an export.

    Attributes:
        file: Its name in the folder.
        sha256: Of its bytes, 64 hexadecimal digits.
        bytes: Its size.
        parity: How its logits differ from the network's; None for a file that computes nothing.
        details: How it was made.
    """

    file: str
    sha256: str
    bytes: int
    parity: Parity | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the part of `export.json`."""
        parity = {} if self.parity is None else {"parity": self.parity.to_json()}
        return {"file": self.file, "sha256": self.sha256, "bytes": self.bytes, **parity, **self.details}


@dataclass(frozen=True)
class Exported:
    """Files of an export, and what was measured on them.

    Attributes:
        name: What the model is called.
        files: By format, and the card under `"card"`.
        model: Architecture, classes, shape and digest of the network.
        evaluations: Of the network, under `"network"`, and of the files, by format; empty: nothing was measured.
        checks: Of each file that was measured.
        measured: Data, split and sizes of the measurement.
        versions: Of everything that had a part in it.
        notes: What else is to be said.
        seconds: Time in all.
    """

    name: str
    files: Mapping[str, Written]
    model: Mapping[str, Any]
    evaluations: Mapping[str, Evaluation]
    checks: Mapping[str, tuple[Check, ...]]
    measured: Mapping[str, Any]
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that a reader must know, the gravest first."""
        fired = [f"{name}: {check.says}" for name, own in self.checks.items() for check in own if check.fired]
        return (*fired, *self.notes)

    def to_json(self) -> dict[str, Any]:
        """Return what `export.json` holds."""
        robustness: dict[str, Any] | None = None
        if self.evaluations:
            robustness = {**self.measured, "networks": {name: self._measured(name) for name in self.evaluations}}
        return {
            "schema": 1,
            "name": self.name,
            "model": dict(self.model),
            "files": {name: each.to_json() for name, each in self.files.items()},
            "robustness": robustness,
            "warnings": list(self.warnings),
            "seconds": round(self.seconds, 3),
            "versions": dict(self.versions),
        }

    def rows(self) -> list[list[str]]:
        """Return a row per attack as text: its name, and accuracies in percent with 95% intervals, of each network."""
        own = [*self.evaluations[NETWORK].verdicts, "robust"] if self.evaluations else []
        return [[_label(name), *(_cell(each, name) for each in self.evaluations.values())] for name in own]

    def _measured(self, name: str) -> dict[str, Any]:
        found = self.evaluations[name].to_json()
        kept = {key: found[key] for key in ("clean", "attacks", "robust", "seconds")}
        if name in self.checks:
            kept["checks"] = {check.name: check.to_json() for check in self.checks[name]}
        return kept


def _label(name: str) -> str:
    if name in ("clean", "robust", SQUARE):
        return {"robust": "worst case"}.get(name, name)
    return f"{name}, made on the network"


def _cell(evaluation: Evaluation, name: str) -> str:
    own = name if name in (*evaluation.verdicts, "robust") else TRANSFER + name
    low, high = evaluation.interval(own)
    return f"{100 * evaluation.accuracy(own):.2f} ({100 * low:.1f} to {100 * high:.1f})"
