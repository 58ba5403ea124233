"""PeerAiD and LBGAT: networks that learn beside the student, and who is moved by which term."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD, eval_mode
from robustill.losses import cross_entropy, kl_div, squared_distance
from robustill.methods import LBGAT, PeerAiD
from tests.methods.compare import agree, knowing, reached, scene
from tests.methods.test_oracles import Counted, Recorded, far
from tests.methods.tiny import ATTACK, batch, conv, conv_bn, gradients, linear, teacher

SILENT = {"gamma1": 0.0, "gamma2": 0.0, "lam1": 0.0, "lam2": 0.0, "lam3": 0.0}


def duo() -> tuple[nn.Module, nn.Module]:
    return conv(0).double(), conv(1).double()


def moves(network: nn.Module) -> int:
    """Return how often batch norm took in a batch."""
    return int(dict(network.named_buffers())["1.num_batches_tracked"])


@pytest.mark.parametrize(
    ("term", "detach", "peer_moves", "student_moves"),
    [
        ("gamma1", False, True, False),
        ("gamma2", False, True, True),
        ("gamma2", True, True, False),
        ("lam1", False, False, True),
        ("lam2", False, False, True),
        ("lam3", False, False, True),
    ],
)
def test_each_term_of_peeraid_reaches_the_networks_of_the_table(
    term: str, detach: bool, peer_moves: bool, student_moves: bool
) -> None:
    student, peer = duo()
    method = PeerAiD(student, peer, **{**SILENT, term: 1.0}, detach_student_in_peer_loss=detach)
    total = method.outer(*scene()).total
    assert total > 1e-5
    assert reached(peer, total) is peer_moves
    assert reached(student, total) is student_moves


def test_peeraid_is_the_formula_of_its_table() -> None:
    student, peer = duo()
    x, x_adv, y = scene()
    weights = {"gamma1": 0.9, "gamma2": 0.7, "lam1": 0.5, "lam2": 0.3, "lam3": 0.2}
    for detach in (False, True):
        method = PeerAiD(
            student, peer, **weights, temperature=5.0, peer_temperature=2.0, detach_student_in_peer_loss=detach
        )
        a, b, n = peer(x_adv), student(x_adv), student(x)
        mutual = kl_div(a, b.detach() if detach else b, temperature=2.0)
        expected = 0.9 * cross_entropy(a, y) + 0.7 * 4 * mutual + 0.5 * cross_entropy(b, y)
        expected = expected + 0.3 * 25 * kl_div(b, a.detach(), temperature=5.0)
        expected = expected + 0.2 * 25 * kl_div(b, n, temperature=5.0)
        agree(method.outer(x, x_adv, y), expected.mean(), student, peer)


def test_the_agreement_of_the_student_with_itself_pulls_on_both_branches() -> None:
    student = Recorded(conv(0).double())
    total = PeerAiD(student, conv(1).double(), **{**SILENT, "lam3": 1.0}).outer(*scene()).total
    slopes = torch.autograd.grad(total, student.outputs)
    assert len(slopes) == 2
    assert all(slope.abs().max() > 1e-6 for slope in slopes)


# The released weights with means over classes, and ours, whose divergences are sums over classes.
RELEASED = [
    (10, {"gamma2": 0.1, "lam1": 0.0, "lam2": 1.0, "lam3": 1.0}, 5.0, {}),
    (100, {"gamma2": 1.0, "lam1": 0.0, "lam2": 1.0, "lam3": 1.0}, 5.0, {"gamma2": 0.01, "lam2": 0.01, "lam3": 0.01}),
    (
        200,
        {"gamma2": 100.0, "lam1": 0.035, "lam2": 35.0, "lam3": 20.0},
        1.0,
        {"gamma2": 0.5, "lam1": 0.035, "lam2": 0.175, "lam3": 0.1, "temperature": 1.0},
    ),
]


@pytest.mark.parametrize(("classes", "weights", "t", "ours"), RELEASED)
def test_weights_are_the_released_ones_over_the_number_of_classes(
    classes: int, weights: dict[str, float], t: float, ours: dict[str, float]
) -> None:
    student, peer = linear(0, classes).double(), linear(1, classes).double()
    x, x_adv, y = scene()
    a, b, n = peer(x_adv), student(x_adv), student(x)

    def elementwise(target: Tensor, z: Tensor, tau: float) -> Tensor:
        return nn.functional.kl_div((z / tau).log_softmax(1), (target / tau).softmax(1), reduction="none").mean()

    expected = cross_entropy(a, y).mean() + weights["gamma2"] * elementwise(b, a, 1.0)
    expected = expected + weights["lam1"] * cross_entropy(b, y).mean()
    expected = expected + weights["lam2"] * t**2 * elementwise(a.detach(), b, t)
    expected = expected + weights["lam3"] * t**2 * elementwise(n, b, t)
    agree(PeerAiD(student, peer, **ours).outer(x, x_adv, y), expected, student, peer)  # type: ignore[arg-type]


def test_the_adversary_of_peeraid_leaves_the_peers_clean_prediction_and_needs_no_label() -> None:
    student, peer = conv(0).double(), teacher(1).double()
    counted = Counted(peer)
    x, x_adv, y = scene()
    method = PeerAiD(student, counted, attack=ATTACK).train()
    with eval_mode(method):
        objective = method.inner(x, y)
        target = peer(x)
        torch.testing.assert_close(objective(x_adv), kl_div(student(x_adv), target))
        assert torch.equal(objective(x_adv), method.inner(x, (y + 1) % 3)(x_adv))
    counted.calls = 0
    before = copy.deepcopy(peer.state_dict())
    method.perturb(x, y)
    assert counted.calls == 1
    assert all(torch.equal(value, before[key]) for key, value in peer.state_dict().items())


@pytest.mark.parametrize(("compat", "adversarial"), [(False, 1), (True, 2)])
def test_bn_compat_moves_batch_norm_twice_at_the_adversarial_images_and_changes_no_loss(
    compat: bool, adversarial: int
) -> None:
    student, peer = conv_bn(0).double(), conv_bn(1).double()
    expected = copy.deepcopy(student).train()
    plain = PeerAiD(copy.deepcopy(student), copy.deepcopy(peer)).train()
    method = PeerAiD(student, peer, bn_compat=compat).train()
    x, x_adv, y = scene()
    loss, usual = method.outer(x, x_adv, y), plain.outer(x, x_adv, y)
    assert loss.total.item() == pytest.approx(usual.total.item(), rel=1e-12)
    torch.testing.assert_close(gradients(loss.total, student), gradients(usual.total, plain.student))
    for points in [x_adv] * adversarial + [x]:
        expected(points)
    found = dict(student.named_buffers())
    assert all(torch.equal(value, found[name]) for name, value in expected.named_buffers())
    assert (moves(student), moves(peer)) == (adversarial + 1, 1)


def test_the_peers_verdicts_are_those_of_three_different_attacks() -> None:
    student, peer = knowing(), knowing(1)
    method = PeerAiD(student, peer)
    x, y = batch(20)
    weak = PGD(eps=1e-4, step_size=1e-4, steps=1)
    found = method.probe(x, y, weak, torch.Generator().manual_seed(0))
    assert set(found) == {"peer_clean", "peer_on_its_own", "peer_on_the_students"}
    assert all(value.dtype == torch.bool and value.shape == (20,) for value in found.values())
    assert not any(bool(value.any()) for value in found.values())
    # A peer that looks at other pixels than the student: blind to the student's attack, not to its own.
    blind = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    for parameter in blind.parameters():
        nn.init.zeros_(parameter)
    columns = torch.zeros(20, 1, 4, 4)
    columns[torch.arange(20), 0, :, y] = 0.1
    with torch.no_grad():
        for column in range(3):
            blind[1].weight[column, column::4] = 10.0
    strong = PGD(eps=0.2, step_size=0.1, steps=4)
    found = PeerAiD(knowing(), blind).probe(columns, y, strong, torch.Generator().manual_seed(0))
    assert found["peer_clean"].all()
    assert not found["peer_on_its_own"].any()
    assert found["peer_on_the_students"].float().mean() > 0.2


def test_probing_leaves_no_trace() -> None:
    method = PeerAiD(conv_bn(0), conv_bn(1)).train()
    method.peer.get_submodule("1").eval()
    weights = list(method.parameters())
    for k, weight in enumerate(weights):
        weight.grad = torch.full_like(weight, float(k))
    x, y = batch()
    modes, state = [module.training for module in method.modules()], copy.deepcopy(method.state_dict())
    random, generator = torch.get_rng_state(), torch.Generator().manual_seed(3)
    first = method.probe(x, y, ATTACK, generator)
    assert [module.training for module in method.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(weight.grad is not None and bool((weight.grad == k).all()) for k, weight in enumerate(weights))
    assert all(torch.equal(value, state[key]) for key, value in method.state_dict().items())
    again = method.probe(x, y, ATTACK, torch.Generator().manual_seed(3))
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_the_boundary_of_lbgat_pulls_student_and_guide_alike() -> None:
    student, guide = Recorded(conv(0).double()), Recorded(conv(1).double())
    x, x_adv, y = scene()
    total = LBGAT(student, guide, beta=0.0).outer(x, x_adv, y).total
    (attacked, clean), (lead,) = student.outputs, guide.outputs
    expected = 2 * (attacked - lead) / attacked.numel()
    slopes = torch.autograd.grad(total, [attacked, clean, lead], retain_graph=True)
    torch.testing.assert_close(slopes[0], expected)
    assert slopes[1].abs().max() == 0
    (own,) = torch.autograd.grad(cross_entropy(lead, y).mean(), lead)
    torch.testing.assert_close(slopes[2], own - expected)


def test_the_divergence_of_lbgat_is_no_business_of_the_guide() -> None:
    student, guide = duo()
    x, x_adv, y = scene()
    without, weighed = (LBGAT(student, guide, beta=beta).outer(x, x_adv, y).total for beta in (0.0, 6.0))
    torch.testing.assert_close(gradients(weighed, guide), gradients(without, guide), rtol=0, atol=0)
    clean, attacked = student(x), student(x_adv)
    fixed = squared_distance(attacked, guide(x)).mean() + cross_entropy(guide(x), y).mean()
    agree(weighed, fixed + 6 * kl_div(attacked, clean).mean(), student, guide)
    assert far(gradients(weighed, student), gradients(fixed + 6 * kl_div(attacked, clean.detach()).mean(), student))


def test_lbgat_attacks_the_students_own_clean_prediction_even_without_its_term() -> None:
    student, guide = Counted(conv(0).double()), Counted(conv(1).double())
    x, x_adv, y = scene()
    method = LBGAT(student, guide, beta=0.0, attack=ATTACK).train()
    objective = method.inner(x, y)
    torch.testing.assert_close(objective(x_adv), kl_div(student(x_adv), student(x)))
    student.calls = 0
    method.perturb(x, y)
    assert student.calls == ATTACK.steps + 1
    assert guide.calls == 0


def test_the_guide_learns_from_clean_images_in_train_mode() -> None:
    student, guide = conv_bn(0).double(), conv_bn(1).double()
    expected = copy.deepcopy(guide).train()
    x, x_adv, y = scene()
    LBGAT(student, guide, beta=0.0).train().outer(x, x_adv, y)
    expected(x)
    found = dict(guide.named_buffers())
    assert all(torch.equal(value, found[name]) for name, value in expected.named_buffers())
    assert (moves(student), moves(guide)) == (2, 1)
