"""What a trained cell is asked: its students under attack, and beside their teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robustill.recipe import Recipe
from robustill.study.address import digest
from robustill.study.landscapes import looked_at

BEST, LAST = "best", "last"


def measured(recipe: Recipe, folder: Path, measures: dict[str, Any], cpus: int) -> dict[str, Any]:
    """Evaluate the students of a run folder, and calibrate the selected one; what is there already is taken over.

    Args:
        recipe: The folder's.
        folder: Holds `student.safetensors` and `student_last.safetensors`.
        measures: Resolved tables `evaluate` and `calibrate` of a study.
        cpus: Threads, or processes for AutoAttack.

    Returns:
        `rows`, one for each student and attack; `calibration`, one for each radius; `landscape`, if that was asked for;
        `versions`; and `seconds`.
    """
    asked = measures["evaluate"]
    found = _evaluated(folder, asked, cpus, last=False)
    rows, seconds = _rows(found, BEST), {"evaluate": found["seconds"]}
    if asked["last"]:
        if not _same(folder):
            found = _evaluated(folder, asked, cpus, last=True)
            seconds["evaluate"] += found["seconds"]
        rows += _rows(found, LAST)
    calibration = []
    if measures["calibrate"] is not None:
        pair = _calibrated(recipe, folder, measures["calibrate"], asked["norm"])
        calibration, seconds["calibrate"] = _radii(pair), pair["seconds"]
    about = {"rows": rows, "calibration": calibration, "seconds": seconds, "versions": found["versions"]}
    if "landscape" in measures:
        about["landscape"] = looked_at(recipe, folder, measures["landscape"], asked)
        seconds["landscape"] = about["landscape"]["seconds"]
    return about


def _evaluated(folder: Path, asked: dict[str, Any], cpus: int, *, last: bool) -> dict[str, Any]:
    from robustill.runs import evaluate_target

    shared = cpus if "autoattack" in asked["attacks"] and not _on_gpu() else 1
    found = evaluate_target(
        str(folder), attacks=",".join(asked["attacks"]), eps=asked["eps"], norm=asked["norm"], split=asked["split"],
        images=asked.get("images"), checks=asked["checks"], precision=asked["precision"], seed=asked["seed"],
        processes=shared, last=last, out=folder / LAST if last else folder,
    )  # fmt: skip
    return found.to_json()


def _rows(found: dict[str, Any], student: str) -> list[dict[str, Any]]:
    fired = ", ".join(name for name, check in found.get("checks", {}).items() if check["fired"])
    entries = {"clean": found["clean"], **found["attacks"], "robust": found["robust"]}
    return [
        {
            "student": student,
            "attack": attack,
            "images": found["images"],
            "accuracy": entry["accuracy"],
            "low": entry["interval"][0],
            "high": entry["interval"][1],
            "wra": entry.get("wra"),
            "suspicious": fired,
        }
        for attack, entry in entries.items()
    ]


def _same(folder: Path) -> bool:
    """Return whether the selected student is the last one, so that one evaluation is enough."""
    return (folder / "student.safetensors").read_bytes() == (folder / "student_last.safetensors").read_bytes()


def _calibrated(recipe: Recipe, folder: Path, asked: dict[str, Any], norm: str) -> dict[str, Any]:
    from robustill.diagnostics.bracket import calibrate
    from robustill.models import load_model
    from robustill.recipe.networks import teacher_networks
    from robustill.training.device import cpu_threads, find_device

    place, data = find_device(recipe.training.device), recipe.data_set()
    teacher = teacher_networks(recipe.teachers[asked["teacher"]], data)
    with cpu_threads(recipe.training.threads):
        found = calibrate(
            load_model(folder).to(place), teacher.to(place), data, asked["eps"], norm=norm,  # type: ignore[arg-type]
            bounds=asked["bounds"], points=asked["points"], images=asked.get("images"), steps=asked["steps"],
            restarts=asked["restarts"], seed=asked["seed"], device=str(place),
            # Results under other settings stay beside these.
            out=folder / f"calibration-{digest(asked if norm == 'Linf' else {**asked, 'norm': norm})[:8]}",
        )  # fmt: skip
    return found.to_json()


def _radii(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "eps": each["eps"],
            "calibration_found": each["calibration"]["lower"]["mean"],
            "calibration_certified": each["calibration"]["upper"]["mean"],
            "overconfidence_found": each["over"]["lower"]["mean"],
            "overconfidence_certified": each["over"]["upper"]["mean"],
            "agreement_certified": each["agreement"]["certified"]["share"],
            "agreement_found": each["agreement"]["found"]["share"],
            "points": found["points"]["count"],
        }
        for each in found["radii"]
    ]


def _on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
