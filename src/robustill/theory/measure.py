"""What is measured of the students between steps."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from robustill.theory.attack import correct, stands
from robustill.theory.samples import along_u
from robustill.theory.settings import Settings
from robustill.theory.students import Students, cubed

if TYPE_CHECKING:
    from robustill.theory.batch import Batch

Futures = list[Future[dict[str, float | None]]]


def measure(students: Students, batch: Batch, settings: Settings, pool: Executor) -> Futures:
    """Let `pool` measure each run; until all are there, `students` must stay as they are.

    All responses are largest values over filters, not means: memorisation sits in a few filters that carry no signal.

    - `robust_test`, `robust_test_learnable`: robust accuracy under the test attack, on all and on learnable samples;
    - `clean_test`: clean accuracy;
    - `robust_train`, `robust_train_unlearnable`, `robust_train_learnable`: accuracy under the training attack;
    - `signal`: `alpha max_r <w_r, u>` over the filters of a class, mean over the classes;
    - `noise_unlearnable`, `noise_learnable`: the largest response of a filter of the right class to a training
      sample's noise, over the samples of the kind;
    - `attackable`: `eps` times the largest L1 norm of a filter without its signal;
    - `residual_unlearnable`: mean `|q - sigmoid(y f)|` on attacked unlearnable training samples, which drives them.
    """
    # Samples leave the attack at their own time, so that runs have different rows: one run at a time, on one core.
    return [pool.submit(_of_run, students, run, batch, settings) for run in range(len(students.weights))]


def _of_run(students: Students, run: int, batch: Batch, settings: Settings) -> dict[str, float | None]:
    one = Students(students.weights[run], students.signs, students.odd)
    test, y = batch.test, batch.test.y[run]
    x = along_u(test.noise[run], test.signal[run])
    clean = correct(one, x, y)
    robust = stands(one, x, y, batch.start[run], settings.eps, settings.attack_steps, clean)
    w_u, w_noise = one.weights[0], one.weights[1:]
    pull = w_u if one.odd else (w_u * one.signs).view(2, -1)
    return {
        "robust_test": _mean(robust),
        "robust_test_learnable": _mean(robust[~test.unlearnable[run]]),
        "clean_test": _mean(clean),
        **_on_training_set(one, run, batch),
        "signal": settings.alpha * float(pull.amax(-1).mean()),
        "attackable": settings.eps * float(w_noise.abs().sum(0).max()),
    }


def _on_training_set(one: Students, run: int, batch: Batch) -> dict[str, float | None]:
    train, target = batch.train, batch.target[run]
    y, unlearnable = train.y[run], train.unlearnable[run]
    z = train.noise[run] @ one.weights
    towards = (z * y[:, None, None]).amax(1) if one.odd else torch.where(one.signs * y[:, None] > 0, z.amax(1), 0)
    noise = towards.amax(1).clamp_min(0)
    f = cubed(one, z + train.attacked[run, ..., None] * one.weights[0])
    right = f * y > 0
    return {
        "robust_train": _mean(right),
        "robust_train_unlearnable": _mean(right[unlearnable]),
        "robust_train_learnable": _mean(right[~unlearnable]),
        "noise_unlearnable": _max(noise[unlearnable]),
        "noise_learnable": _max(noise[~unlearnable]),
        "residual_unlearnable": _mean((torch.sigmoid(f) - target)[unlearnable].abs()),
    }


def _mean(values: Tensor) -> float | None:
    return float(values.float().mean()) if len(values) else None


def _max(values: Tensor) -> float | None:
    return float(values.max()) if len(values) else None
