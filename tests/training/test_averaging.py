"""Averaged weights equal averages written by hand; batch norm's statistics equal the data's."""

import copy

import pytest
import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.methods import Standard
from robustill.training import Settings, train
from robustill.training.averaging import averaged, due, reestimate_batch_norm, wants_statistics
from robustill.training.settings import AverageSettings

Weights = dict[str, Tensor]


class Recording(Standard):
    """Keeps the student's weights after every step."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__(student)
        self.steps: list[Weights] = []

    def after_step(self) -> None:
        self.steps.append({name: value.clone() for name, value in self.student.state_dict().items()})


def network(norm: bool = False) -> nn.Module:
    torch.manual_seed(0)
    between: list[nn.Module] = [nn.BatchNorm2d(2)] if norm else []
    return nn.Sequential(nn.Conv2d(1, 2, 3), *between, nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))


def run(method: Standard, data: Data, average: dict[str, object]) -> Weights:
    settings = {"epochs": 3, "batch_size": 32, "optimizer": {"lr": 0.05}, "average": average}
    return dict(train(method, data, Settings.model_validate(settings), progress=False).student_last.state_dict())


def assert_same(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("norm", [False, True])
def test_ema_takes_in_every_step_and_batch_norm(norm: bool, tiny_data: Data) -> None:
    method = Recording(network(norm))
    found = run(method, tiny_data, {"name": "ema", "decay": 0.8})
    assert len(method.steps) == 9
    expected = method.steps[0]
    for weights in method.steps[1:]:
        expected = {name: 0.8 * expected[name] + 0.2 * weights[name] for name in expected}
    found.pop("1.num_batches_tracked", None)
    expected.pop("1.num_batches_tracked", None)
    assert_same(found, expected)


def test_ema_begins_with_its_start_epoch(tiny_data: Data) -> None:
    method = Recording(network())
    found = run(method, tiny_data, {"name": "ema", "decay": 0.8, "start": 2})
    expected = method.steps[6]
    for weights in method.steps[7:]:
        expected = {name: 0.8 * expected[name] + 0.2 * weights[name] for name in expected}
    assert_same(found, expected)


def test_swa_is_the_mean_of_epoch_ends(tiny_data: Data) -> None:
    method = Recording(network())
    found = run(method, tiny_data, {"name": "swa", "start": 1})
    assert_same(found, {name: (method.steps[5][name] + method.steps[8][name]) / 2 for name in found})


def test_swa_that_has_not_begun_is_the_student(tiny_data: Data) -> None:
    method = Recording(network())
    assert_same(run(method, tiny_data, {"name": "swa", "start": 3}), method.steps[-1])


def test_swa_that_took_in_one_network_is_a_copy() -> None:
    student = network()
    swa = averaged(student, AverageSettings(name="swa"))
    assert swa is not None
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(1)
    swa.update_parameters(student)
    assert_same(swa.module.state_dict(), student.state_dict())
    with torch.no_grad():
        next(student.parameters()).add_(1)
    assert not torch.equal(next(swa.module.parameters()), next(student.parameters()))


def test_swa_estimates_batch_norm_again_on_training_images(tiny_data: Data) -> None:
    method = Recording(network(norm=True))
    found = run(method, tiny_data, {"name": "swa", "start": 2})
    conv = nn.Conv2d(1, 2, 3)
    conv.load_state_dict({"weight": found["0.weight"], "bias": found["0.bias"]})
    with torch.no_grad():
        parts = [conv(x) for x, _ in tiny_data.batches(2, batch_size=32, seed=0)]
    mean = torch.stack([part.mean((0, 2, 3)) for part in parts]).mean(0)
    var = torch.stack([part.var((0, 2, 3), unbiased=True) for part in parts]).mean(0)
    torch.testing.assert_close(found["1.running_mean"], mean)
    torch.testing.assert_close(found["1.running_var"], var)


def test_swa_averages_batch_norm_where_that_is_asked(tiny_data: Data) -> None:
    method = Recording(network(norm=True))
    found = run(method, tiny_data, {"name": "swa", "start": 1, "batch_norm": "average"})
    ends = method.steps[5], method.steps[8]
    assert not torch.equal(ends[0]["1.running_mean"], ends[1]["1.running_mean"])
    assert int(found.pop("1.num_batches_tracked")) == 9
    assert_same(found, {name: (ends[0][name] + ends[1][name]) / 2 for name in found})


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    sizes = [4, 4, 2][:count]
    return [(torch.rand(size, 2, 3, 3, generator=generator), torch.zeros(size)) for size in sizes]


def test_reestimation_is_the_mean_over_batches_weighted_by_their_sizes() -> None:
    norm = nn.BatchNorm2d(2, momentum=0.3)
    norm.running_mean.fill_(torch.nan)  # type: ignore[union-attr]
    data = batches(3)
    reestimate_batch_norm(norm, data)
    means = [x.mean((0, 2, 3)) for x, _ in data]
    variances = [x.var((0, 2, 3), unbiased=True) for x, _ in data]
    torch.testing.assert_close(norm.running_mean, 0.4 * means[0] + 0.4 * means[1] + 0.2 * means[2])
    torch.testing.assert_close(norm.running_var, 0.4 * variances[0] + 0.4 * variances[1] + 0.2 * variances[2])
    assert norm.num_batches_tracked == 3
    assert norm.momentum == 0.3


def test_a_batch_norm_in_two_places_counts_each() -> None:
    norm, data = nn.BatchNorm2d(2), batches(3)
    reestimate_batch_norm(nn.Sequential(norm, nn.ReLU(), norm), data)
    seen = nn.BatchNorm2d(2).train()
    inputs = [each for x, _ in data for each in (x, seen(x).relu())]
    means, sizes = [x.mean((0, 2, 3)) for x in inputs], [len(x) for x in inputs]
    expected = sum(size * mean for size, mean in zip(sizes, means, strict=True)) / sum(sizes)
    torch.testing.assert_close(norm.running_mean, expected)
    assert not norm._forward_pre_hooks


def test_a_pass_that_breaks_leaves_the_momentum() -> None:
    norm = nn.BatchNorm2d(2, momentum=0.3)
    with pytest.raises(ValueError, match="expected 4D"):
        reestimate_batch_norm(norm, [(torch.zeros(2, 2), torch.zeros(2))])
    assert norm.momentum == 0.3


@pytest.mark.parametrize("training", [True, False])
def test_reestimation_restores_modes_and_moves_no_weight(training: bool) -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Dropout()).train(training)
    model[2].train(not training)
    before = copy.deepcopy(model)
    reestimate_batch_norm(model, batches(3))
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    for (name, new), old in zip(model.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(new, old), name
        assert new.grad is None, name
    assert not torch.equal(model[1].running_mean, before[1].running_mean)


def test_without_batch_norm_nothing_is_read() -> None:
    def unread() -> object:
        raise AssertionError("read a batch")
        yield

    reestimate_batch_norm(network(), unread())  # type: ignore[arg-type]


def test_which_moments_are_due() -> None:
    ema, swa = AverageSettings(name="ema", start=2), AverageSettings(name="swa", start=2)
    assert [due(ema, epoch, end_of_epoch=False) for epoch in (1, 2, 3)] == [False, True, True]
    assert [due(swa, epoch, end_of_epoch=True) for epoch in (1, 2, 3)] == [False, True, True]
    assert not due(ema, 2, end_of_epoch=True)
    assert not due(swa, 2, end_of_epoch=False)


@pytest.mark.parametrize(
    ("name", "batch_norm", "wanted"),
    [("ema", "auto", False), ("swa", "auto", True), ("ema", "reestimate", True), ("swa", "average", False)],
)
def test_whose_statistics_are_estimated_again(name: str, batch_norm: str, wanted: bool) -> None:
    assert wants_statistics(AverageSettings.model_validate({"name": name, "batch_norm": batch_norm})) is wanted


def test_off_by_default() -> None:
    assert averaged(network(), AverageSettings()) is None
