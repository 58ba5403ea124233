"""Checkpoints of other code that mean harm: refused in one message, nothing executed, memory in proportion."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from robustill.cli import main
from robustill.errors import MissingExtraError, ModelError
from robustill.models import build_model, load_model, sources


class Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.marker}",)


def good(path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)).state_dict(), path)
    return path


def rezipped(path: Path, change: Callable[[str, bytes], bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in records.items():
            archive.writestr(name, change(name, content))
    return path


def load(path: Path) -> None:
    load_model(f"cnn_small@{path}", num_classes=10, shape=(1, 8, 8))


def test_the_checkpoint_that_is_changed_is_good(tmp_path: Path) -> None:
    load(good(tmp_path / "w.pt"))
    load(rezipped(good(tmp_path / "w.pt"), lambda name, content: content))


@pytest.mark.parametrize("form", ["torch", "torch, old", "pickle", "pickle in a zip"])
@pytest.mark.parametrize("way", ["load_model", "teacher of a recipe"])
def test_a_teacher_that_would_run_a_program(
    form: str, way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker, path = tmp_path / "executed", tmp_path / "teacher.pt"
    harm = {"state_dict": Runs(marker)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(harm, protocol=2))
    elif form == "pickle in a zip":
        payload = pickle.dumps(Runs(marker), protocol=2)
        rezipped(good(path), lambda name, content: payload if name.endswith("data.pkl") else content)
    else:
        torch.save(harm, path, _use_new_zipfile_serialization=form == "torch")
    if way == "load_model":
        with pytest.raises(ModelError, match=r"refused|not a complete PyTorch checkpoint"):
            load(path)
    else:
        teacher = ["--set", f"teachers.teacher=cnn_small@{path}"]
        with pytest.raises(SystemExit):
            main(["train", "digits_rslad_cnn-small", *teacher, "--out", str(tmp_path / "run")])
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("error: ")
        assert len(lines) == 2
        assert not (tmp_path / "run").exists()
    assert not marker.exists()
    torch.load(path, weights_only=False) if form.startswith("torch") else None
    assert marker.exists() == form.startswith("torch"), "the payload is none: the test proves nothing"


def test_compressed_records_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    path = rezipped(good(tmp_path / "w.pt"), lambda name, content: content, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed records"):
        load(path)


def test_records_of_another_size_than_claimed(tmp_path: Path) -> None:
    path = rezipped(good(tmp_path / "w.pt"), lambda name, content: content[:16] if "/data/" in name else content)
    with pytest.raises(ModelError, match="not a complete PyTorch checkpoint"):
        load(path)


def test_an_archive_whose_names_lead_elsewhere_writes_nothing(tmp_path: Path) -> None:
    """No code here unpacks an archive; PyTorch's old tar form, which would be unpacked, is refused."""
    inside = tmp_path / "in"
    inside.mkdir()
    with tarfile.open(inside / "w.tar", "w") as archive:
        for name in ("storages", "tensors", "pickle", "../escaped"):
            entry = tarfile.TarInfo(name)
            entry.size = 3
            archive.addfile(entry, io.BytesIO(b"abc"))
    with zipfile.ZipFile(inside / "w.pt", "w") as archive:
        archive.writestr("../escaped", b"abc")
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    for name in ("w.tar", "w.pt"):
        with pytest.raises(ModelError, match="not a complete PyTorch checkpoint"):
            load(inside / name)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    "name", ["x" * 5000, "a\0b", "/dev/zero", "\ud800", "cnn_small@" + "y" * 5000, "cnn_small@/dev"]
)
def test_names_that_are_no_model(name: str) -> None:
    with pytest.raises(ModelError):
        load_model(name, num_classes=10, shape=(1, 8, 8))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("local-dir:/tmp/x", {}),
        ("hf-hub:someone/something", {}),
        ("resnet18", {"checkpoint_path": "evil.pth"}),
        ("resnet18", {"pretrained_cfg_overlay": {"file": "evil.pth"}}),
        ("resnet18", {"cache_dir": "/somewhere"}),
    ],
)
def test_timm_is_not_led_to_other_files(
    name: str, arguments: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reached(*_: object) -> None:
        raise MissingExtraError("timm was asked")

    monkeypatch.setattr(sources, "_package", reached)
    with pytest.raises(ModelError, match=r"no model of timm itself|takes numbers and switches"):
        load_model(f"timm:{name}", **arguments)
    with pytest.raises(MissingExtraError):
        load_model("timm:resnet18", pretrained=False, drop_rate=0.1)
