"""Training images that are judged beside the validation split: which, and that training does not notice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from robustill.attacks import PGD
from robustill.data import Augment, Data
from robustill.errors import DataError, InputError
from robustill.methods import PGDAT, Method, Standard
from robustill.models import build_model
from robustill.training import Settings, judge, train
from robustill.training.run import Run
from robustill.training.selection import Selection
from robustill.training.watched import Watched

ATTACK = PGD(eps=0.1, step_size=0.05, steps=2)


def method(kind: type[Method] = PGDAT) -> Method:
    torch.manual_seed(0)
    student = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    return PGDAT(student, attack=ATTACK) if kind is PGDAT else kind(student)


def settings(images: int = 20, **changes: Any) -> Settings:
    subset = {"subset": str(changes.pop("subset"))} if "subset" in changes else {}
    plain = {"epochs": 4, "batch_size": 24, "optimizer": {"lr": 0.03}, "selection": {"every": 2, "steps": 2}}
    return Settings.model_validate({**plain, "overfitting": {"images": images, **subset}, **changes})


@pytest.fixture
def subset(tiny_data: Data, tmp_path: Path) -> Path:
    rows = tiny_data.train.indices[torch.arange(0, 90, 5)]
    save_file({"unlearnable": rows}, tmp_path / "rows.safetensors")
    return tmp_path / "rows.safetensors"


def pixels(data: Data, rows: Tensor) -> Tensor:
    """Return the images of source rows as they are."""
    at = torch.tensor([data.train.indices.tolist().index(row) for row in rows.tolist()])
    return data.train.images(at)


def test_groups_are_what_the_file_says(tiny_data: Data, subset: Path) -> None:
    tiny_data.augment = Augment(flip=True, crop=1)
    unlearnable = set(tiny_data.train.indices[torch.arange(0, 90, 5)].tolist())
    groups = Watched(tiny_data, settings(20, subset=subset)).groups
    assert {name: len(split) for name, split in groups.items()} == {"learnable": 10, "unlearnable": 10}
    assert set(groups["unlearnable"].indices.tolist()) <= unlearnable
    assert unlearnable.isdisjoint(groups["learnable"].indices.tolist())
    for split in groups.values():
        assert len(set(split.indices.tolist())) == 10
        assert torch.equal(split.images(torch.arange(10)), pixels(tiny_data, split.indices))
    plenty = Watched(tiny_data, settings(1000, subset=subset)).groups
    assert {name: len(split) for name, split in plenty.items()} == {"learnable": 78, "unlearnable": 18}


def test_without_a_file_they_are_drawn_by_the_seed(tiny_data: Data) -> None:
    def drawn(seed: int) -> list[int]:
        groups = Watched(tiny_data, settings(15, seed=seed)).groups
        assert list(groups) == ["all"]
        return groups["all"].indices.tolist()

    assert len(set(drawn(0))) == 15
    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert not Watched(tiny_data, Settings()).groups


def test_scores_are_those_of_the_candidate_under_the_selection_attack(tiny_data: Data, subset: Path) -> None:
    chosen = settings(20, subset=subset)
    result = train(method(), tiny_data, chosen, progress=False)
    watched = [line["overfitting"] for line in result.history if "overfitting" in line]
    assert ["overfitting" in line for line in result.history] == ["validation" in line for line in result.history]
    assert [line["epoch"] for line in result.history if "overfitting" in line] == [1, 3]
    attack = PGD(eps=0.1, step_size=0.025, steps=2)
    for name, split in Watched(tiny_data, chosen).groups.items():
        expected = judge(result.student_last, split, attack, device=torch.device("cpu"), seed=0)
        assert watched[-1]["train"][name] == {"images": 10, **expected}
    assert watched[-1]["validation_images"] == 24
    assert watched[0]["train"] != watched[-1]["train"]


@pytest.mark.parametrize("changes", [{}, {"average": {"name": "ema", "decay": 0.9}}], ids=str)
def test_training_does_not_notice(tiny_data: Data, changes: dict[str, Any]) -> None:
    results = [train(method(), tiny_data, settings(images, **changes), progress=False) for images in (0, 20)]
    plain, watched = ([*r.student_last.state_dict().values(), *r.student.state_dict().values()] for r in results)
    assert all(torch.equal(a, b) for a, b in zip(plain, watched, strict=True))
    without = [{k: v for k, v in line.items() if k != "overfitting"} for line in results[1].history]
    assert without == results[0].history
    assert without != results[1].history


def test_a_run_that_was_cut_off_measures_the_same(
    tiny_data: Data, subset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(20, subset=subset, checkpoint_steps=1)
    whole = train(method(), tiny_data, chosen, out=tmp_path / "whole", progress=False)
    step, left = Run._train_step, iter(range(100))

    def dying(self: Run, x: Tensor, y: Tensor) -> None:
        if next(left) == 10:
            raise KeyboardInterrupt
        step(self, x, y)

    monkeypatch.setattr(Run, "_train_step", dying)
    with pytest.raises(KeyboardInterrupt):
        train(method(), tiny_data, chosen, out=tmp_path / "cut", progress=False)
    monkeypatch.undo()
    resumed = train(method(), tiny_data, chosen, out=tmp_path / "cut", progress=False, resume=True)
    assert resumed.history == whole.history
    pairs = zip(resumed.student_last.state_dict().values(), whole.student_last.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    lines = [
        [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in text.splitlines()]
        for text in ((tmp_path / name / "metrics.jsonl").read_text() for name in ("cut", "whole"))
    ]
    assert lines[0] == lines[1]


def test_what_cannot_be_measured(tiny_data: Data, tmp_path: Path) -> None:
    alone = Data("alone", tiny_data.class_names, tiny_data.train, None, tiny_data.test)
    with pytest.raises(InputError, match="compares training with validation images"):
        Watched(alone, settings())
    with pytest.raises(InputError, match="needs a radius above 0"):
        Selection(method(Standard), tiny_data, settings())
    radius = settings(selection={"eps": 0.1})
    assert Selection(method(Standard), tiny_data, radius).watch(method().student)["overfitting"]["train"]["all"]
    with pytest.raises(DataError, match="no such file"):
        Selection(method(), tiny_data, settings(subset=tmp_path / "nowhere"))


@pytest.mark.parametrize(("images", "rows", "none"), [(1, 18, "learnable"), (20, 96, "learnable")])
def test_a_group_without_images(images: int, rows: int, none: str, tiny_data: Data, tmp_path: Path) -> None:
    save_file({"unlearnable": tiny_data.train.indices[:rows].clone()}, tmp_path / "rows.safetensors")
    with pytest.raises(InputError, match=f"overfitting.images = {images} .* leaves no {none} images"):
        Watched(tiny_data, settings(images, subset=tmp_path / "rows.safetensors"))
