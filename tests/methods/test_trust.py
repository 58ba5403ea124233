"""IAD, AdaIAD, AKD and AKD2: whom the student trusts at x', from when on, and what follows at the ends of the scale."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import gradient
from robustill.losses import cross_entropy, entropy, kl_div, probabilities
from robustill.methods import AKD, AKD2, IAD, PGDAT, AdaAD, AdaIAD
from robustill.methods.base import AdversarialMethod
from tests.methods.compare import agree, knowing, scene
from tests.methods.test_oracles import Counted, Recorded, far
from tests.methods.tiny import conv, conv_bn, gradients, teacher

Build = Callable[..., AdversarialMethod]
Trio = tuple[nn.Module, nn.Module, nn.Module]
Points = tuple[Tensor, Tensor, Tensor]

# The three methods with a trust, built alike: (student, teacher, clean teacher, settings).
TRUSTING: dict[str, Build] = {
    "iad1": lambda s, t, n, **settings: IAD(s, t, **settings),
    "iad2": lambda s, t, n, **settings: IAD(s, t, n, **settings),
    "adaiad": lambda s, t, n, **settings: AdaIAD(s, t, **settings),
}
every_trust = pytest.mark.parametrize("name", TRUSTING)


def trio() -> Trio:
    return conv(0).double(), teacher(1).double(), teacher(2).double()


def trust(network: nn.Module, x_adv: Tensor, y: Tensor, beta: float) -> Tensor:
    """p_T(x')_y^beta, with nothing of its graph."""
    return network.eval()(x_adv).softmax(1)[torch.arange(len(y)), y].detach() ** beta


@pytest.mark.parametrize("t", [1.0, 4.0])
@pytest.mark.parametrize("net", [conv, conv_bn])
def test_form_two_is_akd2_before_its_warm_up_ends(net: Callable[[int], nn.Module], t: float) -> None:
    _, robust, clean = trio()
    student = net(0).double()
    x, x_adv, y = scene()
    plain = AKD2(student, robust, clean, lam1=0.4, lam2=0.3, temperature=t).train()
    method = IAD(student, robust, clean, alpha1=0.4, alpha2=0.3, temperature=t, begin=3).train()
    for epoch in range(3):
        method.begin_epoch(epoch, 1.0, 10)
        agree(method.outer(x, x_adv, y), plain.outer(x, x_adv, y), student)
    method.begin_epoch(3, 1.0, 10)
    assert abs(method.outer(x, x_adv, y).total.item() - plain.outer(x, x_adv, y).total.item()) > 1e-4


@every_trust
def test_the_trust_starts_with_its_epoch(name: str) -> None:
    x, x_adv, y = scene()
    method = TRUSTING[name](*trio(), begin=60, beta=0.5)
    assert method.outer(x, x_adv, y).terms["trust"] == 1
    for epoch, sure in ((0, True), (59, True), (60, False), (199, False), (59, True)):
        method.begin_epoch(epoch, 1.0, 200)
        terms = method.outer(x, x_adv, y).terms
        assert (terms["trust"].item() == 1) is sure
        assert (terms["own"].item() == 0) is sure
    expected = trust(teacher(1).double(), x_adv, y, 0.5).mean().item()
    assert TRUSTING[name](*trio(), begin=0, beta=0.5).outer(x, x_adv, y).terms["trust"].item() == pytest.approx(
        expected
    )


def test_the_default_warm_up_of_the_forms_without_a_clean_teacher_is_60_epochs() -> None:
    x, x_adv, y = scene()
    for method in (IAD(*trio()[:2]), AdaIAD(*trio()[:2])):
        found = []
        for epoch in (59, 60):
            method.begin_epoch(epoch, 1.0, 200)
            found.append(method.outer(x, x_adv, y).terms["trust"].item())
        assert found[0] == 1
        assert 0 < found[1] < 1


@every_trust
@pytest.mark.parametrize("how", ["a sure teacher", "beta 0"])
def test_full_trust_kills_the_self_term(name: str, how: str) -> None:
    student, robust, clean = trio()
    x, x_adv, y = scene()
    settings = {"beta": 0.1} if how == "a sure teacher" else {"beta": 0.0}
    if how == "a sure teacher":
        robust = knowing(scale=1000.0).double()
        assert bool((robust(x_adv).argmax(1) == y).all())
    method = TRUSTING[name](student, robust, clean, begin=0, **settings)
    waiting = TRUSTING[name](student, robust, clean, begin=1, **settings)
    loss = method.outer(x, x_adv, y)
    assert loss.terms["trust"] == 1
    assert loss.terms["own"] == 0
    agree(loss, waiting.outer(x, x_adv, y), student)


@every_trust
def test_a_teacher_that_is_surely_wrong_leaves_the_student_to_itself(name: str) -> None:
    student, _, clean = trio()
    x, x_adv, y = scene()
    terms = TRUSTING[name](student, knowing(1, scale=1e6).double(), clean, begin=0).outer(x, x_adv, y).terms
    assert terms["trust"] < 1e-9
    assert terms["own"].item() == pytest.approx(kl_div(student(x_adv), student(x)).mean().item())


def by_hand(name: str, nets: Trio, points: Points, *, cut: bool = False, weigh: bool = False) -> Tensor:
    """The outer loss at t = 3, beta = 0.5 with a constant trust; `cut` detaches the target of the self term."""
    (student, robust, clean), (x, x_adv, y), t = nets, points, 3.0
    a = trust(robust, x_adv, y, 0.5)
    adv, nat = student(x_adv), student(x)
    own = (1 - a) * kl_div(adv, nat.detach() if cut else nat)
    soft = t**2 * kl_div(adv, robust.eval()(x if name == "iad1" else x_adv).detach(), temperature=t)
    if name == "iad2":
        other = t**2 * kl_div(adv, clean.eval()(x_adv).detach(), temperature=t)
        return (0.25 * cross_entropy(adv, y) + 0.5 * (a * soft + t**2 * own) + 0.25 * other).mean()
    return (0.8 * ((a * soft if weigh else soft) + own) + 0.2 * cross_entropy(nat, y)).mean()


SETTINGS: dict[str, dict[str, float]] = {
    "iad1": {"temperature": 3.0, "beta": 0.5, "begin": 0, "alpha": 0.8},
    "iad2": {"temperature": 3.0, "beta": 0.5, "begin": 0},
    "adaiad": {"temperature": 3.0, "beta": 0.5, "begin": 0, "alpha": 0.8},
}


@every_trust
def test_the_trust_is_a_constant_weight_and_the_self_term_pulls_on_both_sides(name: str) -> None:
    nets, (x, _, y) = trio(), scene()
    points = (x, 1 - x, y)
    ours = TRUSTING[name](*nets, **SETTINGS[name]).outer(*points).total
    agree(ours, by_hand(name, nets, points), nets[0])
    cut = by_hand(name, nets, points, cut=True)
    assert ours.item() == pytest.approx(cut.item())
    assert far(gradients(ours, nets[0]), gradients(cut, nets[0]))


@every_trust
def test_no_gradient_reaches_a_teacher_through_the_trust(name: str) -> None:
    student, robust, clean = trio()
    x, x_adv, y = scene()
    for network in (robust, clean):
        network.requires_grad_(True)
    loss = TRUSTING[name](student, robust, clean, **SETTINGS[name]).outer(x, x_adv, y)
    loss.total.backward()
    assert all(w.grad is None for network in (robust, clean) for w in network.parameters())
    assert all(w.grad is not None and w.grad.abs().sum() > 0 for w in student.parameters())


def test_form_one_weighs_its_teacher_by_the_trust_only_when_asked_to() -> None:
    nets, points = trio(), scene()
    agree(
        IAD(*nets[:2], weigh_teacher=True, **SETTINGS["iad1"]).outer(*points),  # type: ignore[arg-type]
        by_hand("iad1", nets, points, weigh=True),
        nets[0],
    )
    assert by_hand("iad1", nets, points, weigh=True) < by_hand("iad1", nets, points) - 1e-3


def test_the_teacher_of_form_one_teaches_at_x_and_is_trusted_at_the_adversarial_point() -> None:
    x, x_adv, y = scene()
    moved = (1 - x).clamp(0, 1)
    for name, teaches_at_x in (("iad1", True), ("iad2", False), ("adaiad", False)):
        usual = TRUSTING[name](*trio(), begin=0).outer(x, x_adv, y).terms
        other = TRUSTING[name](*trio(), begin=0).outer(moved, x_adv, y).terms
        assert usual["trust"] == other["trust"]
        assert (usual["soft"] != other["soft"]).item() is teaches_at_x


@pytest.mark.parametrize(("name", "calls"), [("iad1", 2), ("iad2", 1), ("adaiad", 1)])
def test_teachers_are_asked_once_per_image(name: str, calls: int) -> None:
    student, robust, clean = trio()
    asked, other = Counted(robust), Counted(clean)
    TRUSTING[name](student, asked, other, begin=0).outer(*scene())
    assert asked.calls == calls
    assert other.calls == (name == "iad2")


@every_trust
def test_the_student_runs_in_the_released_order(name: str) -> None:
    student, robust, clean = trio()
    recorded = Recorded(student)
    x, x_adv, y = scene()
    TRUSTING[name](recorded, robust, clean, begin=0).outer(x, x_adv, y)
    order = (x, x_adv) if name == "adaiad" else (x_adv, x)
    torch.testing.assert_close(recorded.outputs, [student(each) for each in order], rtol=0, atol=0)


def test_adaiad_before_its_warm_up_ends_is_adaad_at_the_temperature() -> None:
    student, robust, _ = trio()
    x, x_adv, y = scene()
    method = AdaIAD(student, robust, temperature=1.0)
    method.begin_epoch(59, 1.0, 200)
    agree(method.outer(x, x_adv, y), AdaAD(student, robust).outer(x, x_adv, y), student)
    tempered = AdaIAD(student, robust)
    agree(tempered.outer(x, x_adv, y), 900 * kl_div(student(x_adv), robust(x_adv), temperature=30.0).mean(), student)


def test_adaiad_attacks_through_its_teacher() -> None:
    student, robust, _ = trio()
    x, x_adv, y = scene()
    ours = gradient(AdaIAD(student, robust).inner(x, y), x_adv)
    torch.testing.assert_close(ours, gradient(lambda p: kl_div(student(p), robust(p)), x_adv))
    assert far([ours], [gradient(lambda p: kl_div(student(p), robust(p).detach()), x_adv)])


HARD: dict[str, Build] = {
    "iad1": lambda s, t, n: IAD(s, t),
    "iad2": lambda s, t, n: IAD(s, t, n),
    "akd": lambda s, t, n: AKD(s, t),
    "akd2": lambda s, t, n: AKD2(s, t, n),
}


@pytest.mark.parametrize("name", HARD)
def test_the_adversary_maximises_the_cross_entropy_of_the_label(name: str) -> None:
    student, robust, clean = trio()
    x, x_adv, y = scene()
    torch.testing.assert_close(HARD[name](student, robust, clean).inner(x, y)(x_adv), cross_entropy(student(x_adv), y))


def test_akd_without_its_teacher_is_adversarial_training() -> None:
    student, robust, _ = trio()
    x, x_adv, y = scene()
    agree(AKD(student, robust, lam=0.0).outer(x, x_adv, y), PGDAT(student).outer(x, x_adv, y), student)


def test_akd_with_its_teacher_alone_has_the_gradient_of_the_divergence() -> None:
    student, robust, _ = trio()
    x, x_adv, y = scene()
    total = AKD(student, robust, lam=1.0).outer(x, x_adv, y).total
    target = robust(x_adv)
    agree(total, (kl_div(student(x_adv), target) + entropy(target)).mean(), student)
    assert total > kl_div(student(x_adv), target).mean() + 1e-2
    torch.testing.assert_close(
        gradients(total, student), gradients(kl_div(student(x_adv), target).mean(), student), rtol=1e-7, atol=1e-11
    )


def test_akd_is_linear_between_its_ends() -> None:
    student, robust, _ = trio()
    x, x_adv, y = scene()
    ends = [AKD(student, robust, lam=lam).outer(x, x_adv, y).total for lam in (0.0, 1.0)]
    agree(AKD(student, robust, lam=0.3).outer(x, x_adv, y), 0.7 * ends[0] + 0.3 * ends[1], student)


def test_several_teachers_of_akd_give_the_mean_of_their_probabilities() -> None:
    student, first, second = trio()
    x, x_adv, y = scene()
    total = AKD(student, [first, second], lam=1.0, temperature=2.0).outer(x, x_adv, y).total
    target = (probabilities(first(x_adv), temperature=2.0) + probabilities(second(x_adv), temperature=2.0)) / 2
    agree(total, -(target * student(x_adv).log_softmax(1)).sum(1).mean(), student)
    logits = ((first(x_adv) + second(x_adv)) / 4).softmax(1)
    assert abs(total + (logits * student(x_adv).log_softmax(1)).sum(1).mean()) > 1e-3


def test_akd_shows_its_teachers_what_it_is_told_to() -> None:
    student, robust, _ = trio()
    x, x_adv, y = scene()
    for clean_target, shown in ((False, x_adv), (True, x)):
        total = AKD(student, robust, lam=1.0, clean_target=clean_target).outer(x, x_adv, y).total
        agree(total, -(robust(shown).softmax(1) * student(x_adv).log_softmax(1)).sum(1).mean(), student)


def test_akd2_without_its_teachers_is_adversarial_training() -> None:
    student, robust, clean = trio()
    x, x_adv, y = scene()
    plain = PGDAT(student).outer(x, x_adv, y)
    agree(AKD2(student, robust, clean, lam1=0.0, lam2=0.0).outer(x, x_adv, y), plain, student)


@pytest.mark.parametrize(("lam1", "lam2"), [(1.0, 0.0), (0.0, 1.0)])
def test_each_teacher_of_akd2_sees_the_adversarial_images_at_its_temperature(lam1: float, lam2: float) -> None:
    student, robust, clean = trio()
    x, x_adv, y = scene()
    total = AKD2(student, robust, clean, lam1=lam1, lam2=lam2, temperature=3.0).outer(x, x_adv, y).total
    guide = robust if lam1 else clean
    agree(total, 9 * kl_div(student(x_adv), guide(x_adv), temperature=3.0).mean(), student)
