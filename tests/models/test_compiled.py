"""Compiled views: used for the one shape they are for, checked at their first use, equal to what they stand for."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks.objective import gradient
from robustill.errors import ModelError
from robustill.models import attack_view
from robustill.models.compiled import Compiled

SHAPE = (4, 3)
Forward = Callable[[Tensor], Tensor]


def squares(x: Tensor) -> Tensor:
    return (x**2).cumsum(1)


def compile_to(monkeypatch: pytest.MonkeyPatch, make: Callable[[Forward], Forward]) -> list[Any]:
    """Let `torch.compile` return what `make` makes of the function; return the list of what it was called with."""
    asked: list[Any] = []

    def stand_in(forward: Forward, **options: Any) -> Forward:
        asked.append(options)
        return make(forward)

    monkeypatch.setattr(torch, "compile", stand_in)
    return asked


def test_compiles_once_and_for_gradients_of_its_shape_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[torch.Size] = []

    def counting(forward: Forward) -> Forward:
        return lambda x: (calls.append(x.shape), forward(x))[1]  # type: ignore[func-returns-value]

    asked = compile_to(monkeypatch, counting)
    view = Compiled(squares, SHAPE, 1e-3)
    x = torch.rand(SHAPE)
    assert torch.equal(view(x), squares(x))
    assert torch.equal(gradient(lambda z: view(z).sum(1), x[:3]), gradient(lambda z: squares(z).sum(1), x[:3]))
    with torch.no_grad():
        view(x.requires_grad_())
    assert (asked, calls) == ([], [])
    for _ in range(3):
        assert torch.equal(gradient(lambda z: view(z).sum(1), x), gradient(lambda z: squares(z).sum(1), x))
    assert asked == [{"dynamic": False, "mode": None}]
    # One more than asked for: the comparison.
    assert calls == [torch.Size(SHAPE)] * 4


class _Halved(torch.autograd.Function):
    """Right logits, wrong gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return squares(x)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Tensor:
        return given[0] / 2


def _fails(x: Tensor) -> Tensor:
    raise RuntimeError("no compiler\nfound")


@pytest.mark.parametrize(
    ("compiled", "says"),
    [
        (lambda x: 1.01 * squares(x), "something else"),
        (lambda x: squares(x) / 0, "something else"),
        (_Halved.apply, "something else"),
        (_fails, "cannot be compiled: RuntimeError: no compiler\n"),
    ],
    ids=["logits", "not a number", "gradient", "failure"],
)
def test_a_compiler_is_not_believed(compiled: Forward, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_to(monkeypatch, lambda forward: compiled)
    with pytest.raises(ModelError, match=says) as caught:
        Compiled(squares, SHAPE, 1e-3)(torch.rand(SHAPE, requires_grad=True))
    assert "training.compile" in caught.value.hint


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_view_has_the_gradient_of_its_network_before_and_after_a_step() -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)]
    model = nn.Sequential(*layers).eval()
    x = torch.rand(4, 1, 8, 8)
    view = attack_view(model, sample=x, compile_for=x.shape)
    assert (view.folded, view.why) == (1, None)
    for _ in range(2):
        ours, its = (gradient(lambda z, net=net: net(z)[:, 0], x) for net in (view, model))  # type: ignore[misc]
        torch.testing.assert_close(ours, its, rtol=1e-3, atol=1e-5)
        assert its.abs().max() > 1e-3
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.1 * torch.randn_like(parameter)
        view.refresh()
