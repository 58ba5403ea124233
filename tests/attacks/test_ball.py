"""Whatever the objective, type and start: the result is in the ball, in [0, 1], and of the type of the images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustill.attacks import FGSM, PGD
from robustill.attacks.threat import ball
from tests.attacks.tiny import images, linear, wavy

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
RADII = st.sampled_from([0.0, 1e-4, 8 / 255, 0.031, 0.1, 0.3, 1.0]) | st.floats(1e-4, 2.0)


def distance(x_adv: Tensor, x: Tensor, norm: str) -> Tensor:
    """Return the length of each perturbation, computed in float64."""
    delta = (x_adv.double() - x.double()).flatten(1)
    return delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)


def with_corners(seed: int, dtype: torch.dtype) -> Tensor:
    """Return images among which are black, white and nearly white pixels."""
    x = images(6, seed)
    x[0], x[1] = 0, 1
    x[2, 0, 0] = torch.tensor([0.0, 1.0, 1e-3, 1 - 1e-3])
    return x.to(dtype)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("dtype", DTYPES)
@QUICK
@given(
    eps=RADII,
    share=st.floats(0.05, 1.0),
    init=st.sampled_from(["uniform", "gaussian", "none"]),
    sigma=st.sampled_from([0.001, 0.5]),
    steps=st.integers(0, 4),
    restarts=st.integers(1, 2),
    seed=st.integers(0, 10_000),
)
def test_the_result_is_a_legal_perturbation(
    norm: Any, dtype: torch.dtype, eps: float, share: float, **how: Any
) -> None:
    seed = how.pop("seed")
    # No pixel can change by more than 1.
    eps = min(eps, 1.0) if norm == "Linf" else eps
    attack = PGD(eps=eps, step_size=share * eps or 1.0, norm=norm, **how)
    x = with_corners(seed, dtype)
    x_adv = attack(wavy(seed), x, generator=torch.Generator().manual_seed(seed))
    assert x_adv.dtype == x.dtype
    assert x_adv.shape == x.shape
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert distance(x_adv, x, norm).max() <= (eps if norm == "Linf" else eps * (1 + 1e-6))


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_images_that_overshoot_by_rounding_end_in_the_box(norm: Any, eps: float) -> None:
    x = torch.tensor([[1.0005, 0.5], [-0.0005, 0.5]])
    x_adv = PGD(eps=eps, step_size=eps, steps=2, norm=norm)(lambda p: p.sum(1), x)
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


@pytest.mark.parametrize("eps", [1e-4, 1e-3, 0.031, 0.5])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_of_bright_pixels_does_not_enlarge_the_radius(norm: Any, dtype: torch.dtype, eps: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = (0.5 + 0.5 * torch.rand(200, 3, 8, 8, generator=generator)).to(dtype)
    weight = torch.randn(192, generator=generator)
    x_adv = PGD(eps=eps, step_size=eps / 2, steps=4, norm=norm)(linear(weight), x, generator=generator)
    assert distance(x_adv, x, norm).max() <= (eps if norm == "Linf" else eps * (1 + 1e-6))


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_whole_ball_is_used(norm: Any, dtype: torch.dtype) -> None:
    x = images(8, low=0.4, high=0.6).to(dtype)
    weight = torch.linspace(-1, 1, 16)
    x_adv = PGD(eps=0.1, step_size=0.05, steps=6, norm=norm)(linear(weight), x)
    rounding = {torch.bfloat16: 0.1, torch.float16: 0.02}.get(dtype, 1e-5)
    assert distance(x_adv, x, norm).min() > 0.1 * (1 - rounding)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("shape", [(5, 7), (2, 3, 4, 4), (1, 1, 2, 2), (0, 3, 4, 4), (2, 2, 3, 4, 5)])
def test_any_shape_of_batch(norm: Any, shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    x_adv = PGD(eps=0.1, step_size=0.05, steps=2, norm=norm)(lambda p: p.flatten(1).sum(1), x)
    assert x_adv.shape == shape
    if len(x):
        assert 0 < distance(x_adv, x, norm).max() <= 0.1 * (1 + 1e-6)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("attack", [FGSM, PGD])
def test_radius_zero_gives_the_images_back(norm: Any, attack: Any) -> None:
    x = with_corners(0, torch.float32)
    extra = {} if attack is FGSM else {"step_size": 1.0}
    x_adv = attack(eps=0.0, norm=norm, **extra)(wavy(), x)
    assert torch.equal(x_adv, x)
    assert x_adv is not x


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_projection_moves_only_what_is_outside(norm: Any) -> None:
    x = images(50, low=0.2, high=0.8)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    region = ball(norm, x, 0.15)
    for scale in (0.01, 1.0):
        point = x + scale * noise
        inside = (distance(point, x, norm) <= 0.149) & (point.flatten(1).amin(1) >= 0) & (point.flatten(1).amax(1) <= 1)
        projected = region.project(point)
        assert bool(inside.any()) is (scale < 1)
        torch.testing.assert_close(projected[inside], point[inside], rtol=0, atol=1e-15)
        assert distance(projected, x, norm).max() <= 0.15 * (1 + 1e-12)
        torch.testing.assert_close(region.project(projected), projected, rtol=0, atol=1e-12)


def test_the_uniform_start_fills_the_linf_ball_evenly() -> None:
    x = torch.full((3000, 1, 4, 4), 0.5)
    start = PGD(eps=0.2, step_size=0.1, steps=0)(wavy(), x, generator=torch.Generator().manual_seed(0))
    delta = (start - x) / 0.2
    assert delta.mean().abs() < 0.01
    assert delta.abs().mean() == pytest.approx(0.5, abs=0.01)
    assert delta.square().mean() == pytest.approx(1 / 3, abs=0.01)


def test_the_uniform_start_fills_the_l2_ball_evenly() -> None:
    x = torch.full((3000, 1, 4, 4), 0.5)
    attack = PGD(eps=0.3, step_size=0.1, steps=0, norm="L2")
    start = attack(wavy(), x, generator=torch.Generator().manual_seed(0))
    radius = distance(start, x, "L2") / 0.3
    # In 16 dimensions r^16 is uniform; most points are near the surface, in every direction.
    assert (radius**16).mean() == pytest.approx(0.5, abs=0.02)
    assert (radius**16).std() == pytest.approx(12**-0.5, abs=0.02)
    assert (start - x).mean(0).abs().max() < 0.01


def test_only_the_gaussian_start_leaves_the_box_before_the_first_step() -> None:
    for init, outside in (("gaussian", True), ("uniform", False), ("none", False)):
        seen: list[float] = []

        def objective(p: Tensor, seen: list[float] = seen) -> Tensor:
            seen.append(p.min().item())
            return p.flatten(1).sum(1)

        PGD(eps=0.1, step_size=0.05, steps=2, init=init)(objective, torch.zeros(4, 16))  # type: ignore[arg-type]
        assert (seen[0] < 0) is outside
        assert seen[1] >= 0


def test_the_gaussian_start_has_the_given_width() -> None:
    seen: list[Tensor] = []

    def objective(p: Tensor) -> Tensor:
        seen.append(p.detach().clone())
        return p.flatten(1).sum(1)

    x = torch.full((2000, 16), 0.5)
    PGD(eps=0.1, step_size=0.05, steps=1, init="gaussian", sigma=0.01)(objective, x)
    assert (seen[0] - x).std().item() == pytest.approx(0.01, rel=0.02)
