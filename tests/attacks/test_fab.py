"""FAB and the step to a plane, against bisection and against models whose boundary is known."""

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import FAB, correct, plane, run_search
from robustill.attacks.plane import step_to_plane
from robustill.errors import InputError
from tests.attacks.rugged import generators, images, labelled, network
from tests.reference import fab as reference


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0, 100.0])
def test_a_step_to_a_plane_is_the_shortest_inside_the_box(norm: str, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    t = torch.rand(8, 7, generator=generator, dtype=torch.float64)
    w = torch.randn(8, 7, generator=generator, dtype=torch.float64)
    w[0, 2] = 0.0
    t[1, 3], t[2, 4] = 0.0, 1.0
    rise = scale * torch.randn(8, generator=generator, dtype=torch.float64)
    found, time = step_to_plane(t, w, rise, norm)  # type: ignore[arg-type]
    for factor in (0.3, 0.99, 1.0, 1.7, 50.0):
        # Wherever it begins, it ends at the same place.
        again, _ = step_to_plane(t, w, rise, norm, factor * time)  # type: ignore[arg-type]
        torch.testing.assert_close(again, found, rtol=0, atol=1e-12)
    for i in range(8):
        expected = torch.tensor(
            reference.bisected(t[i].tolist(), w[i].tolist(), rise[i].item(), norm), dtype=torch.float64
        )
        if scale < 100:
            torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-9)
        assert found[i, w[i] == 0].abs().sum() == 0
    assert bool(((t + found >= -1e-12) & (t + found <= 1 + 1e-12)).all())
    # Out of reach: every coordinate goes to the side of the box that helps.
    if scale == 100:
        far = rise.abs() > 20
        assert bool(far.any())
        torch.testing.assert_close(
            (t + found)[far], ((w * rise[:, None].sign()) > 0).double()[far].where(w[far] != 0, t[far])
        )


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_several_starts_share_a_plane(norm: str) -> None:
    generator = torch.Generator().manual_seed(0)
    t, w = torch.rand(2, 9, 7, generator=generator), torch.randn(9, 7, generator=generator)
    rise = torch.randn(2, 9, generator=generator)
    steps, times = step_to_plane(t, w, rise, norm)  # type: ignore[arg-type]
    for k in range(2):
        alone = step_to_plane(t[k], w, rise[k], norm)  # type: ignore[arg-type]
        torch.testing.assert_close((steps[k], times[k]), alone)


def test_what_cannot_arrive_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, move = [], plane._move
    monkeypatch.setattr(plane, "_move", lambda *all_: rounds.append(move(*all_)))
    t, w, rise = torch.rand(3, 50), torch.ones(3, 50), torch.tensor([0.5, torch.nan, 1e3])
    steps, _ = step_to_plane(t, w, rise, "Linf")
    assert len(rounds) < 10
    torch.testing.assert_close(steps[:1], step_to_plane(t[:1], w[:1], rise[:1], "Linf")[0])
    torch.testing.assert_close(t[2] + steps[2], torch.ones(50))


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_many_rows_are_done_in_parts(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = network().eval(), images(7)
    y = labelled(model, x)
    points = []
    for cached in (40_000, 2 * x[0].numel()):
        monkeypatch.setattr("robustill.attacks.fab._CACHED", cached)
        state = (attack := FAB(eps=1e-4, norm=norm)).begin(model, x, y, generators(7))  # type: ignore[arg-type]
        for _ in range(5):
            attack.advance(model, state)
        points.append((state["point"], state["times"]))
    torch.testing.assert_close(*points)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_it_follows_the_papers_algorithm(norm: str) -> None:
    model, x = network().eval(), images(3)
    y = labelled(model, x)
    attack = FAB(eps=1e-4, norm=norm, target=2, steps=12)  # type: ignore[arg-type]
    state = attack.begin(model, x, y, generators(3))
    paths = [reference.points(model, x[i : i + 1], int(y[i]), int(state["target"][i]), 12, norm) for i in range(3)]
    returned = 0
    for k in range(12):
        attack.advance(model, state)
        for i in range(3):
            torch.testing.assert_close(state["point"][i : i + 1], paths[i][k], rtol=0, atol=1e-7)
        crossed = (model(x + (state["point"] - x) / 0.9).argmax(1) != y) & (model(state["point"]).argmax(1) == y)
        returned += int(crossed.sum())
    assert returned > 0


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_distance_to_a_linear_boundary_is_found(norm: str) -> None:
    head = nn.Linear(36, 2).double()
    model, x = nn.Sequential(nn.Flatten(), head), 0.5 * torch.ones(1, 1, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        gap, toward = (model(x)[0, 0] - model(x)[0, 1]).abs(), (head.weight[1] - head.weight[0])
        y = model(x).argmax(1)
    distance = float(gap / (toward.abs().sum() if norm == "Linf" else toward.norm()))
    for share, falls in ((1.02, True), (0.98, False)):
        attack = FAB(eps=share * distance, norm=norm)  # type: ignore[arg-type]
        assert run_search(attack, model, x, y, generators(1))[0].tolist() == [falls]


@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.08), ("L2", 0.3)])
def test_points_are_in_the_ball_and_say_what_they_are(norm: str, eps: float) -> None:
    model, x = network(dtype=torch.float32), images(24, dtype=torch.float32)
    y = labelled(model, x)
    fallen, x_adv = run_search(FAB(eps=eps, norm=norm, steps=20), model, x, y, generators(24))  # type: ignore[arg-type]
    delta = (x_adv.double() - x.double()).flatten(1)
    assert bool(((delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)) <= eps).all())
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert torch.equal(fallen, ~correct(model, x_adv, y))
    assert torch.equal(x_adv[~fallen], x[~fallen])
    assert 0 < int(fallen.sum()) < 24


def test_more_steps_find_nearer_points() -> None:
    model, x = network(), images(40)
    y = labelled(model, x)
    fallen = [int(run_search(FAB(eps=0.012, steps=n), model, x, y, generators(40))[0].sum()) for n in (1, 5, 40)]
    assert fallen == sorted(fallen)
    assert fallen[0] < fallen[-1]


@pytest.mark.parametrize("batch_size", [1, 5])
def test_verdicts_do_not_depend_on_the_batch(batch_size: int) -> None:
    model, x = network(), images()
    y = labelled(model, x)
    expected = run_search(FAB(eps=0.04), model, x, y, generators(12), batch_size=12)[0]
    assert 0 < int(expected.sum()) < 12
    assert torch.equal(run_search(FAB(eps=0.04), model, x, y, generators(12), batch_size=batch_size)[0], expected)


def test_a_flat_model_is_no_error() -> None:
    class Flat(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([2.0, 1.0, 0.0]).expand(len(x), 3) + 0 * x.flatten(1)[:, :3]

    x = images(3, dtype=torch.float32)
    fallen, x_adv = run_search(FAB(eps=0.1, steps=5), Flat(), x, torch.zeros(3, dtype=torch.long), generators(3))
    assert not fallen.any()
    assert bool(x_adv.isfinite().all())


@pytest.mark.parametrize("change", [{"eps": -1.0}, {"steps": 0}, {"target": 0}, {"norm": "L1"}])
def test_impossible_settings_are_errors(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        FAB(**{"eps": 0.1, **change})  # type: ignore[arg-type]


def test_a_target_beyond_the_classes_is_an_error() -> None:
    with pytest.raises(InputError, match="no wrong class number 5 among 5 classes"):
        FAB(eps=0.1, target=5)(network(), images(), torch.zeros(12, dtype=torch.long))
