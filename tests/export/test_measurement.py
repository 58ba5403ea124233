"""The verdicts on a file are those that its own logits give, on the examples that `evaluate` makes."""

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from robustill import evaluate
from robustill.attacks import Square, adversarial_points, named_attack, run_search
from robustill.data import Data
from robustill.errors import InputError
from robustill.evaluation import balanced
from robustill.evaluation.store import example_generators
from robustill.export import Exported, Measurement
from robustill.export.measurement import examples, measure
from robustill.models import Classifier
from tests.export.conftest import HOW


class Session(nn.Module):
    """Onnxruntime, as any user calls it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {"images": x.numpy()})[0])


def by_hand(net: Classifier, file: nn.Module, data: Data) -> dict[str, Tensor]:
    at = balanced(data.test.labels, 40, 0)
    x, y = data.test.images(at).float() / 255, data.test.labels[at]
    found = {"clean": file(x).argmax(1) == y}
    for name in ("pgd5", "cw"):
        draws = example_generators(0, name, at.tolist())
        points = adversarial_points(net, x, y, named_attack(name, eps=0.1), generator=draws)
        assert float((points - x).abs().max()) > 0.09
        found[f"transfer-{name}"] = found["clean"] & (file(points).argmax(1) == y)
    draws = example_generators(0, "square", at.tolist())
    fallen = torch.stack([
        run_search(Square(eps=0.1, queries=40), file, x[i : i + 1], y[i : i + 1], draws[i : i + 1])[0][0]
        for i in range(len(y))
    ])  # fmt: skip
    return {**found, "square": found["clean"] & ~fallen}


@pytest.mark.parametrize(("format_", "name"), [("onnx", "model.onnx"), ("int8", "model_int8.onnx")])
def test_verdicts_are_those_made_by_hand(
    format_: str, name: str, whole: tuple[Path, Exported], net: Classifier, digits: Data
) -> None:
    wanted = by_hand(net, Session(whole[0] / name), digits)
    found = whole[1].evaluations[format_]
    assert list(found.verdicts) == ["clean", "transfer-pgd5", "transfer-cw", "square"]
    for attack, right in wanted.items():
        assert torch.equal(found.verdicts[attack], right), attack
    assert 0 < found.accuracy() < found.accuracy("clean")


def test_the_networks_own_are_those_of_evaluate(whole: tuple[Path, Exported], net: Classifier, digits: Data) -> None:
    wanted = evaluate(net, digits, eps=0.1, attacks=["pgd5", "cw"], images=40, checks=False, progress=False)
    found = whole[1].evaluations["network"]
    for name, right in wanted.verdicts.items():
        assert torch.equal(found.verdicts[name], right), name


def test_examples_are_those_of_evaluate(net: Classifier, digits: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = [], []

    def spied(model: nn.Module, x: Tensor, y: Tensor, attack: Any, *, generator: Any) -> Tensor:
        theirs.append(adversarial_points(model, x, y, attack, generator=generator))
        return theirs[-1]

    class Watched(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            ours.append(x)
            return net(x)

    monkeypatch.setattr("robustill.evaluation.runner.adversarial_points", spied)
    result = evaluate(net, digits, eps=0.1, attacks=["pgd5"], images=40, checks=False, progress=False)
    how = Measurement(attacks=("pgd5",), queries=0, images=40)
    measure(net, {"watched": Watched()}, examples(digits, how), eps=0.1, norm="Linf", how=how, progress=False)
    clean, points = ours
    (standing,) = theirs
    assert len(standing) == int(result.verdicts["clean"].sum()) < 40
    assert torch.allclose(points[result.verdicts["clean"]], standing, atol=1e-6)
    assert float((points - clean).abs().max()) > 0.09


class Zero(nn.Module):
    """Always the class 0."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.eye(10)[0].expand(len(x), -1)


def test_a_file_is_judged_by_itself(net: Classifier, digits: Data) -> None:
    found = measure(net, {"zero": Zero()}, examples(digits, HOW), eps=0.4, norm="Linf", how=HOW, progress=False)
    zeros = digits.test.labels[balanced(digits.test.labels, 40, 0)] == 0
    assert 0 < int(zeros.sum()) < 40
    for name in ("pgd5", "cw", "square"):
        assert int((found["network"].verdicts[name] & zeros).sum()) < int(zeros.sum())
    for name, right in found["zero"].verdicts.items():
        assert torch.equal(right, zeros), name
    assert set(found["zero"].seconds) == {"square"}
    assert set(found["network"].seconds) == {"pgd5", "cw", "square"}


def test_what_is_wrong_without_an_attack_is_wrong_under_every_one(net: Classifier, digits: Data) -> None:
    chosen = examples(digits, HOW)

    class Contrary(nn.Module):
        """Wrong on the images themselves, and right everywhere else."""

        def forward(self, x: Tensor) -> Tensor:
            nearest = (x.flatten(1)[:, None] - chosen.x.flatten(1)).abs().amax(2).min(1)
            return torch.eye(10)[(chosen.y[nearest.indices] + (nearest.values < 1e-3)) % 10]

    found = measure(net, {"contrary": Contrary()}, chosen, eps=0.05, norm="Linf", how=HOW, progress=False)
    assert not any(bool(right.any()) for right in found["contrary"].verdicts.values())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"attacks": ("pgd20", "square")}, "square needs no network to be made on"),
        ({"attacks": ("pgd2o",)}, "unknown attack 'pgd2o'"),
        ({"queries": -1}, "queries is -1; it must be a number of 0 or more"),
        ({"images": 0}, "images is 0"),
        ({"images": 2.5}, "images is 2.5"),
        ({"batch_size": True}, "batch_size is True"),
        ({"attacks": (), "queries": 0}, "there is nothing to measure"),
    ],
)
def test_mistakes(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Measurement(**change)


def test_an_unknown_split(digits: Data) -> None:
    with pytest.raises(InputError, match="digits has no split 'tets'"):
        examples(digits, Measurement(split="tets"))


def test_without_square_or_without_transfer(net: Classifier, digits: Data) -> None:
    for how, names in (
        (Measurement(attacks=("fgsm",), queries=0, images=10), ["clean", "fgsm"]),
        (Measurement(attacks=(), queries=5, images=10), ["clean", "square"]),
    ):
        found = measure(net, {}, examples(digits, how), eps=0.1, norm="Linf", how=how, progress=False)
        assert list(found["network"].verdicts) == names
