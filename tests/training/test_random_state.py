"""Training seeds the global generators for itself, and leaves the caller's where they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor

from robustill.data import Data
from robustill.methods import Standard
from robustill.models import load_model
from robustill.training import train
from robustill.training.checkpoint import random_state_kept


def fresh() -> Standard:
    return Standard(load_model("cnn_small", num_classes=3, shape=(1, 8, 8)))


def draws() -> tuple[Tensor, float, float]:
    return torch.rand(4), float(np.random.rand()), random.random()


def seed(number: int) -> None:
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


def weights(method: Standard) -> Tensor:
    return torch.nn.utils.parameters_to_vector(method.student.parameters()).detach()


def test_the_caller_draws_on_as_if_nothing_had_been_trained(tiny_data: Data) -> None:
    method = fresh()
    seed(5)
    expected = draws()
    seed(5)
    train(method, tiny_data, epochs=1, progress=False)
    found = draws()
    assert torch.equal(found[0], expected[0])
    assert found[1:] == expected[1:]


def test_each_student_of_a_loop_has_other_fresh_weights(tiny_data: Data) -> None:
    begun = []
    for _ in range(3):
        method = fresh()
        begun.append(weights(method))
        train(method, tiny_data, epochs=1, progress=False)
    assert not torch.equal(begun[1], begun[2])


def test_what_is_trained_follows_the_run_seed_alone(tiny_data: Data) -> None:
    found = []
    for number in (1, 2):
        torch.manual_seed(0)
        method = fresh()
        torch.manual_seed(number)
        train(method, tiny_data, epochs=1, progress=False)
        found.append(weights(method))
    assert torch.equal(*found)


def test_also_where_training_fails(tiny_data: Data) -> None:
    class Broken(Standard):
        def after_step(self) -> None:
            raise RuntimeError("broken")

    method = Broken(fresh().student)
    seed(5)
    expected = torch.rand(4)
    seed(5)
    with pytest.raises(RuntimeError, match="broken"):
        train(method, tiny_data, epochs=1, progress=False)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_draws_on_as_well() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4, device="cuda")
    torch.manual_seed(3)
    with random_state_kept():
        torch.manual_seed(0)
        torch.rand(9, device="cuda")
    assert torch.equal(torch.rand(4, device="cuda"), expected)
