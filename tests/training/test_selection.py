"""The student is chosen on the validation split; the test set is never read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import PGD, correct
from robustill.data import Data
from robustill.data.splits import TensorSplit
from robustill.errors import InputError
from robustill.methods import IBP, PGDAT, CrownIBP, FairARD, FaithfulDistillation, Method, Standard
from robustill.models import build_model, load_model
from robustill.training import Settings, judge, train
from robustill.training.selection import Selection

ATTACK = PGD(eps=0.1, step_size=0.05, steps=2)


def method(adversarial: bool = False) -> Method:
    torch.manual_seed(0)
    student = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    return PGDAT(student, attack=ATTACK) if adversarial else Standard(student)


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"epochs": 4, "batch_size": 48, "optimizer": {"lr": 0.02}, **changes})


def guarded(data: Data, monkeypatch: pytest.MonkeyPatch) -> Data:
    """Make every read of the test split's images an error, also after `to`."""
    data.digest  # noqa: B018 - known before: it identifies the data by its content
    read = TensorSplit._images

    def watched(self: TensorSplit, indices: Tensor) -> Tensor:
        if len(self) == len(data.test):
            raise AssertionError("training read the test set")
        return read(self, indices)

    monkeypatch.setattr(TensorSplit, "_images", watched)
    return data


@pytest.mark.parametrize("adversarial", [False, True])
def test_the_test_set_is_never_read(
    adversarial: bool, tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = guarded(tiny_data, monkeypatch)
    assert len({len(data.test), len(data.train), len(data.validation or ())}) == 3
    result = train(method(adversarial), data, settings(), out=tmp_path, progress=False)
    assert result.best
    with pytest.raises(AssertionError, match="read the test set"):
        next(iter(data.test.batches(4)))


def scripted(monkeypatch: pytest.MonkeyPatch, scores: list[dict[str, float]]) -> None:
    left = iter(scores)
    monkeypatch.setattr("robustill.training.selection.judge", lambda *args, **kwargs: next(left))


def snapshots(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    seen: list[dict[str, Tensor]] = []
    inner: Callable[..., Any] = Selection.judge

    def noting(self: Selection, model: nn.Module, epoch: int) -> Any:
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return inner(self, model, epoch)

    monkeypatch.setattr(Selection, "judge", noting)
    return seen


def same(model: nn.Module, weights: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_the_best_epoch_is_kept_beside_the_last(
    tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = snapshots(monkeypatch)
    scripted(monkeypatch, [{"clean": value} for value in (0.2, 0.7, 0.7, 0.5)])
    result = train(method(), tiny_data, settings(), out=tmp_path, progress=False)
    # The third epoch is as good as the second: a tie keeps the earlier one.
    assert result.best == {"epoch": 1, "metric": "clean", "clean": 0.7}
    assert same(result.student, seen[1])
    assert same(result.student_last, seen[3])
    assert not same(result.student, seen[3])
    assert same(load_model(tmp_path / "student.safetensors"), seen[1])
    assert same(load_model(tmp_path / "student_last.safetensors"), seen[3])
    assert load_model(tmp_path / "student.safetensors").extra["epoch"] == "1"
    assert not result.student.training


@pytest.mark.parametrize(
    ("metric", "adversarial", "chosen"),
    [
        ("auto", True, 1),
        ("auto", False, 0),
        ("clean", True, 0),
        ("robust", True, 1),
        ("wra", True, 2),
        ("last", True, 3),
    ],
)
def test_the_metric_decides(
    metric: str, adversarial: bool, chosen: int, tiny_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [(0.9, 0.1, 0.5), (0.2, 0.6, 0.4), (0.8, 0.5, 0.65), (0.1, 0.1, 0.1)]
    scripted(monkeypatch, [dict(zip(("clean", "robust", "wra"), each, strict=True)) for each in scores])
    result = train(method(adversarial), tiny_data, settings(selection={"metric": metric}), progress=False)
    assert result.best["epoch"] == chosen


@pytest.mark.parametrize("certified", [IBP, CrownIBP])
def test_where_the_loss_changes_during_the_run_the_last_epoch_is_kept(
    certified: type[Method], tiny_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Early epochs of certified training are the most accurate ones, and certify nothing.
    scripted(monkeypatch, [{"clean": value, "robust": value} for value in (0.9, 0.8, 0.7, 0.6)])
    student = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    result = train(certified(student, eps=0.01), tiny_data, settings(), progress=False)  # type: ignore[call-arg]
    assert (result.best["epoch"], result.best["metric"]) == (3, "last")
    assert all("validation" in line for line in result.history)
    assert Selection(FairARD(faithful()), tiny_data, settings()).metric == "last"


def faithful() -> FaithfulDistillation:
    student, teacher = (build_model("cnn_small", num_classes=3, shape=(1, 8, 8)) for _ in range(2))
    return FaithfulDistillation(student, teacher, attack=ATTACK)


def test_every_second_epoch_and_the_last_are_judged(tiny_data: Data) -> None:
    result = train(method(), tiny_data, settings(epochs=5, selection={"every": 2}), progress=False)
    assert [line["epoch"] for line in result.history if "validation" in line] == [1, 3, 4]


def test_without_a_validation_split_the_last_student_is_the_student(tiny_data: Data, tmp_path: Path) -> None:
    data = Data(tiny_data.name, tiny_data.class_names, tiny_data.train, None, tiny_data.test)
    result = train(method(), data, settings(), out=tmp_path, progress=False)
    assert result.best == {}
    assert same(result.student, dict(result.student_last.state_dict()))
    first, last = (load_model(tmp_path / f"{name}.safetensors") for name in ("student", "student_last"))
    assert same(first, dict(last.state_dict()))
    assert same(last, dict(result.student_last.state_dict()))


class Brightness(nn.Module):
    """Right on clean images of two classes, fooled by exactly those whose margin is below eps."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        level = x.mean((1, 2, 3)) - 0.5
        return self.scale * torch.stack([-level, level], 1)


def split() -> TensorSplit:
    levels = torch.tensor([0, 60, 120, 135, 200, 255, 100, 150], dtype=torch.uint8)
    labels = (levels > 127).long()
    labels[-2:] = 1 - labels[-2:]  # two that are wrong without an attack
    return TensorSplit(levels[:, None, None, None].expand(-1, 1, 4, 4).contiguous(), labels)


def test_judging_counts_what_it_should() -> None:
    attack = PGD(eps=0.1, step_size=0.025, steps=10)
    scores = judge(Brightness(), split(), attack, device=torch.device("cpu"), seed=0)
    assert scores == {"clean": 6 / 8, "robust": 4 / 8, "wra": 5 / 8}
    assert judge(Brightness(), split(), None, device=torch.device("cpu"), seed=0) == {"clean": 6 / 8}


def test_judging_leaves_the_global_generator_and_the_mode_alone() -> None:
    model = Brightness().train()
    torch.manual_seed(4)
    expected = torch.rand(3)
    torch.manual_seed(4)
    judge(model, split(), ATTACK, device=torch.device("cpu"), seed=0)
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    assert model.scale.grad is None


def selection(data: Data, adversarial: bool, **table: Any) -> Selection:
    return Selection(method(adversarial), data, settings(selection=table))


def test_the_judging_attack_follows_the_training_attack(tiny_data: Data) -> None:
    assert selection(tiny_data, True).attack == PGD(eps=0.1, step_size=0.025, steps=10)
    assert selection(tiny_data, True, eps="8/255", steps=3).attack == PGD(eps=8 / 255, step_size=2 / 255, steps=3)
    assert selection(tiny_data, False).attack is None
    assert selection(tiny_data, False, eps=0.2, metric="robust").attack == PGD(eps=0.2, step_size=0.05, steps=10)


@pytest.mark.parametrize(("adversarial", "table"), [(False, {}), (True, {"eps": 0.0})])
def test_a_robust_metric_needs_a_radius(adversarial: bool, table: dict[str, Any], tiny_data: Data) -> None:
    with pytest.raises(InputError, match="needs a radius above 0"):
        selection(tiny_data, adversarial, metric="robust", **table)


class Probing(PGDAT):
    """Its own verdict is the clean one."""

    def probe(self, x: Tensor, y: Tensor, attack: PGD, generator: torch.Generator) -> dict[str, Tensor]:
        return {"clean": correct(self.student, x, y)}


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_probe_judges_the_averaged_student(wrapped: bool, tiny_data: Data) -> None:
    """As everything else in the journal's line: it is the one that is kept."""
    trained = Probing(method().student, attack=ATTACK)
    changes = {"average": {"name": "ema", "decay": 0.9}, "selection": {"steps": 1}, "optimizer": {"lr": 0.05}}
    result = train(FairARD(trained) if wrapped else trained, tiny_data, settings(**changes), progress=False)
    found = [(line["probe"]["clean"], line["validation"]["clean"]) for line in result.history]
    assert all(probed == judged for probed, judged in found)
    assert tiny_data.validation is not None
    raw = judge(trained.student, tiny_data.validation, None, device=torch.device("cpu"), seed=0)
    assert raw["clean"] != found[-1][1]


def test_the_student_is_back_in_its_place_after_the_probe(tiny_data: Data) -> None:
    trained = method(adversarial=True)
    student = trained.student
    train(trained, tiny_data, settings(epochs=1, average={"name": "ema"}), progress=False)
    assert trained.student is student
