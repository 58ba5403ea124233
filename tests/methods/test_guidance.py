"""DGAD, SAAD and HAT: lessons that depend on what a teacher makes of each example."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import gradient
from robustill.losses import cross_entropy, entropy, kl_div
from robustill.methods import DGAD, HAT, RSLAD, SAAD, TRADES, AdaAD
from robustill.methods.dgad import corrected
from tests.methods.compare import agree, knowing, scene
from tests.methods.test_oracles import Counted, Recorded, far
from tests.methods.tiny import ATTACK, CLASSES, batch, conv, conv_bn, gradients, linear, teacher


class Watched(Recorded):
    """A network that keeps what it was given and counts the gradients that come back."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.inputs: list[Tensor] = []
        self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        self.inputs.append(x)
        logits = super().forward(x)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, _: Tensor) -> None:
        self.backwards += 1


def duo() -> tuple[nn.Module, nn.Module]:
    return conv(0).double(), teacher(1).double().eval()


def test_the_swap_keeps_the_probabilities_and_puts_the_label_first() -> None:
    z = 3 * torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(200) % 5
    top, fixed = z.argmax(1), corrected(z, y)
    before, after = z.softmax(1), fixed.softmax(1)
    torch.testing.assert_close(after.sum(1), before.sum(1), rtol=1e-14, atol=0)
    torch.testing.assert_close(after.sort(1).values, before.sort(1).values, rtol=1e-12, atol=0)
    assert torch.equal(fixed.argmax(1), y)
    others = torch.ones_like(z, dtype=torch.bool).scatter(1, y[:, None], False).scatter(1, top[:, None], False)
    assert torch.equal(fixed[others], z[others])
    assert torch.equal(fixed[top == y], z[top == y])
    assert int((top == y).sum()) not in (0, 200)
    equal = torch.zeros(3, 5)
    assert torch.equal(corrected(equal, torch.tensor([0, 2, 4])), equal)


@pytest.mark.parametrize("wrong", [0, 2, 6], ids=["none wrong", "some wrong", "all wrong"])
def test_dgad_teaches_at_x_where_its_teacher_is_wrong_and_at_the_adversarial_point_elsewhere(wrong: int) -> None:
    student, guide = duo()
    x, _, _ = scene()
    x_adv, y = 1 - x, guide(x).argmax(1)
    y[:wrong] = (y[:wrong] + 1) % CLASSES
    s_adv, s_nat = student(x_adv), student(x)
    total = kl_div(s_nat, corrected(guide(x), y).detach())[:wrong].sum()
    total = total + kl_div(s_adv, corrected(guide(x_adv), y).detach())[wrong:].sum()
    consistency = (s_adv.softmax(1) - s_nat.softmax(1)).square().sum() / (6 * CLASSES)
    loss = DGAD(student, guide, beta=0.7).outer(x, x_adv, y)
    agree(loss, total / 6 + 0.7 * consistency, student)
    assert loss.terms["teacher_wrong"].item() == pytest.approx(wrong / 6)
    assert (loss.terms["nat"] == 0).item() is (wrong == 0)
    assert (loss.terms["adv"] == 0).item() is (wrong == 6)


def test_the_mistakes_of_dgads_teacher_at_the_adversarial_point_are_corrected_too() -> None:
    student, guide = duo()
    x, _, _ = scene()
    x_adv, y = 1 - x, guide(x).argmax(1)
    assert (guide(x_adv).argmax(1) != y).any()
    loss = DGAD(student, guide, beta=0.0).outer(x, x_adv, y)
    assert abs(loss.total - kl_div(student(x_adv), guide(x_adv)).mean()) > 1e-2


def test_each_example_of_dgad_counts_once_whatever_the_batch() -> None:
    student, guide = duo()
    x, x_adv, y = scene(7)
    alone = [DGAD(student, guide).outer(x[k : k + 1], x_adv[k : k + 1], y[k : k + 1]).total for k in range(7)]
    agree(DGAD(student, guide).outer(x, x_adv, y), torch.stack(alone).mean(), student)


def test_the_consistency_of_dgad_pulls_on_both_sides() -> None:
    student, guide = duo()
    x, x_adv, y = scene()
    ours = (
        DGAD(student, guide, beta=50.0).outer(x, x_adv, y).total
        - DGAD(student, guide, beta=0.0).outer(x, x_adv, y).total
    )
    cut = 50 * (student(x_adv).softmax(1) - student(x).softmax(1).detach()).square().mean()
    assert ours.item() == pytest.approx(cut.item())
    assert far(gradients(ours, student), gradients(cut, student))


def test_the_legacy_form_of_dgad_multiplies_the_subsets_losses() -> None:
    student, guide = duo()
    x, x_adv, _ = scene()
    for wrong in (0, 2, 6):
        y = guide(x).argmax(1)
        y[:wrong] = (y[:wrong] + 1) % CLASSES
        first = kl_div(student(x), corrected(guide(x), y).detach())[:wrong]
        second = kl_div(student(x_adv), corrected(guide(x_adv), y).detach())[wrong:]
        expected = 0.5 * (first.sum() / 6 + (6 - wrong) / 6) * (second.mean() if wrong < 6 else 0.0)
        expected = expected + (student(x_adv).softmax(1) - student(x).softmax(1)).square().mean()
        agree(DGAD(student, guide, legacy_mnv2=True).outer(x, x_adv, y), expected, student)


def test_dgad_attacks_as_adaad_does() -> None:
    student, guide = duo()
    x, x_adv, y = scene()
    ours = gradient(DGAD(student, guide).inner(x, y), x_adv)
    torch.testing.assert_close(ours, gradient(AdaAD(student, guide).inner(x, y), x_adv), rtol=0, atol=0)


def weights(guide: nn.Module, x_adv: Tensor, *, order: float = 1.0, scale: float = 5.0) -> Tensor:
    p = guide(x_adv).softmax(1).detach()
    unsure = -(p * p.log()).sum(1) if order == 1 else (p**order).sum(1).log() / (1 - order)
    return scale * (unsure - unsure.min())


@pytest.mark.parametrize(("order", "beta"), [(1.0, 0.0), (2.0, 0.0), (0.5, 0.8)])
def test_saad_is_the_formula_of_its_card(order: float, beta: float) -> None:
    student, guide = duo()
    x, x_adv, y = scene()
    method = SAAD(student, guide, igdm=3.0, beta=beta, scale=4.0, order=order)
    method.begin_epoch(4, 1.0, 20)
    w, behind = weights(guide, x_adv, order=order, scale=4.0), x - (x_adv - x)
    adv = kl_div(student(x_adv), guide(x_adv))
    change = kl_div(student(x_adv) - student(behind), guide(x_adv) - guide(behind))
    routed = beta * (1 - w / w.max()) * kl_div(student(x), guide(x))
    agree(method.outer(x, x_adv, y), (w * (adv + 3 * 0.25 * change) + routed).mean(), student)


def test_saad_gives_the_surest_example_nothing_and_all_others_by_their_distance_to_it() -> None:
    student, guide = duo()
    x, x_adv, y = scene()
    found = SAAD(student, guide).outer(x, x_adv, y).per_example
    surest = int(entropy(guide(x_adv)).argmin())
    assert found[surest] == 0
    assert (found > 0).sum() == 5
    fewer = [k for k in range(6) if k != surest]
    rest = SAAD(student, guide).outer(x[fewer], x_adv[fewer], y[fewer]).per_example
    assert (rest == 0).sum() == 1, "the weights are relative to the batch"
    assert bool((rest <= found[fewer]).all())


def test_a_batch_of_one_or_of_equal_images_teaches_saad_nothing_but_the_clean_term() -> None:
    student, guide = duo()
    x, x_adv, y = scene()
    one, same = ([t[:1] for t in (x, x_adv, y)], [t[:1].repeat_interleave(4, 0) for t in (x, x_adv, y)])
    for points in (one, same):
        total = SAAD(student, guide).outer(*points).total
        assert total == 0
        assert all(slope.abs().max() == 0 for slope in gradients(total, student))
        clean = kl_div(student(x[:1]), guide(x[:1]))
        agree(SAAD(student, guide, beta=0.8).outer(*points), 0.8 * clean.mean(), student)


def test_the_order_of_the_entropy_tends_to_shannons() -> None:
    student, guide = duo()
    x, x_adv, y = scene()
    totals = [SAAD(student, guide, order=order).outer(x, x_adv, y).total.item() for order in (1.0, 1.1, 1.001, 0.999)]
    gaps = [abs(total - totals[0]) for total in totals[1:]]
    assert gaps[0] > 20 * max(gaps[1:]) > 0
    assert totals[2] == pytest.approx(totals[0], rel=1e-2)


def test_saads_attack_without_the_linear_term_has_a_fixed_clean_target() -> None:
    student, guide = duo()
    x, x_adv, y = scene()
    method, plain = SAAD(student, guide, lam=0.0), RSLAD(student, guide)
    torch.testing.assert_close(method.inner(x, y)(x_adv), plain.inner(x, y)(x_adv), rtol=0, atol=0)
    ours, theirs = (gradient(m.inner(x, y), x_adv) for m in (method, plain))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_saads_attack_moves_the_labels_logit_alone_and_differentiates_it(lam: float) -> None:
    student, guide = conv(0).double(), linear(1).double()
    x, x_adv, y = scene()

    def target(points: Tensor) -> Tensor:
        # A linear teacher is its own linear model.
        label = nn.functional.one_hot(y, CLASSES)
        return guide(x) + lam * label * (guide(points) - guide(x))

    objective = SAAD(student, guide, lam=lam).inner(x, y)
    torch.testing.assert_close(objective(x_adv), kl_div(student(x_adv), target(x_adv)))
    ours = gradient(objective, x_adv)
    torch.testing.assert_close(ours, gradient(lambda p: kl_div(student(p), target(p)), x_adv))
    assert far([ours], [gradient(lambda p: kl_div(student(p), target(p).detach()), x_adv)])


def test_saad_differentiates_its_teacher_once_per_attack_and_adaad_in_every_step() -> None:
    x, _, y = scene()
    for cls, backwards, forwards in ((SAAD, 1, 1), (AdaAD, ATTACK.steps, ATTACK.steps)):
        watched = Watched(teacher(1).double())
        method = cls(conv(0).double(), watched, attack=ATTACK).train()
        method.perturb(x, y)
        assert (watched.backwards, len(watched.inputs)) == (backwards, forwards)
        assert all(weight.grad is None for weight in watched.parameters())


def test_saad_looks_behind_x_without_clipping() -> None:
    student = Watched(conv(0).double())
    x, _, y = scene()
    x_adv = (x + 0.1).clamp(0, 1)
    SAAD(student, teacher(1).double()).outer(x, x_adv, y)
    seen = {len(points[points < 0]) > 0 for points in student.inputs}
    assert seen == {True, False}
    assert len(student.inputs) == 3


def test_hat_without_helpers_is_trades_with_its_own_weight() -> None:
    student, guide = duo()
    x, x_adv, y = scene()
    agree(HAT(student, guide, gamma=0.0).outer(x, x_adv, y), TRADES(student, beta=2.5).outer(x, x_adv, y), student)


@pytest.mark.parametrize("h", [1.0, 2.0, 3.5])
def test_the_helpers_of_hat_lie_beyond_the_ball_and_bear_the_clean_networks_label(h: float) -> None:
    student, guide = Watched(conv(0).double()), Counted(knowing(1).double())
    x, _, y = scene()
    x_adv = x.roll(1, dims=2)
    label = knowing(1).double()(x_adv).argmax(1)
    assert (label != y).any()
    assert (label != knowing(1).double()(x).argmax(1)).any()
    loss = HAT(student, guide, h=h).outer(x, x_adv, y)
    assert guide.calls == 1
    helper = student.inputs[2]
    torch.testing.assert_close(helper, x_adv if h == 1 else x + h * (x_adv - x))
    assert bool((helper.min() < 0) & (helper.max() > 1)) is (h > 1)
    net = student.network
    expected = cross_entropy(net(x), y) + 2.5 * kl_div(net(x_adv), net(x)) + 0.5 * cross_entropy(net(helper), label)
    agree(loss, expected.mean(), net)


def test_hat_attacks_a_clean_prediction_computed_once() -> None:
    student, guide = Counted(conv(0).double()), Counted(teacher(1).double())
    x, x_adv, y = scene()
    method = HAT(student, guide, attack=ATTACK).train()
    torch.testing.assert_close(method.inner(x, y)(x_adv), kl_div(student(x_adv), student(x)))
    student.calls = 0
    method.perturb(x, y)
    assert (student.calls, guide.calls) == (ATTACK.steps + 1, 0)


def test_batch_norm_sees_hats_clean_adversarial_and_helper_images_in_this_order() -> None:
    student = conv_bn(0)
    expected = copy.deepcopy(student).train()
    x, y = batch()
    x_adv = (x + 0.1).clamp(0, 1)
    HAT(student, teacher(1)).train().outer(x, x_adv, y)
    for points in (x, x_adv, x + 2 * (x_adv - x)):
        expected(points)
    found = dict(student.named_buffers())
    assert all(torch.equal(value, found[name]) for name, value in expected.named_buffers())
