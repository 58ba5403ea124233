"""Draws of the patch data, as the student sees it.

A student's filters are orthogonal to `v`, before, during and after every step. So what a sample has along `v` reaches
nothing, and it is left out here: an unlearnable sample is one whose patches hold noise only.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from robustill.errors import InputError
from robustill.theory.settings import Settings


class Purpose(IntEnum):
    """What random numbers are drawn for. Each has a stream of its own, so none depends on how much another draws."""

    TRAIN = 1
    TEST = 2
    INIT = 3
    ORDER = 4
    ATTACK = 5


def stream(seed: int, purpose: Purpose) -> np.random.RandomState:
    """Return the generator of `(seed, purpose)`; `RandomState` draws the same in every version of numpy.

    Raises:
        InputError: `seed` is negative or not an integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InputError(f"seed is {seed!r}; it must be an integer from 0 to 2**63 - 1")
    sequence = np.random.SeedSequence(seed, spawn_key=(int(purpose),))
    return np.random.RandomState(np.random.MT19937(sequence))


@dataclass(frozen=True)
class Samples:
    """Samples of one seed.

    Attributes:
        noise: The noise of each patch `[n, P, d]`.
        signal: Length of each patch along `u`, with its sign `[n, P]`.
        attacked: The same after the training attack.
        y: Labels -1 or 1, `[n]`.
        unlearnable: Whether the signal was along `v`, `[n]` boolean.
    """

    noise: Tensor
    signal: Tensor
    attacked: Tensor
    y: Tensor
    unlearnable: Tensor


def draw_samples(settings: Settings, p_unlearnable: float, seed: int, purpose: Purpose) -> Samples:
    """Draw a training or a test set; for another `p_unlearnable` it differs only in which samples are unlearnable."""
    rng = stream(seed, purpose)
    n, p, d = (settings.train if purpose is Purpose.TRAIN else settings.test), settings.patches, settings.dimension
    y = torch.from_numpy(rng.randint(0, 2, n) * 2.0 - 1)
    place = torch.nn.functional.one_hot(torch.from_numpy(rng.randint(0, p, n)), p)
    chance = torch.from_numpy(rng.random_sample(n))
    noise = torch.from_numpy(rng.standard_normal((n, p, d))) * settings.noise
    noise[..., [0, -1]] = 0
    unlearnable = chance < p_unlearnable
    if settings.theory:
        count = round(p_unlearnable * n) if purpose is Purpose.TRAIN else 0
        unlearnable = chance.argsort().argsort() < count
        noise *= 1 - place[..., None]
    signal = settings.alpha * y[:, None] * place * ~unlearnable[:, None]
    moved = place if settings.theory else torch.ones_like(place)
    attacked = signal - settings.eps * y[:, None] * moved
    return Samples(noise.float(), signal.float(), attacked.float(), y.float(), unlearnable)


def along_u(noise: Tensor, signal: Tensor) -> Tensor:
    """Return the patches: `noise` `[..., P, d]` with `signal` `[..., P]` on the axis `u`."""
    x = noise.clone()
    x[..., 0] += signal
    return x


def draw_order(settings: Settings, seed: int) -> Tensor:
    """Return which sample each step takes, `[steps]`, drawn with replacement."""
    return torch.from_numpy(stream(seed, Purpose.ORDER).randint(0, settings.train, settings.steps))


def draw_start(settings: Settings, seed: int) -> Tensor:
    """Return the test attack's uniform start `[test, P, d]` in [-eps, eps], the same at every evaluation."""
    shape = (settings.test, settings.patches, settings.dimension)
    return torch.from_numpy(stream(seed, Purpose.ATTACK).uniform(-settings.eps, settings.eps, shape)).float()
