"""`load_model` by source: file, run folder, architecture; and its answers to what does not exist or fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robustill.errors import ModelError
from robustill.models import build_model, load_model, save_model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    model = build_model("cnn_small", num_classes=10, shape=(1, 8, 8))
    save_model(model, tmp_path / "student.safetensors")
    return tmp_path / "student.safetensors"


def test_file_and_run_folder_give_the_same_model(saved: Path) -> None:
    models = [load_model(source) for source in (saved, str(saved), saved.parent, str(saved.parent))]
    x = torch.rand(2, 1, 8, 8)
    assert all(torch.equal(models[0](x), model(x)) for model in models[1:])


def test_matching_class_count_and_shape_are_accepted(saved: Path) -> None:
    assert load_model(saved, num_classes=10, shape=[1, 8, 8]).spec.num_classes == 10


def test_an_architecture_name_gives_fresh_weights() -> None:
    torch.manual_seed(0)
    model = load_model("preact_resnet18", num_classes=4, width=2, mean=[0.5] * 3, std=[0.5] * 3)
    torch.manual_seed(0)
    built = build_model("preact_resnet18", num_classes=4, width=2, mean=[0.5] * 3, std=[0.5] * 3)
    assert model.spec == built.spec
    assert torch.equal(model.conv1.weight, built.conv1.weight)
    assert not model.training


def test_the_model_is_put_on_the_device(saved: Path) -> None:
    assert {p.device.type for p in load_model(saved, device="meta").parameters()} == {"meta"}


@pytest.mark.parametrize(
    ("source", "arguments", "message"),
    [
        ("resnet81", {}, "did you mean 'resnet18'"),
        ("resnet18", {}, "pass num_classes"),
        ("resnet81@teacher.pt", {}, "did you mean 'resnet18'"),
        ("nowhere/student.safetensors", {}, "no such file or folder: nowhere"),
        (Path("resnet18"), {}, "neither an architecture nor a file"),
        ("resnet18@nowhere.pt", {}, "no such file: nowhere.pt"),
    ],
)
def test_what_does_not_exist_is_one_clear_error(source, arguments, message) -> None:
    with pytest.raises(ModelError, match=message):
        load_model(source, **arguments)


def test_what_does_not_fit_is_one_clear_error(saved: Path) -> None:
    with pytest.raises(ModelError, match="the model has 10 classes, the data set 100"):
        load_model(saved, num_classes=100)
    with pytest.raises(ModelError, match="images of 1x8x8, the data has 3x32x32"):
        load_model(saved, shape=(3, 32, 32))
    with pytest.raises(ModelError, match="brings its own arguments; width"):
        load_model(saved, width=3)


def test_folders_without_a_student_say_why(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no student.safetensors\n.*give a run folder"):
        load_model(tmp_path)
    (tmp_path / "last.pt").write_bytes(b"")
    with pytest.raises(ModelError, match="resume it"):
        load_model(tmp_path)


def test_a_checkpoint_without_its_architecture_says_how_to_name_it(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "teacher.pt")
    with pytest.raises(ModelError, match=r'"resnet18@.*teacher.pt"'):
        load_model(tmp_path / "teacher.pt")


def test_a_path_with_an_at_sign_is_a_path(saved: Path, monkeypatch) -> None:
    other = saved.parent / "me@home.safetensors"
    other.write_bytes(saved.read_bytes())
    assert load_model(str(other)).spec.name == "cnn_small"
    monkeypatch.chdir(saved.parent)
    assert load_model("me@home.safetensors").spec.name == "cnn_small"
