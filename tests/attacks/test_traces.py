"""An attack leaves a network, its gradients, its modes and the images as it found them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import CW, FGSM, PGD, correct, eval_mode, stays_correct
from robustill.losses import cross_entropy
from tests.attacks.tiny import classifier, images

X, Y = images(6), torch.tensor([0, 1, 2, 0, 1, 2])


def on_loss(attack: Any) -> Callable[[nn.Module], Tensor]:
    def run(model: nn.Module) -> Tensor:
        with eval_mode(model):
            return attack(lambda p: cross_entropy(model(p), Y), X)  # type: ignore[no-any-return]

    return run


STEPS: dict[str, Any] = {"eps": 0.1, "step_size": 0.05, "steps": 3}
RUNS: dict[str, Callable[[nn.Module], Tensor]] = {
    "pgd": on_loss(PGD(init="none", **STEPS)),
    "restarts": on_loss(PGD(init="none", restarts=2, **STEPS)),
    "l2": on_loss(PGD(init="none", norm="L2", **STEPS)),
    "fgsm": on_loss(FGSM(eps=0.1)),
    "cw": lambda model: CW(**STEPS)(model, X, Y),
    "correct": lambda model: correct(model, X, Y),
    "stays_correct": lambda model: stays_correct(model, X, Y, PGD(init="none", **STEPS)),
    "stays_correct cw": lambda model: stays_correct(model, X, Y, CW(**STEPS)),
}
every_run = pytest.mark.parametrize("name", RUNS)


@every_run
def test_gradients_and_flags_are_left_alone(name: str) -> None:
    model = classifier().train()
    model[1].bias.requires_grad_(False)
    model[1].weight.grad = torch.full((12, 16), 7.0).double()
    RUNS[name](model)
    assert bool((model[1].weight.grad == 7).all())
    assert all(w.grad is None for w in model.parameters() if w is not model[1].weight)
    assert [w.requires_grad for w in model.parameters()] == [True, False, True, True, True, True]


@every_run
def test_modes_and_statistics_are_left_alone(name: str) -> None:
    model = classifier().train()
    model[2].eval()
    model[4].eval()
    modes, state = [module.training for module in model.modules()], copy.deepcopy(model.state_dict())
    RUNS[name](model)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@every_run
def test_the_mode_of_the_network_does_not_change_the_result(name: str) -> None:
    model = classifier()
    assert torch.equal(RUNS[name](model.train()), RUNS[name](model.eval()))


@every_run
def test_it_works_where_gradients_are_switched_off(name: str) -> None:
    model = classifier()
    usual = RUNS[name](model)
    with torch.no_grad():
        assert torch.equal(RUNS[name](model), usual)
        assert not torch.is_grad_enabled()


@every_run
def test_it_works_on_a_network_whose_weights_are_frozen(name: str) -> None:
    model = classifier()
    usual = RUNS[name](model)
    assert torch.equal(RUNS[name](model.requires_grad_(False)), usual)


def test_images_are_neither_changed_nor_differentiated() -> None:
    x = X.clone().requires_grad_()
    model = classifier().eval()
    x_adv = PGD(**STEPS)(lambda p: cross_entropy(model(p), Y), x)
    assert torch.equal(x, X)
    assert x.grad is None
    assert x.requires_grad
    assert not x_adv.requires_grad
    assert x_adv.is_leaf


def test_modes_come_back_after_an_error() -> None:
    model = classifier().train()
    model[1].eval()
    modes = [module.training for module in model.modules()]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        CW(**STEPS)(model, torch.rand(2, 1, 3, 3).double(), Y[:2])
    assert [module.training for module in model.modules()] == modes


def test_eval_mode_takes_several_networks_and_switches_all_their_parts() -> None:
    first, second = classifier().train(), classifier().train()
    with eval_mode(first, second, first):
        assert not any(module.training for model in (first, second) for module in model.modules())
    assert all(module.training for model in (first, second) for module in model.modules())
