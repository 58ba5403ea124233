"""The YAML head of a model card, as the Hugging Face hub reads it."""

from __future__ import annotations

import json
import re
from typing import Any

from robustill.export.measurement import NETWORK
from robustill.export.origin import Origin
from robustill.export.result import Exported
from robustill.report.page.folder import reading
from robustill.terminal import printable

_DATASET = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def head(exported: Exported, origin: Origin) -> str:
    """Return the head between its two lines of dashes; text from files cannot end a value in it.

    Raises:
        CheckpointError: The evaluation of the run has another form than robustill writes.
    """
    tags = ["robustill", "adversarial-robustness", "image-classification"]
    fields: dict[str, Any] = {
        "license": origin.license,
        "library_name": "robustill",
        "pipeline_tag": "image-classification",
        "tags": [*tags, *(["onnx"] if {"onnx", "int8"} & exported.files.keys() else [])],
        "datasets": [origin.dataset] if _is_dataset(origin) else None,
        "metrics": ["accuracy"],
        "model-index": _index(exported, origin),
    }
    # JSON is YAML too, and one in which no text ends a value.
    lines = [f"{key}: {_json(value)}" for key, value in fields.items() if value is not None]
    return "\n".join(["---", *lines, "---", ""])


def _is_dataset(origin: Origin) -> bool:
    return origin.dataset is not None and _DATASET.fullmatch(origin.dataset) is not None


def _json(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(printable(value), ensure_ascii=False)
    if isinstance(value, list):
        return f"[{', '.join(map(_json, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json(key)}: {_json(each)}" for key, each in value.items()) + "}"
    return json.dumps(value)


def _index(exported: Exported, origin: Origin) -> list[dict[str, Any]] | None:
    """Return the results that the hub shows: of the run's evaluation, else of the network in this export."""
    found: dict[str, Any] | None = None
    if origin.run is not None and origin.run.content("evaluation") is not None:
        with reading(origin.run, "evaluation"):
            found = _results(origin.run.content("evaluation") or {})
    elif exported.evaluations:
        found = _results({**exported.measured, **exported.evaluations[NETWORK].to_json()})
    if found is None:
        return None
    dataset = {"name": found["data"], "type": origin.dataset if _is_dataset(origin) else found["data"],
               "split": found["split"]}  # fmt: skip
    task = {"type": "image-classification", "name": "Image classification"}
    return [{"name": exported.name, "results": [{"task": task, "dataset": dataset, "metrics": found["metrics"]}]}]


def _results(evaluation: dict[str, Any]) -> dict[str, Any]:
    threat = evaluation["threat"]
    robust = f"robust accuracy, {threat['norm']} eps {float(threat['eps']):.4g}, {', '.join(evaluation['attacks'])}"
    metrics = [
        {"type": "accuracy", "name": label, "value": round(float(evaluation[kind]["accuracy"]), 6)}
        for kind, label in (("clean", "clean accuracy"), ("robust", robust))
    ]
    return {
        "data": str(evaluation.get("data", "not recorded")),
        "split": str(evaluation.get("split", "test")),
        "metrics": metrics,
    }
