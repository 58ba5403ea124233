"""A set that is known is found at the robust peak, and no longer once the references have memorised it."""

import pytest
import torch

from robustill.data import Data
from robustill.diagnostics.learnability import unlearnable
from robustill.training import TrainResult
from tests.diagnostics.learnability.blind import EPS, blind_data, trained


@pytest.fixture(scope="module")
def runs() -> list[TrainResult]:
    return [trained(blind_data()[0], seed) for seed in range(3)]


def test_the_known_set_is_recovered_exactly_at_the_peak(runs: list[TrainResult]) -> None:
    data, hidden = blind_data()
    found = unlearnable({f"pgd_at/{k}": run.student for k, run in enumerate(runs)}, data, eps=EPS, progress=False)
    for estimator in ("single", "intersection"):
        assert found.unlearnable(estimator).tolist() == hidden.nonzero().flatten().tolist(), estimator
        assert found.learnable(estimator).tolist() == (~hidden).nonzero().flatten().tolist(), estimator
    assert found.rows[found.score == 0].tolist() == data.train.indices[hidden].tolist()
    assert torch.equal(found.jaccard(), torch.ones(3, 3, dtype=torch.float64))
    assert "peak" not in found.about["checkpoint_rule"]
    assert found.about["checkpoint_rule"] == "best robust accuracy on the validation split"


def test_after_memorising_the_rule_finds_nearly_nothing(runs: list[TrainResult]) -> None:
    data, hidden = blind_data()
    last = unlearnable({f"last/{k}": run.student_last for k, run in enumerate(runs)}, data, eps=EPS, progress=False)
    assert len(last.unlearnable("single")) <= 0.2 * int(hidden.sum())
    assert len(last.unlearnable()) <= 0.2 * int(hidden.sum())


def test_without_an_attack_hardly_anything_is_unlearnable(runs: list[TrainResult], tiny_data: Data) -> None:
    data, hidden = blind_data()
    found = unlearnable({"a": runs[0].student}, data, "fgsm", eps=0.0, progress=False)
    assert len(found.unlearnable()) < int(hidden.sum())
