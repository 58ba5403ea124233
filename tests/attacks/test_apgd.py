"""APGD against its paper's algorithm in a loop, and what every search promises."""

import copy

import pytest
import torch
from torch import nn

from robustill.attacks import APGD, PGD, correct, run_search
from robustill.attacks.rows import State
from robustill.errors import InputError
from robustill.losses import cross_entropy, dlr_targeted
from tests.attacks.rugged import generators, images, labelled, network
from tests.reference import apgd as reference


@pytest.mark.parametrize("steps", [7, 30, 100])
def test_it_follows_the_papers_algorithm(steps: int) -> None:
    model, x, y = network().eval(), images(4), torch.zeros(4, dtype=torch.long)
    # So sure of class 0 that nothing falls and the search runs to its end, over a rugged landscape.
    model[-1].bias.data[0] += 20  # type: ignore[union-attr, operator]
    attack = APGD(eps=0.2, steps=steps)
    fallen, found = run_search(attack, model, x, y, generators(4), batch_size=1)
    assert not fallen.any()
    for i in range(4):
        start = attack.begin(model, x[i : i + 1], y[i : i + 1], [torch.Generator().manual_seed(i)])["x_adv"]
        best, value = reference.apgd(
            lambda point, i=i: cross_entropy(model(point), y[i : i + 1]).sum(), x[i : i + 1], start, 0.2, steps
        )
        torch.testing.assert_close(found[i : i + 1], best, rtol=0, atol=1e-9)
        assert cross_entropy(model(found[i : i + 1]), y[i : i + 1]).item() == pytest.approx(value, rel=1e-9)


def test_windows_are_those_of_the_paper() -> None:
    assert reference.windows(100)[:8] == [22, 19, 16, 13, 10, 7, 6, 6]


@pytest.mark.parametrize("loss", ["ce", "dlr", "ce-targeted", "dlr-targeted"])
@pytest.mark.parametrize(("norm", "eps"), [("Linf", 0.1), ("L2", 0.4)])
def test_points_are_in_the_ball_and_say_what_they_are(norm: str, eps: float, loss: str) -> None:
    model, x = network(dtype=torch.float32), images(dtype=torch.float32)
    y = labelled(model, x)
    fallen, x_adv = run_search(APGD(eps=eps, norm=norm, loss=loss, steps=20), model, x, y, generators(len(x)))  # type: ignore[arg-type]
    delta = (x_adv.double() - x.double()).flatten(1)
    size = delta.abs().amax(1) if norm == "Linf" else delta.norm(dim=1)
    assert bool((size <= eps).all())
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert torch.equal(fallen, ~correct(model, x_adv, y))
    assert int(fallen.sum()) > 0


def test_a_linear_model_is_attacked_to_the_corner() -> None:
    head = nn.Linear(36, 2).double()
    model = nn.Sequential(nn.Flatten(), head)
    x = 0.5 * torch.ones(3, 1, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        logits, toward = model(x)[0], head.weight[1] - head.weight[0]
    y = logits.argmax().expand(3)
    # Less than half of what would change the class: nothing falls, and the best point is the corner.
    eps = 0.4 * float((logits[0] - logits[1]).abs() / toward.abs().sum())
    ascent = (toward if int(y[0]) == 0 else -toward).sign().reshape(1, 1, 6, 6)
    torch.testing.assert_close(APGD(eps=eps, steps=20)(model, x, y), x + eps * ascent)


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_verdicts_do_not_depend_on_the_batch(batch_size: int) -> None:
    model, x = network(), images()
    y = labelled(model, x)
    attack = APGD(eps=0.05, steps=25)
    expected = run_search(attack, model, x, y, generators(12), batch_size=12)
    found = run_search(attack, model, x, y, generators(12), batch_size=batch_size)
    assert 0 < int(expected[0].sum()) < 12
    # Points may differ by the rounding of a convolution over another batch, amplified by signs.
    assert torch.equal(found[0], expected[0])


def test_it_is_no_weaker_than_pgd_with_as_many_steps() -> None:
    model, x = network(), images(40)
    y = labelled(model, x)
    eps = 0.02
    pgd = PGD(eps=eps, step_size=eps / 4, steps=40)(lambda p: cross_entropy(model(p), y), x)
    ours, theirs = correct(model, APGD(eps=eps, steps=40)(model, x, y), y), correct(model, pgd, y)
    assert 0 < int(theirs.sum()) < 40
    assert int(ours.sum()) <= int(theirs.sum())


def test_targets_are_the_likeliest_wrong_classes_at_x() -> None:
    model, x = network(), images()
    y = labelled(model, x)
    ranks = []
    for target in (1, 2, 3, 4):
        state: State = APGD(eps=0.1, loss="ce-targeted", target=target).begin(model, x, y, generators(12))
        ranks.append(state["target"])
    order = model(x).argsort(1, descending=True)
    assert torch.equal(torch.stack(ranks, 1), order[:, 1:])
    with pytest.raises(InputError, match="no wrong class number 5 among 5 classes"):
        APGD(eps=0.1, loss="ce-targeted", target=5)(model, x, y)


def test_the_targeted_ratio_ignores_shift_and_scale() -> None:
    logits = torch.tensor([[4.0, 1.0, 0.5, 3.0, -1.0]], dtype=torch.float64)
    y, target = torch.tensor([0]), torch.tensor([3])
    expected = (3.0 - 4.0) / (4.0 - (1.0 + 0.5) / 2)
    for scale, shift in ((1.0, 0.0), (7.0, 3.0)):
        assert dlr_targeted(scale * logits + shift, y, target).item() == pytest.approx(expected)
    with pytest.raises(InputError, match="at least 4 classes, found 3"):
        dlr_targeted(logits[:, :3], y, torch.tensor([1]))


def test_modes_weights_and_gradients_are_left_alone() -> None:
    model = network().train()
    x, y = images(), torch.zeros(12, dtype=torch.long)
    before = copy.deepcopy(model.state_dict())
    APGD(eps=0.1, steps=5)(model, x, y)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


def test_one_generator_decides_all_starts() -> None:
    model, x = network(), images()
    y = labelled(model, x)
    found = [APGD(eps=0.004, steps=3)(model, x, y, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize("change", [{"eps": -1.0}, {"steps": 0}, {"loss": "cw"}, {"rho": 2.0}, {"target": 0}])
def test_impossible_settings_are_errors(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        APGD(**{"eps": 0.1, **change})  # type: ignore[arg-type]


def test_no_examples_are_no_error() -> None:
    fallen, x_adv = run_search(APGD(eps=0.1), network(), images(0), torch.zeros(0, dtype=torch.long), [])
    assert len(fallen) == len(x_adv) == 0
