"""References are trained once, found again, and gone on with."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robustill.attacks import PGD
from robustill.data import Data
from robustill.diagnostics.learnability import train_references
from robustill.errors import InputError
from robustill.methods import PGDAT, Standard
from robustill.models import build_model, model_digest
from robustill.training import Interrupted, Settings
from robustill.training.run import Run

SETTINGS = Settings.model_validate({"epochs": 3, "batch_size": 32, "optimizer": {"lr": 0.05}})


def build(seed: int, eps: float = 0.05) -> PGDAT:
    torch.manual_seed(seed)
    net = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    return PGDAT(net, attack=PGD(eps=eps, step_size=eps / 2, steps=2))


def trained(data: Data, out: Path | None = None, settings: Settings = SETTINGS, **changes: Any) -> dict[str, nn.Module]:
    return train_references(build, data, settings, **{"seeds": (0, 1), "out": out, "progress": False, **changes})


def digests(references: dict[str, nn.Module]) -> dict[str, str]:
    return {name: model_digest(model) for name, model in references.items()}


def test_references_are_found_again(tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = digests(trained(tiny_data, tmp_path))
    assert list(first) == ["pgd_at/0", "pgd_at/1"]
    assert len(set(first.values())) == 2
    assert first == digests(trained(tiny_data)), "a folder changes nothing"

    def never(*args: Any) -> None:
        raise AssertionError("nothing is left to train")

    monkeypatch.setattr(Run, "run_epoch", never)
    assert digests(trained(tiny_data, tmp_path)) == first
    with pytest.raises(AssertionError):
        trained(tiny_data, tmp_path, SETTINGS.model_copy(update={"batch_size": 16}))
    with pytest.raises(AssertionError):
        train_references(lambda seed: build(seed, 0.06), tiny_data, SETTINGS, out=tmp_path, progress=False)


def test_the_selected_student_is_taken(tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([{"clean": 1.0, "robust": 0.9}, {"clean": 1.0, "robust": 0.1}, {"clean": 1.0, "robust": 0.2}])
    monkeypatch.setattr("robustill.training.selection.judge", lambda *args, **kwargs: next(scores))
    (student,) = trained(tiny_data, tmp_path, seeds=(0,)).values()
    folder = next((tmp_path / "references").iterdir())
    best, last = (torch.load(folder / "last.pt", weights_only=True)[key] for key in ("best", "epoch"))
    assert (best["epoch"], last) == (0, 3)
    assert "layers.0.weight" in student.state_dict()
    assert not student.training
    kept = torch.load(folder / "last.pt", weights_only=True)["method"]["student.layers.0.weight"]
    assert not torch.equal(student.state_dict()["layers.0.weight"], kept)


def test_a_reference_goes_on_from_the_checkpoint_before(tiny_data: Data, tmp_path: Path) -> None:
    """A process that was killed between two names leaves that one alone."""
    first = digests(trained(tiny_data, tmp_path, seeds=(0,)))
    (folder,) = (tmp_path / "references").iterdir()
    (folder / "last.pt").unlink()
    assert digests(trained(tiny_data, tmp_path, seeds=(0,))) == first


def test_a_reference_that_was_cut_off_goes_on(tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, real = digests(trained(tiny_data)), Run.run_epoch
    with monkeypatch.context() as patch:

        def cut(self: Run, *args: Any) -> None:
            if self.settings.seed == 1 and self.epoch == 2:
                raise Interrupted("stopped; go on with --resume")
            real(self, *args)

        patch.setattr(Run, "run_epoch", cut)
        with pytest.raises(Interrupted, match="pgd_at/1; the same command") as stopped:
            trained(tiny_data, tmp_path)
    assert "--resume" not in str(stopped.value)
    assert digests(trained(tiny_data, tmp_path)) == whole


def test_mistakes(tiny_data: Data) -> None:
    for seeds in ((), (0, 0)):
        with pytest.raises(InputError, match="seeds"):
            trained(tiny_data, seeds=seeds)
    blind = Data(tiny_data.name, tiny_data.class_names, tiny_data.train, None, tiny_data.test)
    with pytest.raises(InputError, match="robust peak"):
        trained(blind)
    with pytest.raises(InputError, match="no adversary"):
        train_references(lambda seed: Standard(build(seed).student), tiny_data, SETTINGS, progress=False)
