"""Measurements of students whose weights are written by hand."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from robustill.theory import Case, Settings, Teacher
from robustill.theory.attack import stands
from robustill.theory.batch import draw_batch
from robustill.theory.measure import measure
from robustill.theory.students import Students, cubed

CONFIG = Settings(dimension=4, patches=2, train=30, test=20, filters=2, alpha=2.0, eps=0.5)


def test_responses_are_those_of_the_right_class() -> None:
    # Columns: two filters of the first class, two of the second; rows: u, two axes of noise, v.
    weights = torch.tensor([[0.3, -0.9, -0.2, 0.8], [0.1, 0.5, 0.0, -2.0], [0.2, 0.0, 1.5, 0.1], [0.0] * 4])
    students = Students(weights[None], torch.tensor([1.0, 1.0, -1.0, -1.0]), False)
    batch = draw_batch([Case(Teacher("t", 1.0), 0.4, 0)], CONFIG)
    with ThreadPoolExecutor(1) as pool:
        (found,) = (each.result() for each in measure(students, batch, CONFIG, pool))
    # Largest pull to the right side: 0.3 and, with its sign, 0.2; largest norm without u: 2.1.
    assert found["signal"] == pytest.approx(2 * (0.3 + 0.2) / 2)
    assert found["attackable"] == pytest.approx(0.5 * 2.1)
    largest = {True: 0.0, False: 0.0}
    driven = []
    train = batch.train
    for i in range(CONFIG.train):
        y, unlearnable = float(train.y[0, i]), bool(train.unlearnable[0, i])
        own = (0, 1) if y > 0 else (2, 3)
        f = 0.0
        for j in range(CONFIG.patches):
            for r in range(4):
                noise = sum(float(weights[k, r] * train.noise[0, i, j, k]) for k in range(4))
                if r in own:
                    largest[unlearnable] = max(largest[unlearnable], noise)
                z = noise + float(weights[0, r] * train.attacked[0, i, j])
                f += (1 if r < 2 else -1) * max(z, 0.0) ** 3
        if unlearnable:
            driven.append(abs(float(torch.sigmoid(torch.tensor(f)) - torch.sigmoid(torch.tensor(y * 1.0)))))
    assert found["noise_unlearnable"] == pytest.approx(largest[True], rel=1e-4)
    assert found["noise_learnable"] == pytest.approx(largest[False], rel=1e-4)
    assert found["residual_unlearnable"] == pytest.approx(sum(driven) / len(driven), rel=1e-4)


def test_the_attack_crosses_the_ball_and_stops_at_its_edge() -> None:
    # One filter for, one against: the sign of f is that of the first coordinate.
    one = Students(torch.tensor([[1.0, -1.0], [0.0, 0.0], [0.0, 0.0]]), torch.tensor([1.0, -1.0]), False)
    x = torch.zeros(4, 1, 3)
    x[:, 0, 0] = torch.tensor([0.9, 1.1, 0.4, -0.1])
    start = torch.zeros_like(x)
    start[..., 0] = 1
    assert stands(one, x, torch.ones(4), start, eps=1.0, steps=5).tolist() == [False, True, False, False]
    # Without a step, what counts is x and the start.
    assert stands(one, x, torch.ones(4), -0.5 * start, eps=1.0, steps=0).tolist() == [True, True, False, False]


def test_wrong_once_is_wrong() -> None:
    # The first sample is wrong at its start only: the step from there overshoots to where it is right again.
    weights = torch.tensor([[1.0, 0.0, -1.0, -1.0], [1.5, 1.5, 0.5, 0.0], [0.0] * 4])
    one = Students(weights, torch.tensor([1.0, 1.0, -1.0, -1.0]), False)
    x = torch.tensor([[[5.0, 5.0, 0.0]]]).repeat(20, 1, 1)
    x[0] = torch.tensor([[0.0, 0.5, 0.0]])
    start = torch.zeros_like(x)
    start[0, 0, :2] = -0.5
    at = [float(cubed(one, point @ weights)) for point in (x[:1], x[:1] + start[:1], x[:1] - start[:1])]
    assert at[0] > 0 > at[1]
    assert at[2] > 0
    assert stands(one, x, torch.ones(20), start, eps=0.5, steps=1).tolist() == [False] + [True] * 19
