"""Random starts and verdicts belong to an image, whatever else is evaluated with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import APGD, FGSM, PGD, adversarial_points
from robustill.attacks.rows import State
from robustill.data import Data
from robustill.evaluation import Evaluation, balanced, evaluate, runner


def run(model: nn.Module, data: Data, **changes: Any) -> Evaluation:
    given = {"eps": 0.1, "attacks": ("fgsm", "pgd3"), "progress": False, "checks": False, **changes}
    return evaluate(model, data, **given)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


Starts = dict[tuple[str, bytes], int]


def starts_of(
    monkeypatch: pytest.MonkeyPatch, data: Data, images: int | None, out: Path | None = None, seed: int = 0
) -> tuple[Evaluation, Starts]:
    """Return an evaluation, and the seed of the random start of each attack on each image."""
    seen: Starts = {}
    begin = APGD.begin

    def note(kind: str, x: Tensor, generators: Sequence[torch.Generator]) -> None:
        for image, generator in zip(x, generators, strict=True):
            seen[kind, image.numpy().tobytes()] = generator.initial_seed()

    def points(model: nn.Module, x: Tensor, y: Tensor, attack: PGD | FGSM, *, generator: Any) -> Tensor:
        note(type(attack).__name__, x, generator)
        return adversarial_points(model, x, y, attack, generator=generator)

    def begun(self: APGD, model: nn.Module, x: Tensor, y: Tensor, generators: Sequence[torch.Generator]) -> State:
        note("APGD", x, generators)
        return begin(self, model, x, y, generators)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "adversarial_points", points)
        patch.setattr(APGD, "begin", begun)
        found = run(linear(), data, attacks=("pgd3", "apgd-ce"), images=images, seed=seed, out=out, batch_size=7)
    return found, seen


def test_random_starts_belong_to_the_image_and_not_to_the_subset(
    tiny_data: Data, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, whole = starts_of(monkeypatch, tiny_data, None)
    for images in (30, 17):
        found, some = starts_of(monkeypatch, tiny_data, images, tmp_path)
        assert len(found.robust) == images
        assert 0 < len(some) < len(whole)
        assert some.items() <= whole.items()
        assert torch.equal(found.robust, starts_of(monkeypatch, tiny_data, images, tmp_path)[0].robust)
    assert (tmp_path / "verdicts.old.safetensors").exists(), "verdicts of another subset are put aside"
    assert len(set(whole.values())) == len(whole)
    _, other = starts_of(monkeypatch, tiny_data, None, seed=1)
    assert not set(other.values()) & set(whole.values())


def test_a_subset_has_the_verdicts_of_its_images(tiny_data: Data) -> None:
    whole, some = run(linear(), tiny_data, eps=0.05), run(linear(), tiny_data, eps=0.05, images=12)
    assert some.labels is not None
    assert torch.bincount(some.labels).tolist() == [4, 4, 4]
    assert [row["images"] for row in some.to_json()["classes"]] == [4, 4, 4]
    assert [row["name"] for row in some.to_json()["classes"]] == ["top", "middle", "bottom"]
    index = balanced(tiny_data.test.labels, 12, 0)
    assert torch.equal(some.labels, tiny_data.test.labels[index])
    for name, right in some.verdicts.items():
        assert torch.equal(right, whole.verdicts[name][index]), name
    assert 0 < some.accuracy() < some.accuracy("clean")
