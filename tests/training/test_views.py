"""The adversary attacks folded copies of the networks: the same run up to rounding, and nothing is left behind."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD
from robustill.data import Data
from robustill.errors import InputError
from robustill.methods import ARD, RSLAD, FairARD, PeerAiD
from robustill.methods.base import Method
from robustill.models import build_model
from robustill.training import Settings, train
from robustill.training.views import install_views

ATTACK = PGD(eps=0.1, step_size=0.04, steps=3, init="none")


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = build_model("resnet18", num_classes=3, shape=(1, 8, 8), width=2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    return net


def rslad() -> RSLAD:
    return RSLAD(network(0), network(1), attack=ATTACK)


def fit(method: Method, data: Data, **changes: Any) -> list[Tensor]:
    settings = Settings.model_validate({"epochs": 1, "batch_size": 32, "optimizer": {"lr": 0.01}, **changes})
    train(method, data, settings, progress=False)
    return [value.detach().clone() for value in method.student.state_dict().values()]


@pytest.mark.parametrize(
    "make",
    [
        rslad,
        lambda: FairARD(ARD(network(0), network(1), attack=ATTACK)),
        lambda: PeerAiD(network(0), network(2), attack=ATTACK),
    ],
    ids=["RSLAD", "FairARD", "PeerAiD"],
)
def test_a_run_is_the_same_up_to_rounding(make: Any, tiny_data: Data) -> None:
    with_views, without = fit(make(), tiny_data, attack_view=True), fit(make(), tiny_data, attack_view=False)
    start = make().student.state_dict().values()
    for ours, theirs in zip(with_views, without, strict=True):
        torch.testing.assert_close(ours.float(), theirs.float(), rtol=0.02, atol=2e-3)
    assert any(not torch.equal(ours, before) for ours, before in zip(with_views, start, strict=True))


def install(method: Method, data: Data, dtype: torch.dtype = torch.float32) -> dict[str, str]:
    x, _ = next(iter(data.train.batches(8)))
    return install_views(method, x, dtype, channels_last=False)


class Calls:
    """Counts the calls of a network's own first layer, which its view does not share."""

    def __init__(self, net: nn.Module) -> None:
        self.count = 0
        net.conv1.register_forward_hook(self)  # type: ignore[union-attr, operator]

    def __call__(self, *_: Any) -> None:
        self.count += 1


def test_views_serve_the_attack_and_teachers_everywhere(tiny_data: Data) -> None:
    method = rslad()
    assert install(method, tiny_data) == {}
    student, teacher = Calls(method.student), Calls(method.teacher.network)
    x, y = next(iter(tiny_data.train.batches(8)))
    x_adv = method.perturb(x, y)
    assert (student.count, teacher.count) == (0, 0)
    method.outer(x, x_adv, y)
    assert (student.count, teacher.count) == (2, 0)
    assert "forward" not in vars(method.student)


def test_a_wrapper_attacks_what_the_wrapped_method_does(tiny_data: Data) -> None:
    method = FairARD(ARD(network(0), network(1), attack=ATTACK))
    install(method, tiny_data)
    student = Calls(method.student)
    method.perturb(*next(iter(tiny_data.train.batches(8))))
    assert student.count == 0


def test_views_follow_the_weights(tiny_data: Data) -> None:
    method = rslad()
    install(method, tiny_data)
    x, _ = next(iter(tiny_data.train.batches(8)))
    with torch.no_grad():
        for weight in method.student.parameters():
            weight.mul_(1.3)
        method.student.bn1.running_mean.add_(0.2)  # type: ignore[union-attr, operator]
    with method.attacking():
        seen = method.student(x)
    torch.testing.assert_close(seen, method.student.eval()(x), rtol=1e-3, atol=1e-4)


def test_an_error_in_the_attack_leaves_the_network_as_it_was(tiny_data: Data) -> None:
    method = rslad()
    install(method, tiny_data)
    with pytest.raises(RuntimeError, match="stop"), method.attacking():
        raise RuntimeError("stop")
    assert "forward" not in vars(method.student)
    assert method.student.training


def test_views_are_no_part_of_the_method(tiny_data: Data) -> None:
    method = rslad()
    names, weights = list(method.state_dict()), len(list(method.parameters()))
    install(method, tiny_data, torch.bfloat16)
    assert list(method.state_dict()) == names
    assert len(list(method.parameters())) == weights


class Noisy(nn.Module):
    """A network that draws on every call."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network(3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x + 0.01 * torch.randn_like(x))
        return logits


def test_a_network_without_a_view_is_attacked_as_it_is(tiny_data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    method = RSLAD(Noisy(), network(1), attack=ATTACK)
    fit(method, tiny_data)
    assert "note: student is attacked as it is" in capsys.readouterr().err
    assert "forward" not in vars(method.student)


def test_compiled_runs_compile_what_is_attacked(tiny_data: Data, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    shapes = []

    def stand_in(forward: Any, **_: Any) -> Any:
        return lambda x: (shapes.append(tuple(x.shape)), forward(x))[1]  # type: ignore[func-returns-value]

    monkeypatch.setattr(torch, "compile", stand_in)
    compiled = fit(rslad(), tiny_data, compile=True, micro_batches=2)
    assert set(shapes) == {(16, 1, 8, 8)}
    assert "compiles the attack" in capfd.readouterr().err
    plain = fit(rslad(), tiny_data, micro_batches=2)
    for ours, theirs in zip(compiled, plain, strict=True):
        torch.testing.assert_close(ours.float(), theirs.float(), rtol=0.02, atol=2e-3)


def test_nothing_to_compile_without_views(tiny_data: Data) -> None:
    with pytest.raises(InputError, match="attack_view = false"):
        fit(rslad(), tiny_data, compile=True, attack_view=False)


def test_a_run_without_views_has_none_of_an_earlier_one(tiny_data: Data) -> None:
    again, method = rslad(), rslad()
    fit(method, tiny_data, mixed_precision="bf16")
    assert method.views
    method.student.load_state_dict(again.student.state_dict())
    ours = fit(method, tiny_data, attack_view=False, remember_teachers=False)
    assert method.views == ()
    assert all(map(torch.equal, ours, fit(again, tiny_data, attack_view=False, remember_teachers=False)))
