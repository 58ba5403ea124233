"""Ranking teachers before any student is distilled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from robustill.attacks import named_attack
from robustill.data import Data
from robustill.diagnostics.learnability import ESTIMATORS, Learnability
from robustill.diagnostics.ranking.gates import Gates
from robustill.diagnostics.ranking.groups import choose
from robustill.diagnostics.ranking.measure import Measure
from robustill.diagnostics.ranking.report import CRITERIA, Ranking, TeacherReport
from robustill.diagnostics.ranking.surfaces import SURFACES, Examples, answers
from robustill.errors import DataError, InputError, nearest
from robustill.evaluation.subset import balanced
from robustill.models import model_digest
from robustill.training.networks import check_given, check_network

_TEST_IMAGES = 1000


def rank_teachers(
    teachers: Mapping[str, nn.Module],
    student: nn.Module,
    data: Data,
    learnability: Learnability,
    *,
    criterion: str = "unlearnable_entropy",
    surface: str = "student",
    temperature: float = 1.0,
    gates: Gates | None = None,
    estimator: str = "intersection",
    k: float = 1.0,
    limit: int | None = 5000,
    baselines: bool = True,
    resamples: int = 1000,
    batch_size: int = 256,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool = True,
) -> Ranking:
    """Rank teachers by their entropy on what the student's architecture cannot learn robustly.

    A teacher that is sure of its answer there makes the student memorise noise (robust overfitting); an uncertain one
    does not. Entropy alone also prefers teachers that know nothing, so teachers pass gates first. Threat and attack are
    those of `learnability`.

    Args:
        teachers: By name; each maps images in [0, 1] to logits, with its own normalisation inside.
        student: A reference model of the student's architecture, on which the `student` surface is crafted.
        data: The data of `learnability`.
        learnability: Of the student's architecture.
        criterion: `"unlearnable_entropy"` (mean entropy on the unlearnable set) or `"contrast"` (less that on the
            learnable set).
        surface: What the distillation shows the teacher: `"student"` (adversarial examples of the student, as AdaAD),
            `"clean"` (clean images, as RSLAD and ARD) or `"teacher"` (adversarial examples of itself). All three are
            measured.
        temperature: Of the distillation; divides the logits.
        gates: What a teacher must meet to be ranked.
        estimator: Of the sets, as in `Learnability.weights`.
        k: Exponent of the soft estimator.
        limit: Images per group at most; with 5000 of 10 classes, the standard error of an entropy is at
            most 0.016 nats.
        baselines: Also measure what else one might rank by, for `validate_ranking`: accuracies on test images, entropy
            on other images. It costs about three times as much.
        resamples: Bootstrap draws for the intervals.
        batch_size: Images per batch.
        seed: Of the images, the random starts and the bootstrap.
        out: Folder in which each teacher's answers are kept; a call that was cut off goes on where it was.
        progress: Show a bar with an ETA per teacher.

    Raises:
        InputError: No teachers, an unknown criterion or surface, an impossible number, or an empty set.
        DataError: `learnability` is of other data.
        ModelError: A teacher or the student does not fit the data.

    >>> import torch
    >>> from torch import nn
    >>> from robustill.data import load_data
    >>> _ = torch.manual_seed(0)
    >>> data = load_data("digits", limit=60)
    >>> from robustill.diagnostics import unlearnable
    >>> nets = {name: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval() for name in ("a", "b")}
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    >>> found = unlearnable({"net/0": net}, data, "fgsm", eps=0.1, progress=False)
    >>> ranking = rank_teachers(nets, net, data, found, resamples=20, baselines=False, progress=False)
    >>> sorted(each.name for each in ranking.reports)
    ['a', 'b']
    """
    check_given(data, {**teachers, "student": student})
    check_choices(criterion, surface, temperature, estimator)
    if not teachers:
        raise InputError("there are no teachers to rank", "name at least one")
    if isinstance(resamples, bool) or resamples < 1:
        raise InputError(f"resamples is {resamples!r}", "give a number of bootstrap draws, 1 or more")
    if learnability.about["data_digest"] != data.digest:
        raise DataError(
            f"the unlearnable set is of {learnability.about['data']}, with another content or split than {data.name}",
            "find the set again on this data, with the same validation split",
        )
    groups = choose(learnability, estimator, k, limit, seed, baselines)
    threat = {key: learnability.about[key] for key in ("eps", "norm", "attack")}
    attack = named_attack(threat["attack"], eps=threat["eps"], norm=threat["norm"])
    asked = Examples(data.train, groups.index, attack, student, batch_size, seed, about=("train", data.digest))
    test = _test(data, attack, batch_size, seed) if baselines else None
    _fit({"the student": student, **teachers}, asked, data)
    measure = Measure(asked, groups, test, surface, temperature, gates or Gates(), resamples, seed)
    reports = _reports(teachers, measure, Path(out) if out is not None else None, progress)
    about = {
        "threat": threat, "data": data.name, "data_digest": data.digest, "student_digest": model_digest(student),
        "references": len(learnability.references), "estimator": estimator, "sizes": groups.sizes,
        "images": {name: int((w > 0).sum()) for name, w in groups.weights.items()}, "resamples": resamples,
        "seed": seed,
    }  # fmt: skip
    return Ranking(reports, criterion, surface, temperature, measure.gates, about)


def _reports(
    teachers: Mapping[str, nn.Module], measure: Measure, folder: Path | None, progress: bool
) -> tuple[TeacherReport, ...]:
    reports, gated = [], {}
    for number, (name, teacher) in enumerate(teachers.items(), 1):
        label = f"{name} ({number} of {len(teachers)})"
        logits = answers(teacher, measure.asked, label, folder, progress)
        on_test = None
        if measure.test is not None:
            on_test = answers(teacher, measure.test, f"{label}, test images", folder, progress)
        reports.append(measure.report(name, teacher, logits, on_test))
        gated[name] = measure.gated(logits)
    failures = measure.gates.failures(gated)
    return tuple(replace(report, dropped=failures[report.name]) for report in reports)


def check_choices(criterion: str, surface: str, temperature: float, estimator: str) -> None:
    """Check what does not need data.

    Raises:
        InputError: An unknown criterion, surface or estimator, or a temperature that is not above 0.
    """
    for name, known, what in (
        (criterion, CRITERIA, "criterion"),
        (surface, SURFACES, "surface"),
        (estimator, ESTIMATORS, "estimator"),
    ):
        if name not in known:
            raise InputError(f"there is no {what} {name!r}", nearest(name, known))
    if not temperature > 0:
        raise InputError(f"the temperature is {temperature!r}", "give a number above 0")


def _fit(networks: Mapping[str, nn.Module], asked: Examples, data: Data) -> None:
    for name, network in networks.items():
        _, x, _ = next(asked.batches(0, next(network.parameters()).device))
        check_network(name, network, x[:2], data)


def _test(data: Data, attack: Any, batch_size: int, seed: int) -> Examples:
    index = balanced(data.test.labels, _TEST_IMAGES, seed)
    return Examples(data.test, index, attack, None, batch_size, seed, about=("test", data.digest))
