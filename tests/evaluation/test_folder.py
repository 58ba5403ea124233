"""What a folder holds from before spares work, and changes no number."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.evaluation import Curve, Evaluation, evaluate
from robustill.evaluation.store import VerdictStore
from tests.evaluation.conftest import Brightness


def run(model: nn.Module, data: Data, out: Path | None, **changes: Any) -> Evaluation:
    given = {"eps": 0.1, "attacks": ("fgsm",), "progress": False, "checks": False, **changes}
    return evaluate(model, data, out=out, **given)


class Masked(Brightness):
    """As `Brightness`, with a gradient that points the wrong way: Square finds what FGSM does not."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return 2 * logits.detach() - logits


class Ring(Brightness):
    """As `Brightness` while the mean is within 0.025 of that of an image of `data`; right again farther away."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        images = data.test.images(torch.arange(len(data.test))).float() / 255
        self.means = images.mean((1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        distance, nearest = (x.mean((1, 2, 3))[:, None] - self.means).abs().min(1)
        far = (self.means[nearest] > 0.5).float()[:, None]
        return torch.where(distance[:, None] > 0.025, 9 * torch.cat([1 - far, far], 1), super().forward(x))


def curve_of(found: Evaluation) -> Curve:
    assert found.curve is not None
    return found.curve


def test_a_curve_is_that_of_the_attacks_asked_for(data: Data, tmp_path: Path) -> None:
    alone = curve_of(run(Masked(), data, None, eps_grid=(0.1,)))
    both = curve_of(run(Masked(), data, tmp_path, attacks=("square", "fgsm"), eps_grid=(0.1,)))
    assert both.verdicts.sum() < alone.verdicts.sum()
    assert torch.equal(curve_of(run(Masked(), data, tmp_path, eps_grid=(0.1,))).verdicts, alone.verdicts)


def test_a_point_of_a_curve_does_not_depend_on_an_earlier_grid(tmp_path: Path) -> None:
    levels = torch.tensor([10, 60, 123, 190, 250]).to(torch.uint8)
    images, labels = levels[:, None, None, None].expand(-1, 1, 4, 4).contiguous(), (levels > 127).long()
    data = Data.from_arrays((images, labels), (images, labels), validation=0)
    alone = curve_of(run(Ring(data), data, None, eps_grid=(0.05,)))
    assert not curve_of(run(Ring(data), data, tmp_path, eps_grid=(0.02, 0.05))).verdicts[1].all()
    assert alone.verdicts.all()
    assert torch.equal(curve_of(run(Ring(data), data, tmp_path, eps_grid=(0.05,))).verdicts, alone.verdicts)


def test_the_time_for_radii_of_an_earlier_grid_is_not_counted(model: nn.Module, data: Data, tmp_path: Path) -> None:
    run(model, data, tmp_path, eps_grid=(0.02, 0.3))
    assert set(run(model, data, tmp_path).seconds) == {"clean", "fgsm"}
    assert set(run(model, data, tmp_path, eps_grid=(0.3,)).seconds) == {"clean", "fgsm", "fgsm@0.3"}


def test_an_attack_named_twice_is_run_once(model: nn.Module, data: Data) -> None:
    found = run(model, data, None, attacks=("fgsm", "fgsm"), eps_grid=(0.02, 0.3))
    assert list(found.verdicts) == ["clean", "fgsm"]
    assert curve_of(found).attacks == ("fgsm",)


def left_behind(folder: Path, part: tuple[int, int] = (0, 1)) -> bytes:
    """Write the file of a process of another evaluation."""
    store = VerdictStore(folder, {"seed": 1}, 3, part)
    store.level("fgsm")[:] = 1
    store.save()
    (path,) = folder.glob("*.safetensors")
    return path.read_bytes()


def test_what_a_process_of_another_evaluation_left_is_kept(tmp_path: Path) -> None:
    before = left_behind(tmp_path, (0, 2))
    store = VerdictStore(tmp_path, {"seed": 2}, 3)
    store.level("fgsm")[:] = 1
    store.merge()
    kept = [path for path in tmp_path.iterdir() if path.name != "verdicts.safetensors"]
    assert [path.read_bytes() for path in kept] == [before]


def test_two_processes_put_the_same_file_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, load = left_behind(tmp_path), VerdictStore._load

    def after_another(self: VerdictStore, path: Path) -> None:
        monkeypatch.setattr(VerdictStore, "_load", load)
        VerdictStore(tmp_path, {"seed": 2}, 3, (0, 2))
        load(self, path)

    monkeypatch.setattr(VerdictStore, "_load", after_another)
    assert VerdictStore(tmp_path, {"seed": 2}, 3, (1, 2)).levels == {}
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]
