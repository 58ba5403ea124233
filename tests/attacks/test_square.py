"""The Square attack: its schedule, its shapes, its promises as a search."""

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import Square, correct, run_search
from robustill.attacks.draws import uniform
from robustill.attacks.rows import State
from robustill.attacks.squares import bump, pattern, start_tiles, windows
from robustill.errors import InputError
from robustill.losses import margin
from tests.attacks.rugged import generators, images, labelled, network
from tests.reference import square as reference


def side(query: int, queries: int, share: float, height: int, width: int) -> int:
    """The published schedule, typed again: the share halves after 10, 50, 200, ... of 10,000 queries."""
    scaled, p = int(query / queries * 10000), share
    for after in (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000):
        if scaled > after:
            p /= 2
    return min(max(round(math.sqrt(p * height * width)), 1), height, width)


@pytest.mark.parametrize("queries", [100, 5000])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_squares_shrink_on_the_papers_schedule(queries: int, norm: str) -> None:
    attack, x = Square(eps=0.1, queries=queries, norm=norm), torch.zeros(1, 3, 32, 32)  # type: ignore[arg-type]
    for query in {0, 1, 5, 6, 25, 26, queries // 3, queries // 2, queries - 1}:
        expected = side(query, queries, 0.8, 32, 32)
        if norm == "L2":
            expected = max(expected, 3) + (max(expected, 3) % 2 == 0)
        assert attack._side(torch.tensor([queries - query]), x).item() == expected, query
    plain = Square(eps=0.1, queries=queries, norm=norm, rescale=False)  # type: ignore[arg-type]
    for query in {0, 10, 11, 50, 51, queries - 1}:
        expected = side(query, 10_000, 0.8, 32, 32)
        if norm == "L2":
            expected = max(expected, 3) + (max(expected, 3) % 2 == 0)
        assert plain._side(torch.tensor([queries - query]), x).item() == expected, query


def test_windows_lie_inside_and_reach_every_place() -> None:
    x = torch.zeros(400, 1, 6, 8)
    draws = torch.rand(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sides = torch.arange(400) % 6 + 1
    found = windows(draws, sides, x)
    assert torch.equal(found.sum((1, 2, 3)), (sides**2).float())
    for place in ((0, 0), (0, 7), (5, 0), (5, 7)):
        assert bool(found[sides < 3][:, 0, place[0], place[1]].any())
    for image, size in zip(found[:40, 0], sides[:40], strict=True):
        rows, columns = image.nonzero().T
        assert int(rows.max() - rows.min()) == int(columns.max() - columns.min()) == int(size) - 1


@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_a_pattern_is_two_opposite_bumps_of_norm_one(size: int) -> None:
    found = pattern(size)
    assert found.norm().item() == pytest.approx(1, abs=1e-6)
    upper = size // 2
    assert bool((found[:upper] > 0).all())
    assert bool((found[upper:] < 0).all())
    assert found[:upper].norm().item() == pytest.approx(found[upper:].norm().item(), rel=1e-5)
    if size == 5:
        # Rings of the upper half (2 x 5) around its middle: 1, 1/4 and 1/9 add up inwards.
        middle, edge = 1 + 1 / 4 + 1 / 9, 1 / 9
        assert (found[1, 2] / found[1, 0]).item() == pytest.approx(middle / edge, rel=1e-5)


def test_a_bump_fills_its_window_and_nothing_else() -> None:
    x = torch.zeros(30, 1, 9, 9)
    draws = torch.rand(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sides, turned = torch.tensor([3, 5, 7]).repeat(10), torch.arange(30) % 2 == 0
    found = bump(draws, sides, turned, x)
    assert torch.equal((found != 0).float(), windows(draws, sides, x))
    top = found[1, 0][found[1, 0].abs().sum(1) > 0][:, found[1, 0].abs().sum(0) > 0]
    torch.testing.assert_close(top, pattern(5))
    left = found[4, 0][found[4, 0].abs().sum(1) > 0][:, found[4, 0].abs().sum(0) > 0]
    torch.testing.assert_close(left, pattern(5).T)


def test_tiles_cover_the_image() -> None:
    x = torch.zeros(2, 3, 28, 28)
    found = start_tiles(x, torch.rand(2, 3 * 28 * 28, dtype=torch.float64))
    assert bool((found[:, :, :25, :25] != 0).all())
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("to", "source"), [((1, 2), (3, 0)), ((0, 3), (2, 2))])
def test_one_change_is_that_of_the_paper(
    to: tuple[int, int], source: tuple[int, int], turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = 0.3 + 0.4 * torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = torch.rand(1, 2, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64) - 0.5
    side, eps = torch.tensor([3]), 0.2
    # Draws that fall into the wanted places (four are possible each way) and give the signs -1 and +1.
    corners = [(place + 0.5) / 4 for place in (*to, *source)]
    draws = torch.tensor([[*corners, 0.9 if turned else 0.1, 0.2, 0.8]], dtype=torch.float64)

    linf = Square(eps=eps)
    state = linf.begin(nn.Sequential(nn.Flatten(), nn.Linear(72, 2)).double(), x, torch.tensor([0]), generators(1))
    state["x_best"] = x + 0.6 * eps * noise
    expected = reference.linf_change(x[0], state["x_best"][0], to, 3, [-1, 1], eps)
    monkeypatch.setattr("robustill.attacks.square.uniform", lambda key, step, count: draws.expand(len(key), count))
    monkeypatch.setattr(Square, "_side", lambda self, left, x: side.expand(len(left)))
    torch.testing.assert_close(linf._squares(state, 1)[0, 0], expected)

    shape = pattern(3).double().T if turned else pattern(3).double()
    for scale in (0.02, 0.2):
        state["x_best"] = x + scale * noise / noise.norm()
        expected = reference.l2_change(x[0], state["x_best"][0], to, source, shape, [-1, 1], eps)
        found = Square(eps=eps, norm="L2")._moved(state, draws, side)[0]
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


def test_windows_drawn_ahead_are_those_of_each_query() -> None:
    attack, x = Square(eps=0.1, queries=200), torch.full((3, 2, 6, 8), 0.5)
    model = nn.Sequential(nn.Flatten(), nn.Linear(96, 3))
    state = attack.begin(model, x, torch.tensor([0, 1, 2]), generators(3))
    for query in range(200):
        draws, before = uniform(state["key"], state["left"], 7), state["x_best"].clone()
        inside = windows(draws[:, :2], attack._side(state["left"], x), x)
        signs = torch.where(draws[:, 5:] < 0.5, -1.0, 1.0)[:, :, None, None]
        attack.advance(model, state)
        expected = attack.project(state, (before + 2 * 0.1 * signs * inside).float())
        torch.testing.assert_close(state["x_adv"], expected, rtol=0, atol=1e-6, msg=f"query {query}")


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.08), ("L2", 0.4)])
@pytest.mark.parametrize("rows", [30, 90, 1000])
def test_asking_ahead_changes_nothing(norm: str, eps: float, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network(), images(10)
    y = labelled(model, x)
    attack = Square(eps=eps, norm=norm, queries=150)  # type: ignore[arg-type]
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    fallen, points = run_search(attack, model, x, y, generators(10))
    one_by_one = len(calls)
    monkeypatch.setattr("robustill.attacks.square._EAGER", 20)
    monkeypatch.setattr("robustill.attacks.square._ROWS", rows)
    calls.clear()
    again, others = run_search(attack, model, x, y, generators(10))
    assert torch.equal(again, fallen)
    torch.testing.assert_close(others, points, rtol=0, atol=1e-12)
    assert 0 < int(fallen.sum()) < 10
    assert len(calls) < 0.7 * one_by_one


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.1), ("L2", 0.5)])
def test_points_are_in_the_ball_and_say_what_they_are(norm: str, eps: float) -> None:
    model, x = network(dtype=torch.float32), images(24, dtype=torch.float32)
    y = labelled(model, x)
    fallen, x_adv = run_search(Square(eps=eps, norm=norm, queries=60), model, x, y, generators(24))  # type: ignore[arg-type]
    delta = (x_adv.double() - x.double()).flatten(1)
    assert bool(((delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)) <= eps).all())
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert torch.equal(fallen, ~correct(model, x_adv, y))
    assert int(fallen.sum()) > 0


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_margin_never_gets_worse(norm: str) -> None:
    model, x, y = network().eval(), images(6), torch.zeros(6, dtype=torch.long)
    model[-1].bias.data[0] += 20  # type: ignore[union-attr, operator]
    attack = Square(eps=0.2, norm=norm, queries=80)  # type: ignore[arg-type]
    state = attack.begin(model, x, y, generators(6))
    first, values = state["best"].clone(), [state["best"].clone()]
    for _ in range(80):
        attack.advance(model, state)
        values.append(state["best"].clone())
        torch.testing.assert_close(margin(model(state["x_best"]), y), state["best"])
    assert all(bool((b >= a).all()) for a, b in itertools.pairwise(values))
    assert bool((values[-1] > first).all())
    assert bool((state["left"] == 0).all())


def test_a_linear_model_is_brought_to_the_corner() -> None:
    head = nn.Linear(36, 2).double()
    model, x = nn.Sequential(nn.Flatten(), head), 0.5 * torch.ones(1, 1, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        y, toward = model(x).argmax(1), head.weight[1] - head.weight[0]
        eps = 0.4 * float((model(x)[0, 0] - model(x)[0, 1]).abs() / toward.abs().sum())
        worst = model(x + eps * (toward if int(y) == 0 else -toward).sign().reshape(x.shape))
        x_adv = Square(eps=eps, queries=1500)(model, x, y)
        reached, clean, best = margin(model(x_adv), y), margin(model(x), y), margin(worst, y)
    assert ((reached - clean) / (best - clean)).item() > 0.97


@pytest.mark.parametrize("batch_size", [1, 5])
def test_verdicts_do_not_depend_on_the_batch(batch_size: int) -> None:
    model, x = network(), images()
    y = labelled(model, x)
    attack = Square(eps=0.08, queries=40)
    expected = run_search(attack, model, x, y, generators(12), batch_size=12)[0]
    assert 0 < int(expected.sum()) < 12
    assert torch.equal(run_search(attack, model, x, y, generators(12), batch_size=batch_size)[0], expected)


def test_a_row_goes_on_exactly_from_its_saved_state() -> None:
    model, x = network().eval(), images(5)
    y = labelled(model, x)
    attack = Square(eps=0.02, queries=30)
    whole = attack.begin(model, x, y, generators(5))
    for _ in range(12):
        attack.advance(model, whole)
    saved: State = {name: value[2:4].clone() for name, value in whole.items()}
    for _ in range(18):
        attack.advance(model, whole)
        attack.advance(model, saved)
    for name, value in saved.items():
        torch.testing.assert_close(value, whole[name][2:4], msg=name)


@pytest.mark.parametrize("change", [{"eps": -1.0}, {"queries": 0}, {"share": 0.0}, {"share": 1.5}, {"norm": "L1"}])
def test_impossible_settings_are_errors(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Square(**{"eps": 0.1, **change})  # type: ignore[arg-type]


def test_no_examples_are_no_error() -> None:
    nothing: Tensor = images(0)
    assert len(Square(eps=0.1)(network(), nothing, torch.zeros(0, dtype=torch.long))) == 0
