"""The first sections: the result in plain words, the threat model, and what the student was selected on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robustill.report.page.content import Block, Cell, Points, Table, Words
from robustill.report.page.folder import Run
from robustill.report.page.numbers import count, percent, radius, share_cell, strongest, whole_cell, worst_case
from robustill.report.page.warnings import selected

_NORMS = {
    "Linf": "every pixel and channel may change by up to {} of its range",
    "L2": "the change of all pixels together may have an Euclidean length of up to {} (pixels in [0, 1])",
}


def summary(run: Run) -> list[Block]:
    """Return the result in a few sentences."""
    evaluation = run.content("evaluation")
    if evaluation is None:
        return [Words(_unevaluated(run))]
    right, images = worst_case(evaluation)
    clean = round(evaluation["clean"]["accuracy"] * images)
    split = evaluation.get("split", "test")
    sentences = [f"Of {count(images)} {split} images, {count(clean)} are classified right without an attack."]
    if not evaluation["attacks"]:
        return [Words(" ".join([*sentences, "No attack was run."]))]
    low, high = evaluation["robust"]["interval"]
    several = len(evaluation["attacks"]) > 1
    tried = "the strongest attack tried on each image" if several else f"the attack that was tried, {_only(evaluation)}"
    sentences.append(
        f"{count(right)} ({percent(right / images)}) stay right under {tried}; with 95% confidence the share on all "
        f"such images is between {percent(low)} and {percent(high)}."
    )
    if several:
        name = strongest(evaluation)
        left = evaluation["attacks"][name]["accuracy"]
        sentences.append(f"The strongest single attack is {name}, which leaves {percent(left)}.")
    sentences.append("The attacks are an upper bound: a stronger one may find more.")
    return [Words(" ".join(sentences)), *_more(run, evaluation)]


def _only(evaluation: dict[str, Any]) -> str:
    return str(next(iter(evaluation["attacks"])))


def _more(run: Run, evaluation: dict[str, Any]) -> list[Block]:
    found = []
    worst, certified = evaluation.get("worst_class"), run.content("certification")
    if worst is not None:
        found.append(f"The weakest class is {worst['name']}: {percent(worst['robust'])} stay right under attack.")
    if certified is not None and certified["bounds"] is not None:
        last = max(certified["radii"], key=lambda each: each["eps"])["certified"]
        eps = max(each["eps"] for each in certified["radii"])
        how = ", of the smoothed network" if certified["bounds"] == "smoothing" else ""
        found.append(f"Proven for any attack within eps {radius(eps)}{how}: {percent(last['accuracy'])} stay right.")
    return [Points(found)] if found else []


def _unevaluated(run: Run) -> str:
    judged = [line["validation"] for line in run.epochs if "validation" in line]
    if not judged:
        return "Nothing is known yet of how this network fares under attack."
    best = max(each.get("robust", each["clean"]) for each in judged)
    kind = "robust" if "robust" in judged[0] else "clean"
    return (
        f"This student has not been evaluated on test images. Its best {kind} accuracy on the validation split was "
        f"{percent(best)}, which is optimistic, since the epoch was chosen by it."
    )


def threat_model(run: Run) -> list[Block]:
    """Return what the attacker may do, in words and as a table."""
    evaluation = run.content("evaluation")
    if evaluation is None:
        return []
    threat = evaluation["threat"]
    allowed = _NORMS[threat["norm"]].format(radius(threat["eps"]))
    words = (
        f"The attacker knows the network and its weights. For each image, {allowed}, and pixels stay in [0, 1]. The "
        "attack succeeds if the prediction becomes any wrong class. An image that is wrong without an attack counts as "
        "wrong under every attack."
    )
    rows: list[tuple[str, str]] = [
        ("norm", threat["norm"]),
        ("eps", radius(threat["eps"])),
        ("attacks", ", ".join(evaluation["attacks"]) or "none"),
        ("data", f"{evaluation.get('data', 'not recorded')}, {evaluation.get('split', 'test')} split"),
        ("images", count(evaluation["images"])),
        ("seed of the attacks", str(evaluation.get("seed", "not recorded"))),
    ]
    return [Words(words), Table("Threat model", ("what", "value"), rows)]


def selection(run: Run) -> list[Block]:
    """Return which epoch's student this is, and what it was chosen by."""
    chosen = selected(run)
    if chosen is None:
        return []
    best, chosen_on = chosen
    last = [line for line in run.epochs if "validation" in line][-1]
    names = {"clean": "clean accuracy", "robust": "robust accuracy", "wra": "mean of clean and robust accuracy"}
    words = (
        f"The student is that of epoch {best['epoch'] + 1} of {run.epochs[-1]['epoch'] + 1}, the first with the best "
        f"{names[chosen_on]} on the validation split ({_held_out(run)}). Test images had no part in the choice."
    )
    kinds = [kind for kind in ("clean", "robust", "wra") if kind in best["validation"]]
    rows: list[Sequence[Cell]] = [
        (label, whole_cell(line["epoch"] + 1), *(share_cell(line["validation"][kind]) for kind in kinds))
        for label, line in (("selected", best), ("last", last))
    ]
    columns = ("student", "epoch", *("WRA" if kind == "wra" else kind for kind in kinds))
    return [Words(words), Table("Accuracy on the validation split, %", columns, rows)]


def _held_out(run: Run) -> str:
    share = run.setting("data", "validation")
    steps = run.setting("training", "selection", "steps")
    size = "held out of the training images"
    if isinstance(share, float):
        size = f"{percent(share, 0)} of the training images, held out"
    elif isinstance(share, int):
        size = f"{count(share)} training images, held out"
    return f"{size}; PGD with {steps} steps" if isinstance(steps, int) else size
