"""Methods that train by certified bounds: the bounds hold, of the network in eval mode, and training improves them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.certification import Bounder, confidence_difference_bounds
from robustill.errors import ModelError
from robustill.methods import IBP, CrownIBP, FaithfulDistillation, Method, Standard
from robustill.methods.worst_case import confidence_gap, worst_logits
from robustill.models import Frozen
from tests.methods.tiny import ATTACK, batch, conv, conv_bn, gradients, teacher

EPS = 0.07
METHODS = ("ibp", "crown-ibp")
FORMS = [{"joint": joint, "surrogate": surrogate} for joint in (False, True) for surrogate in (False, True)]


def points(x: Tensor, count: int = 300, norm: str = "Linf") -> Tensor:
    """Return images in the ball around each image and in [0, 1], corners among them, `[count, B, ...]`."""
    noise = 2 * torch.rand(count, *x.shape, generator=torch.Generator().manual_seed(4), dtype=x.dtype) - 1
    noise[::2] = noise[::2].sign()
    if norm == "L2":
        noise = noise / noise.flatten(2).norm(dim=2)[..., None, None, None]
    return (x + EPS * noise).clamp(0, 1)


@pytest.fixture
def student() -> nn.Module:
    """Return a network in train mode whose running statistics are not those of any batch."""
    network = conv_bn(5).double().train()
    with torch.no_grad():
        for seed in range(4):
            network(batch(12, seed=seed, dtype=torch.float64)[0] ** 2)
    return network


@pytest.mark.parametrize("method", METHODS)
def test_worst_logits_are_never_exceeded_and_almost_reached(student: nn.Module, method: str) -> None:
    x, y = batch(8, dtype=torch.float64)
    worst = worst_logits(student, x, y, EPS, method)
    quiet = copy.deepcopy(student).eval()
    logits = torch.stack([quiet(each) for each in points(x)])
    d = logits - logits.gather(2, y.expand(len(logits), -1)[..., None])
    assert bool((d <= worst + 1e-9).all())
    assert bool((worst.gather(1, y[:, None]) == 0).all())
    others = torch.ones_like(worst).scatter(1, y[:, None], 0).bool()
    slack = (worst - d.amax(0))[others] / (d.amax(0) - d.amin(0))[others]
    assert bool((slack > 0).all())
    assert slack.mean() < {"ibp": 3.0, "crown-ibp": 1.0}[method]


def test_linear_bounds_are_tighter_than_intervals(student: nn.Module) -> None:
    x, y = batch(8, dtype=torch.float64)
    loose, tight = (worst_logits(student, x, y, EPS, method) for method in METHODS)
    assert bool((tight <= loose + 1e-12).all())
    assert tight.mean() < loose.mean() - 0.01


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("forms", FORMS)
def test_no_gap_is_larger_than_certified(student: nn.Module, forms: dict[str, bool], method: str, norm: str) -> None:
    x, y = batch(8, dtype=torch.float64)
    other = Frozen(teacher(1).double())
    certified = confidence_gap(student, other, x, y, EPS, method, norm, **forms)
    quiet, near = copy.deepcopy(student).eval(), points(x, norm=norm)
    ours = torch.stack([quiet(each).softmax(1) for each in near])
    theirs = torch.stack([other.network(each if forms["joint"] else x).softmax(1) for each in near])
    gaps = (ours - theirs).abs().gather(2, y.expand(len(near), -1)[..., None]).squeeze(2)
    assert bool((gaps <= certified + 1e-9).all())
    assert bool((certified < 1).all())
    assert certified.mean() < gaps.amax(0).mean() + 0.5


@pytest.mark.parametrize("forms", FORMS[::2])
def test_at_radius_zero_the_gap_is_what_it_is(student: nn.Module, forms: dict[str, bool]) -> None:
    x, y = batch(8, dtype=torch.float64)
    other = Frozen(teacher(1).double())
    certified = confidence_gap(student, other, x, y, 0.0, "crown-ibp", **forms)
    quiet = copy.deepcopy(student).eval()
    gap = (quiet(x).softmax(1) - other(x).softmax(1)).abs().gather(1, y[:, None]).squeeze(1)
    torch.testing.assert_close(certified, gap, rtol=0, atol=1e-9)


@pytest.mark.parametrize("joint", [False, True])
def test_the_surrogate_is_the_larger_bound(student: nn.Module, joint: bool) -> None:
    x, y = batch(8, dtype=torch.float64)
    arguments = (student, Frozen(teacher(1).double()), x, y, EPS, "crown-ibp")
    plain, surrogate = (confidence_gap(*arguments, joint=joint, surrogate=how) for how in (False, True))
    assert bool((surrogate >= plain - 1e-9).all())


def test_the_joint_gap_is_the_certificate_of_the_pair(student: nn.Module) -> None:
    x, y = batch(8, dtype=torch.float64)
    network = teacher(1).double().eval()
    ours = confidence_gap(student, Frozen(network), x, y, EPS, "crown-ibp", joint=True)
    assert student.training
    box = confidence_difference_bounds(student.eval(), network, x, EPS, "crown-ibp", classes=y)
    torch.testing.assert_close(ours, torch.maximum(box.upper, -box.lower).squeeze(1))


def test_bounds_read_the_running_statistics_and_leave_them_and_the_mode() -> None:
    student = conv_bn(0).train()
    student[1].eval()  # type: ignore[index]
    modes, before = [module.training for module in student.modules()], copy.deepcopy(student.state_dict())
    x, y = batch(6)
    worst = worst_logits(student, x, y, EPS, "crown-ibp")
    assert [module.training for module in student.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in student.state_dict().items())
    # The image of another batch would change what batch statistics say, and nothing here.
    torch.testing.assert_close(worst_logits(student, x[:1], y[:1], EPS, "crown-ibp"), worst[:1])


def test_bounds_are_not_taken_in_half_precision() -> None:
    student, other = conv_bn(0).train(), Frozen(teacher(1))
    x, y = batch(6)
    found = []
    for enabled in (False, True):
        other(x)  # asked outside of autocast, so that its answer is not what differs
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            found.append(worst_logits(student, x, y, EPS, "crown-ibp"))
    assert found[1].dtype == torch.float32
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("forms", FORMS)
def test_the_teacher_gives_no_graph(forms: dict[str, bool]) -> None:
    student, other = conv_bn(0).train(), teacher(1)
    x, y = batch(6)
    certified = confidence_gap(student, Frozen(other), x, y, EPS, "crown-ibp", **forms)
    assert max(float(slope.abs().max()) for slope in gradients(certified.mean(), student)) > 1e-4
    for weight in student.parameters():
        weight.requires_grad_(False)
    assert not confidence_gap(student, Frozen(other), x, y, EPS, "crown-ibp", **forms).requires_grad


def trained(method: Method, steps: int = 60) -> nn.Module:
    """Train with plain SGD and return the student in eval mode."""
    optimizer = torch.optim.SGD(method.parameters(), lr=0.1)
    method.train()
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        method(*batch(24, seed=step)).total.backward()
        optimizer.step()
    return method.student.eval()


def certified_accuracy(network: nn.Module) -> float:
    x, y = batch(200, seed=999)
    with torch.no_grad():
        margins = Bounder(network, x, 0.15, "ibp").margins(y).upper[:, 0]
    return float((margins.scatter(1, y[:, None], -1).amax(1) < 0).float().mean())


@pytest.mark.parametrize("net", [conv, conv_bn])
@pytest.mark.parametrize("certify", [IBP, CrownIBP])
def test_certified_training_certifies_more(certify: type[IBP] | type[CrownIBP], net: object) -> None:
    assert callable(net)
    plain, ours = trained(Standard(net(0))), trained(certify(net(0), eps=0.15))
    assert certified_accuracy(ours) > certified_accuracy(plain) + 0.2


@pytest.mark.parametrize("certify", [lambda s: IBP(s, eps=0.15), lambda s: CrownIBP(s, eps=0.15, beta=1.0)])
def test_the_probe_is_the_certified_accuracy_at_the_final_radius(certify: Callable[[nn.Module], Method]) -> None:
    method = certify(conv(0))
    network = trained(method)
    method.begin_epoch(0, 1.0, 9)
    x, y = batch(200, seed=999)
    how = "ibp" if isinstance(method, IBP) else "crown-ibp"
    found = method.probe(x, y, ATTACK, torch.Generator())
    assert set(found) == {"certified"}
    with torch.no_grad():
        lower = -Bounder(network, x, 0.15, how).margins(y).upper[:, 0]
    expected = (lower.scatter(1, y[:, None], 1) > 0).all(1)
    assert torch.equal(found["certified"], expected)
    assert 0.1 < expected.float().mean() < 1


@pytest.mark.parametrize("options", [{}, {"bounds": "ibp"}, {"surrogate": True}, {"joint": True}])
def test_a_faithful_student_is_closer_for_certain(options: dict[str, Any]) -> None:
    x, y = batch(100, seed=999)
    robust = trained(IBP(conv(1), eps=0.05))
    gaps = []
    for beta in (0.0, 2.0):
        student = trained(FaithfulDistillation(conv(0), robust, beta=beta, cert_eps=0.1, attack=ATTACK, **options), 40)
        how = {"method": "crown-ibp", **{key.replace("bounds", "method"): value for key, value in options.items()}}
        with torch.no_grad():
            gaps.append(float(confidence_gap(student, Frozen(robust), x, y, 0.1, **how).mean()))
    assert gaps[1] < 0.8 * gaps[0]


def test_without_its_weight_the_certified_term_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robustill.methods.faithful.confidence_gap", None)
    method = FaithfulDistillation(conv_bn(0), teacher(1), beta=0.0, attack=ATTACK)
    assert torch.isfinite(method(*batch()).total)


def test_an_operation_without_bounds_is_named() -> None:
    student = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Softsign(), nn.Linear(8, 3))
    with pytest.raises(ModelError, match="2 \\(Softsign\\)"):
        IBP(student, eps=0.1)(*batch())
