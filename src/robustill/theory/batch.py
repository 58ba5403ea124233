"""All runs of a simulation, side by side in one batch."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial

import torch
from torch import Tensor

from robustill.errors import InputError, NonFiniteLossError
from robustill.progress import bar
from robustill.theory.measure import Futures, measure
from robustill.theory.outcome import Case, Outcome
from robustill.theory.samples import Purpose, Samples, along_u, draw_order, draw_samples, draw_start, stream
from robustill.theory.settings import Settings
from robustill.theory.students import Students, draw_students, train_step
from robustill.theory.teachers import TEACHERS, Teacher
from robustill.training.device import cpu_threads

_AHEAD = 2
"""Evaluations that training may be ahead of; each holds a copy of all weights."""


@dataclass(frozen=True)
class Batch:
    """What R runs are made of; every tensor has a leading axis of runs.

    Attributes:
        train: Training samples.
        test: Test samples.
        target: The teachers' probability of the label 1 on the training samples `[R, n]`.
        x: Training samples under the training attack `[R, n, P, d]`. That attack does not depend on the student.
        order: The sample of each step `[R, steps]`.
        start: The test attack's start `[R, test, P, d]`.
    """

    train: Samples
    test: Samples
    target: Tensor
    x: Tensor
    order: Tensor
    start: Tensor


def grid(
    teachers: Iterable[Teacher] = tuple(TEACHERS.values()),
    p_unlearnable: Sequence[float] = (0.0, 0.15),
    seeds: Sequence[int] = (0, 1, 2),
) -> list[Case]:
    """Return a case for every teacher, share of unlearnable samples and seed.

    >>> len(grid())
    18
    """
    return [Case(teacher, p, seed) for teacher in teachers for p in p_unlearnable for seed in seeds]


def simulate(
    cases: Sequence[Case] | None = None,
    settings: Settings | None = None,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> list[Outcome]:
    """Train one student per case on the patch data and follow what it learns; all cases in one batch.

    Cases of one seed share data (but for which samples are unlearnable), initial weights, order and attack, so they
    differ by their teacher alone. A case gives the same alone or in a batch, and with any `evaluate_every`, up to
    float32 rounding. Cases that no student can tell apart run once: where no sample is unlearnable, teachers that
    differ on such samples only.

    This reproduces a robust overfitting that needs a mismatch of threat models: in training the adversary moves the
    coordinate of the signal alone, in the test it moves every coordinate. It is no model of PGD adversarial training:
    trained against an adversary that moves all coordinates, the same student did not overfit where it was tried.

    Args:
        cases: What to run; `grid()` when left out.
        settings: The paper's experiment when left out.
        workers: Cores that evaluate the runs; all, up to eight, when left out.
        progress: Show a bar.

    Raises:
        InputError: There is no case or no worker, or a share of unlearnable samples outside [0, 1].
        NonFiniteLossError: A student's weights became infinite.

    >>> from robustill.theory import Case, Settings, Teacher
    >>> settings = Settings(dimension=10, train=8, test=8, filters=4, steps=2, attack_steps=2, evaluate_every=1)
    >>> cases = [Case(Teacher(name, unlearnable=logit), 0.25, 0) for name, logit in (("unsure", 0.0), ("sure", 10.0))]
    >>> [outcome.steps for outcome in simulate(cases, settings, workers=1, progress=False)]
    [[0, 1, 2], [0, 1, 2]]
    """
    cases = grid() if cases is None else list(cases)
    settings = settings or Settings()
    check_cases(cases)
    workers = check_workers(workers)
    distinct: dict[Case, Case] = {}
    for case in cases:
        distinct.setdefault(_told_apart(case), case)
    found = dict(zip(distinct, _run(list(distinct.values()), settings, workers, progress), strict=True))
    return [found[_told_apart(case)].of(case) for case in cases]


def _told_apart(case: Case) -> Case:
    """Return what of a case reaches its student: where no sample is unlearnable, no margin on such does."""
    learnable = case.teacher.learnable
    unlearnable = case.teacher.unlearnable if case.p_unlearnable else learnable
    return replace(case, teacher=Teacher("", unlearnable, learnable))


def _run(cases: Sequence[Case], settings: Settings, workers: int, progress: bool) -> list[Outcome]:
    batch = draw_batch(cases, settings)
    students = draw_students(settings, [case.seed for case in cases])
    outcomes, waiting = [Outcome(case) for case in cases], deque[tuple[int, Futures]]()
    # PyTorch's own threads lose more on matrices of this size than they win.
    with (
        cpu_threads(1),
        ThreadPoolExecutor(workers) as pool,
        bar(_label(cases), settings.steps, show=progress) as shown,
    ):
        for step in range(settings.steps + 1):
            if step % settings.evaluate_every == 0 or step == settings.steps:
                _check_finite(students, cases, step)
                # Training goes on meanwhile, on weights of its own.
                now = replace(students, weights=students.weights.clone())
                waiting.append((step, measure(now, batch, settings, pool)))
            while len(waiting) > (_AHEAD if step < settings.steps else 0):
                at, values = waiting.popleft()
                for outcome, each in zip(outcomes, values, strict=True):
                    outcome.add(at, each.result())
            if step < settings.steps:
                advance(students, batch, step, settings)
                shown.advance()
    return outcomes


def draw_batch(cases: Sequence[Case], settings: Settings) -> Batch:
    """Draw the data of all cases."""
    samples, start = cache(partial(draw_samples, settings)), cache(partial(draw_start, settings))
    train, test = (
        _stacked([samples(case.p_unlearnable, case.seed, purpose) for case in cases])
        for purpose in (Purpose.TRAIN, Purpose.TEST)
    )
    right = torch.stack(list(map(_right, cases, train.unlearnable)))
    return Batch(
        train=train,
        test=test,
        target=torch.where(train.y > 0, right, 1 - right),
        x=along_u(train.noise, train.attacked),
        order=torch.stack([draw_order(settings, case.seed) for case in cases]),
        start=torch.stack([start(case.seed) for case in cases]),
    )


def advance(students: Students, batch: Batch, step: int, settings: Settings) -> None:
    """Train all students for one step, in place."""
    if settings.theory:
        return train_step(students, batch.x, batch.target, settings.lr)
    runs, index = torch.arange(len(batch.order)), batch.order[:, step]
    return train_step(students, batch.x[runs, index, None], batch.target[runs, index, None], settings.lr)


def _stacked(samples: Sequence[Samples]) -> Samples:
    return Samples(**{name: torch.stack([getattr(each, name) for each in samples]) for name in Samples.__annotations__})


def _right(case: Case, unlearnable: Tensor) -> Tensor:
    """Return the teacher's probability of the right label."""
    margins = torch.tensor([case.teacher.learnable, case.teacher.unlearnable])
    return torch.sigmoid(margins)[unlearnable.long()]


def check_workers(workers: int | None) -> int:
    """Return how many cores to use: `workers`, or all there are, up to eight.

    Raises:
        InputError: It is below 1.
    """
    if workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(cores, 8)
    if workers < 1:
        raise InputError(f"workers is {workers}; it must be at least 1")
    return workers


def _label(cases: Sequence[Case]) -> str:
    return f"{len(cases)} runs" if len(cases) > 1 else "1 run"


def check_cases(cases: Sequence[Case]) -> None:
    """Check that there are cases, and their shares and seeds.

    Raises:
        InputError: There is none, or one has a share outside [0, 1] or a seed that is none.

    >>> from robustill.theory import Case, Teacher
    >>> check_cases([Case(Teacher("unsure", unlearnable=0.0), 0.25, 0)])
    """
    if not cases:
        raise InputError("there is nothing to simulate", "give at least one teacher, one p_unlearnable and one seed")
    for case in cases:
        if not (math.isfinite(case.p_unlearnable) and 0 <= case.p_unlearnable <= 1):
            raise InputError(f"p_unlearnable is {case.p_unlearnable}; it must be from 0 to 1")
        stream(case.seed, Purpose.TRAIN)


def _check_finite(students: Students, cases: Sequence[Case], step: int) -> None:
    for case, weights in zip(cases, students.weights, strict=True):
        if not weights.isfinite().all():
            raise NonFiniteLossError(
                f"the student of teacher {case.teacher.name}, p_unlearnable {case.p_unlearnable:g}, seed {case.seed} "
                f"diverged before step {step}: its cubic margin has no bound",
                "lower --lr, --alpha or --noise",
            )
