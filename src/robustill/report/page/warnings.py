"""What a reader must know before believing the numbers of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robustill.report.page.folder import Run, reading
from robustill.report.page.numbers import count, percent, radius

_WIDE, _FEW_OF_CLASS, _UNEVEN = 0.05, 30, 3.0


def warnings(run: Run) -> list[str]:
    """Return sentences, the gravest first.

    Raises:
        CheckpointError: A file has another form than robustill writes.
    """
    found: list[str] = []
    if run.is_run:
        with reading(run, "metrics"):
            found += _of_training(run)
        with reading(run, "evaluation"):
            found += _of_evaluation(run)
        with reading(run, "certification"):
            found += _of_certification(run)
        with reading(run, "calibration"):
            found += _of_calibration(run)
        with reading(run, "gallery"):
            found += _of_weights(run)
    with reading(run, "teachers"):
        found += _of_teachers(run)
    return [*found, *run.notes]


def finished(run: Run) -> tuple[int, int] | None:
    """Return the epochs that were trained and those that were to be; None where nothing says so."""
    epochs = run.setting("training", "epochs") or run.planned
    return None if not isinstance(epochs, int) else (len({line["epoch"] for line in run.epochs}), epochs)


def _of_training(run: Run) -> Iterator[str]:
    done = finished(run)
    if done is not None and done[0] < done[1]:
        how = f"robustill train {run.folder} --resume" if run.recipe else "resume=True"
        yield f"The run is not finished: {done[0]} of {done[1]} epochs. Go on with: {how}"
    chosen = selected(run)
    if run.epochs and chosen is None:
        yield "No validation split was held out, so nothing was selected: the student is that of the last epoch."
    if chosen is not None and chosen[1] == "clean" and run.setting("method", "name") != "standard":
        yield "The student was selected on clean accuracy, not on robust accuracy: another epoch may be more robust."


def selected(run: Run) -> tuple[dict[str, Any], str] | None:
    """Return the line of the epoch whose student was kept, and the score that chose it; None: nothing was judged."""
    judged = [line for line in run.epochs if "validation" in line]
    if not judged:
        return None
    best = {
        kind: max(judged, key=lambda line: line["validation"][kind])
        for kind in ("robust", "clean", "wra")
        if all(kind in line["validation"] for line in judged)
    }
    asked = run.setting("training", "selection", "metric")
    # "auto" depends on the method; the epoch that was kept tells which score it was.
    fitting = [kind for kind, line in best.items() if line["epoch"] == run.selected]
    kind = asked if asked in best else (fitting or list(best))[0]
    kept = [line for line in judged if line["epoch"] == run.selected]
    return (kept[0] if kept else best[kind]), kind


def _of_evaluation(run: Run) -> Iterator[str]:
    evaluation = run.content("evaluation")
    if evaluation is None:
        yield f"The student has not been attacked: no evaluation.json. Get it with: robustill evaluate {run.folder}"
        return
    yield from _checks(evaluation)
    yield from _of_threat(run, evaluation)
    images, (low, high) = evaluation["images"], evaluation["robust"]["interval"]
    if high - low > _WIDE:
        yield (
            f"Small sample: on {count(images)} images the robust accuracy is only known to lie between {percent(low)} "
            f"and {percent(high)}. Evaluate on more images."
        )
    yield from _oddities(run, evaluation)


def _checks(evaluation: dict[str, Any]) -> Iterator[str]:
    checks = evaluation.get("checks")
    attacks = evaluation["attacks"]
    if attacks and not checks:
        yield "Nobody looked for masked gradients: evaluated without checks, or by an early version."
    fired = [check for check in (checks or {}).values() if check["fired"]]
    # The conclusion of the other checks comes first.
    for check in sorted(fired, key=lambda each: each["name"] != "upper-bound-only"):
        yield f"Check {check['name']} fired. {check['says']}"
    if not attacks:
        yield "No attack was run, so there is no robust accuracy."
    elif "autoattack" not in attacks:
        yield (
            f"Only an upper bound: {', '.join(attacks)} ran, and not AutoAttack, the standard. A stronger attack finds "
            "more. Get the standard number with: robustill evaluate RUN --attacks autoattack"
        )


def _of_threat(run: Run, evaluation: dict[str, Any]) -> Iterator[str]:
    eps, trained = evaluation["threat"]["eps"], run.setting("attack", "eps")
    if isinstance(trained, float) and not math.isclose(eps, trained, rel_tol=1e-6):
        yield f"Trained against eps {radius(trained)}, but attacked with eps {radius(eps)}."
    data, own = evaluation.get("data"), run.setting("data", "name")
    # The evaluation calls files and folders by their names.
    if data is not None and own is not None and data not in (own, Path(str(own)).name, Path(str(own)).stem):
        yield f"Trained on {own}, but evaluated on {data}."
    split = evaluation.get("split", "test")
    if split != "test":
        how = "the epoch was chosen on" if split == "validation" else "the student learned"
        yield f"These are numbers on {split} images, which {how}, and not on test images."


def _oddities(run: Run, evaluation: dict[str, Any]) -> Iterator[str]:
    classes = evaluation.get("classes", [])
    sizes = [each["images"] for each in classes]
    few = [each["name"] for each in classes if each["images"] < _FEW_OF_CLASS]
    if few:
        shown = ", ".join(few[:5]) + (" ..." if len(few) > 5 else "")
        yield f"Fewer than {_FEW_OF_CLASS} images of {len(few)} classes ({shown}): numbers per class are rough."
    if sizes and max(sizes) > _UNEVEN * min(sizes):
        yield f"The classes of the test set are uneven: from {count(min(sizes))} to {count(max(sizes))} images."
    yield from _of_chance(classes, evaluation["clean"]["accuracy"])
    points = evaluation.get("curve", {}).get("points", [])
    if points and evaluation["threat"]["norm"] == "Linf" and points[-1]["eps"] >= 0.5 and points[-1]["accuracy"] > 0:
        yield (
            f"At eps {radius(points[-1]['eps'])} any image can be made grey, yet {percent(points[-1]['accuracy'])} are "
            "still right: the attacks do not come to their end."
        )


def _of_chance(classes: list[dict[str, Any]], clean: float) -> Iterator[str]:
    """Compare with the best that can be done without looking: always naming the largest class."""
    if not classes:
        return
    sizes = [each["images"] for each in classes]
    chance = max(sizes) / max(sum(sizes), 1)
    if clean < chance + min(chance, 1 - chance) / 2:
        even = max(sizes) == min(sizes)
        what = (
            f"guessing among {len(classes)} classes" if even else f"always naming the largest class ({percent(chance)})"
        )
        yield f"Right on {percent(clean)} without an attack: hardly better than {what}."
    known = [each["name"] for each in classes if each["images"] and each["clean"]["accuracy"] > 0]
    if len(classes) > 1 and len(known) == 1:
        yield f"Right on images of one class only ({known[0]}): the student may name it whatever it sees."


def _of_certification(run: Run) -> Iterator[str]:
    found, evaluation = run.content("certification"), run.content("evaluation")
    if found is None:
        return
    if found["small_sample"]:
        yield f"Small sample: certified on {found['images']} images only."
    for each in found["radii"]:
        if each["certified"] and each["attacked"] and each["certified"]["accuracy"] > each["attacked"]["accuracy"]:
            yield f"At eps {each['eps']:g} more images are certified than stand up to an attack: one of them is wrong."
    if evaluation is not None and _differ(found, evaluation, "model_digest"):
        yield "certification.json and evaluation.json are of different weights. Run robustill certify again."


def _of_calibration(run: Run) -> Iterator[str]:
    found, evaluation = run.content("calibration"), run.content("evaluation")
    if found is None:
        return
    if found["points"]["small_sample"]:
        yield f"Small sample: calibrated on {found['points']['count']} images only."
    if evaluation is not None and found.get("student_digest") not in (None, evaluation.get("model_digest")):
        yield "calibration.json and evaluation.json are of different weights. Run robustill calibrate again."


def _of_weights(run: Run) -> Iterator[str]:
    found, evaluation = run.content("gallery"), run.content("evaluation")
    if found is not None and evaluation is not None and _differ(found, evaluation, "model_digest"):
        yield "evaluation.json is of other weights than student.safetensors. Run robustill evaluate again."


def _of_teachers(run: Run) -> Iterator[str]:
    found = run.content("teachers")
    if found is not None and found["references"] < 2:
        yield "Teachers were ranked on the unlearnable set of one reference: it depends much on that one."


def _differ(one: dict[str, Any], other: dict[str, Any], key: str) -> bool:
    return key in one and key in other and one[key] != other[key]
