"""An evaluation that was cut off goes on; verdicts of another one are put aside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from robustill.data import Data
from robustill.evaluation import Evaluation, evaluate, store
from robustill.evaluation import runner as module

ATTACKS = ("fgsm", "pgd3", "cw")


class Cut(BaseException):
    """Ends an evaluation in the middle, as Ctrl-C does."""


def run(model: nn.Module, data: Data, out: Path | None, **changes: Any) -> Evaluation:
    given = {"eps": 0.1, "attacks": ATTACKS, "batch_size": 5, "progress": False, "checks": False, **changes}
    return evaluate(model, data, out=out, **given)


class Counter:
    """Counts the images that are attacked; raises when `left` batches have been."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, left: int = 10**6, before_the_cut: Callable[[], None] = lambda: None
    ) -> None:
        self.images: dict[str, int] = {}
        self.left, self.before_the_cut, self.inner = left, before_the_cut, module.adversarial_points
        monkeypatch.setattr(module, "adversarial_points", self)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, attack: Any, *, generator: Any) -> Tensor:
        if not self.left:
            self.before_the_cut()
            raise Cut
        self.left -= 1
        name = type(attack).__name__
        self.images[name] = self.images.get(name, 0) + len(x)
        return self.inner(model, x, y, attack, generator=generator)


def same(one: Evaluation, other: Evaluation) -> bool:
    return list(one.verdicts) == list(other.verdicts) and all(
        torch.equal(one.verdicts[name], other.verdicts[name]) for name in one.verdicts
    )


def cut_off(model: nn.Module, data: Data, out: Path, batches: int, *, killed: bool) -> Counter:
    """Evaluate until `batches` were attacked; with `killed`, leave the disk as it was in that moment."""
    file, disk = out / "verdicts.safetensors", []

    def look() -> None:
        disk.append(file.read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        counter = Counter(patch, batches, look)
        with pytest.raises(Cut):
            run(model, data, out)
    if killed:
        file.write_bytes(disk[0])
    return counter


@pytest.mark.parametrize("batches", [1, 3, 5, 7, 11])
@pytest.mark.parametrize("batch_size", [5, 3, 24])
@pytest.mark.parametrize("killed", [False, True])
def test_a_cut_evaluation_goes_on_with_any_batch_size(
    killed: bool,
    batches: int,
    batch_size: int,
    model: nn.Module,
    data: Data,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = run(model, data, None)
    if killed:
        monkeypatch.setattr(store, "_SAVE_EVERY_S", -1.0)
        monkeypatch.setattr(store, "_REST", 0)
    cut = cut_off(model, data, tmp_path, batches, killed=killed)
    counter = Counter(monkeypatch)
    resumed = run(model, data, tmp_path, batch_size=batch_size)
    assert same(resumed, whole)
    right = int(whole.verdicts["clean"].sum())
    both = {name: cut.images.get(name, 0) + counter.images.get(name, 0) for name in ("FGSM", "PGD", "CW")}
    assert both == {"FGSM": right, "PGD": right, "CW": right}, "an image was attacked twice, or never"
    assert not (tmp_path / "verdicts.old.safetensors").exists()


def test_a_finished_attack_is_not_run_again(
    model: nn.Module, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(model, data, tmp_path, 7, killed=True)  # inside the second attack; what ended before is on disk
    known = {name: int((level != 0).sum()) for name, level in load_file(tmp_path / "verdicts.safetensors").items()}
    assert known == {"level/clean": 24, "level/fgsm": 24}
    counter = Counter(monkeypatch)
    first = run(model, data, tmp_path)
    assert "FGSM" not in counter.images
    counter.images.clear()
    assert same(
        run(model, data, tmp_path, attacks=("fgsm", "pgd3", "cw", "pgd4")),
        run(model, data, None, attacks=(*ATTACKS, "pgd4")),
    )
    assert counter.images["PGD"] == 3 * int(first.verdicts["clean"].sum())  # pgd4 twice, and pgd3 without a folder


def test_attacks_of_earlier_evaluations_are_kept_but_not_reported(model: nn.Module, data: Data, tmp_path: Path) -> None:
    run(model, data, tmp_path)
    assert list(run(model, data, tmp_path, attacks=("cw",)).verdicts) == ["clean", "cw"]
    assert set(load_file(tmp_path / "verdicts.safetensors")) == {f"level/{name}" for name in ("clean", *ATTACKS)}


def test_seconds_add_up(model: nn.Module, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    first = run(model, data, tmp_path).seconds
    assert set(first) == {"clean", *ATTACKS}
    assert run(model, data, tmp_path).seconds == first


@pytest.mark.parametrize("change", ["model", "eps", "norm", "seed", "split"])
def test_verdicts_of_another_evaluation_are_put_aside(
    change: str, model: nn.Module, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(model, data, tmp_path)
    before = (tmp_path / "verdicts.safetensors").read_bytes()
    changes: dict[str, Any] = {
        "model": {}, "eps": {"eps": 0.2}, "norm": {"norm": "L2"}, "seed": {"seed": 1}, "split": {"split": "train"}
    }[change]  # fmt: skip
    if change == "model":
        with torch.no_grad():
            model.scale.neg_()  # type: ignore[union-attr, operator]
    expected = run(model, data, None, **changes)
    assert same(run(model, data, tmp_path, **changes), expected)
    assert (tmp_path / "verdicts.old.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        "garbage",
        "empty",
        "cut",
        "no settings",
        "too long",
        "two-dimensional",
        "rows without numbers",
        "rows of two lengths",
        "seconds",
    ],
)
def test_a_damaged_file_is_put_aside(damage: str, model: nn.Module, data: Data, tmp_path: Path) -> None:
    expected, path = run(model, data, tmp_path), tmp_path / "verdicts.safetensors"
    whole, parts = path.read_bytes(), load_file(path)
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    if damage in ("garbage", "empty", "cut"):
        path.write_bytes({"garbage": b"not a file of tensors", "empty": b"", "cut": whole[:-10]}[damage])
    elif damage == "no settings":
        save_file(parts, path)
    elif damage == "seconds":
        save_file(parts, path, metadata={**about, "seconds": "[1]"})
    else:
        shapes = {"too long": (99,), "two-dimensional": (24, 1)}
        if damage in shapes:
            parts["level/fgsm"] = torch.ones(shapes[damage], dtype=torch.int16)
        else:
            parts |= {"rows/fgsm#0/x": torch.ones(3, 4)}
            parts |= {"rows/fgsm#0/index": torch.ones(2)} if damage == "rows of two lengths" else {}
        save_file(parts, path, metadata=about)
    assert same(run(model, data, tmp_path), expected)
    assert (tmp_path / "verdicts.old.safetensors").exists()
    assert same(run(model, data, tmp_path), expected)


def test_without_a_folder_nothing_is_written(
    model: nn.Module, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run(model, data, None)
    assert not list(tmp_path.iterdir())


def test_a_generator_belongs_to_its_example() -> None:
    def first(seed: int, stage: str, index: list[int]) -> list[float]:
        return [float(torch.rand((), generator=g)) for g in store.example_generators(seed, stage, index)]

    assert first(0, "pgd20", [3, 4, 5])[1:] == first(0, "pgd20", [4, 5])
    draws = first(0, "pgd20", [1, 2]) + first(0, "cw", [1, 2]) + first(1, "pgd20", [1, 2])
    assert len(set(draws)) == 6
