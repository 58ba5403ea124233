"""Weights files: bit-equal round trips, stable bytes, metadata that is checked, and digests."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from robustill.errors import ModelError
from robustill.models import Classifier, Frozen, build_model, file_digest, load_model, model_digest, save_model
from robustill.models.seal import SEAL
from robustill.writing import WriteError


def small(seed: int = 0, **arguments: object) -> Classifier:
    torch.manual_seed(seed)
    return build_model("resnet18", num_classes=3, shape=(1, 8, 8), width=2, **arguments)


def rewrite(path: Path, **changes: str | None) -> Path:
    """Write the file again with other metadata, without its checksum; None removes an entry."""
    with safetensors.safe_open(path, "pt") as file:
        metadata = {key: value for key, value in (file.metadata() or {}).items() if key != SEAL}
    for key, value in changes.items():
        metadata.pop(key) if value is None else metadata.update({key: value})
    safetensors.torch.save_file(safetensors.torch.load(path.read_bytes()), path, metadata=metadata)
    return path


def equal(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    same = all(torch.equal(ours[k], theirs[k]) and ours[k].dtype == theirs[k].dtype for k in ours)
    return list(ours) == list(theirs) and same


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_round_trip_is_bit_equal_and_needs_only_the_file(tmp_path: Path, dtype: torch.dtype) -> None:
    model = small(mean=[0.3], std=[0.7]).to(dtype)
    digest = save_model(model, tmp_path / "deep" / "m.safetensors", class_names=["a", "b", "ü"], extra={"by": "me"})
    loaded = load_model(tmp_path / "deep" / "m.safetensors")
    x = torch.rand(3, 1, 8, 8, dtype=dtype)
    assert equal(model, loaded)
    assert torch.equal(model.eval()(x), loaded(x))
    assert not loaded.training
    assert loaded.spec == model.spec
    assert loaded.class_names == ("a", "b", "ü")
    assert dict(loaded.extra) == {"by": "me"}
    assert all(p.requires_grad for p in loaded.parameters())
    assert digest == file_digest(tmp_path / "deep" / "m.safetensors")
    assert digest == hashlib.sha256((tmp_path / "deep" / "m.safetensors").read_bytes()).hexdigest()


def test_a_loaded_model_trains_and_is_saved_with_its_class_names(tmp_path: Path) -> None:
    save_model(small(), tmp_path / "a.safetensors", class_names=["x", "y", "z"])
    loaded = load_model(tmp_path / "a.safetensors").train()
    loaded(torch.rand(4, 1, 8, 8)).sum().backward()
    torch.optim.SGD(loaded.parameters(), lr=0.1).step()
    save_model(loaded, tmp_path / "b.safetensors")
    again = load_model(tmp_path / "b.safetensors")
    assert again.class_names == ("x", "y", "z")
    assert not equal(again, small())


def test_bytes_depend_on_the_weights_alone(tmp_path: Path) -> None:
    extra = {f"k{i}": str(i) for i in range(8)}
    first = save_model(small(), tmp_path / "a.safetensors", extra=extra)
    backwards = dict(reversed(extra.items()))
    assert save_model(small().to(memory_format=torch.channels_last), tmp_path / "b", extra=backwards) == first
    assert save_model(Frozen(small()), tmp_path / "c", extra=extra) == first
    assert save_model(nn.DataParallel(small()), tmp_path / "d", extra=extra) == first
    assert save_model(torch.compile(small(), backend="eager"), tmp_path / "e", extra=extra) == first
    assert save_model(small(seed=1), tmp_path / "f", extra=extra) != first


def test_bytes_are_the_same_in_another_process(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from robustill.models import build_model, save_model; torch.manual_seed(0);"
        "m = build_model('cnn_small', num_classes=3, shape=(1, 8, 8));"
        "print(save_model(m, sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m.safetensors")]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    theirs = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    torch.manual_seed(0)
    model = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    assert save_model(model, tmp_path / "n.safetensors") == theirs


def test_the_file_is_valid_and_its_metadata_sorted(tmp_path: Path) -> None:
    save_model(small(), tmp_path / "m.safetensors", class_names=["a", "b", "c"])
    raw = (tmp_path / "m.safetensors").read_bytes()
    size = int.from_bytes(raw[:8], "little")
    metadata = json.loads(raw[8 : 8 + size])["__metadata__"]
    assert size % 8 == 0
    assert list(metadata) == sorted(metadata)
    assert metadata["architecture"] == "resnet18"
    assert metadata["input_range"] == "[0,1]"
    assert json.loads(metadata["class_names"]) == ["a", "b", "c"]
    assert json.loads(metadata["arguments"]) == {"width": 2}
    with safetensors.safe_open(tmp_path / "m.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("conv1.weight"), small().conv1.weight)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "m.safetensors"
    old = save_model(small(), path)

    def full_disk(_: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(WriteError, match="no space"):
        save_model(small(seed=1), path)
    assert file_digest(path) == old
    assert [each.name for each in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_reader_of_the_old_file_is_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(small(), path)
    before = path.read_bytes()
    with path.open("rb") as reader:
        save_model(small(seed=1), path)
        assert reader.read() == before
    assert path.read_bytes() != before


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    save_model(small(), tmp_path / "m.safetensors")
    torch.manual_seed(3)
    load_model(tmp_path / "m.safetensors")
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))


def test_what_cannot_be_saved_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not made by build_model"):
        save_model(nn.Linear(2, 2), tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match="2 class names, the model has 3"):
        save_model(small(), tmp_path / "m.safetensors", class_names=["a", "b"])
    with pytest.raises(ModelError, match="must not be called 'shape'"):
        save_model(small(), tmp_path / "m.safetensors", extra={"shape": "x"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "ARCHITECTURE@"),
        ({"format": "robustill/99"}, "update robustill"),
        ({"mean": None}, "lacks metadata: mean"),
        ({"architecture": "os.system"}, "a network 'os.system', which is not known here"),
        ({"arguments": '{"width": {"a": 1}}'}, "numbers, strings"),
        ({"arguments": "[1]"}, "JSON object"),
        ({"arguments": "{"}, "invalid metadata"),
        ({"arguments": '{"width": 1000000000}'}, "width"),
        ({"arguments": '{"wdith": 2}'}, "no argument 'wdith'"),
        ({"arguments": '{"shape": [3, 8, 8]}'}, "no argument 'shape'"),
        ({"arguments": "[" * 100_000}, "invalid metadata"),
        ({"architecture": "wide_resnet", "arguments": '{"depth": 4000000}'}, "depth"),
        ({"num_classes": "1000000000000"}, "number of classes"),
        ({"num_classes": "true"}, "number of classes"),
        ({"num_classes": "4"}, "does not fit"),
        ({"shape": "[1, 8]"}, "image shape"),
        ({"shape": "[2, 8, 8]"}, "conv1.weight is"),
        ({"input_range": "[0,255]"}, r"\[0,255\]"),
        ({"mean": "[0.5]"}, "both mean and std"),
        ({"mean": "[0.5]", "std": "[0.0]"}, "positive"),
        ({"mean": "[0.5]", "std": "[0.5]"}, "missing: normalize.mean"),
        ({"class_names": '["a"]'}, "1 class names"),
        ({"class_names": '{"a": 1}'}, "list of strings"),
    ],
)
def test_hostile_metadata_is_one_clear_error(tmp_path: Path, changes: dict[str, str | None], message: str) -> None:
    save_model(small(), tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match=message):
        load_model(rewrite(tmp_path / "m.safetensors", **changes))


def test_damaged_files_are_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(small(), path)
    whole = path.read_bytes()
    damaged = [
        b"",
        whole[:5],
        whole[:100],
        whole[:-1],
        b"\xff" * 8 + whole[8:],
        (10**9).to_bytes(8, "little") + whole[8:],
        whole[:8] + b"\x00" * 50 + whole[58:],
        b"<html>quota exceeded</html>",
    ]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not a complete safetensors file"):
            load_model(path)


def test_integer_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(small(), path)
    tensors = safetensors.torch.load(path.read_bytes())
    with safetensors.safe_open(path, "pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if key != SEAL}
    tensors["conv1.weight"] = tensors["conv1.weight"].int()
    safetensors.torch.save_file(tensors, path, metadata=metadata)
    with pytest.raises(ModelError, match=r"other type: conv1.weight is torch.int32"):
        load_model(path)


def test_model_digest_identifies_the_weights() -> None:
    model = small()
    digest = model_digest(model)
    assert model_digest(small()) == digest
    assert model_digest(small().to(memory_format=torch.channels_last)) == digest
    assert model_digest(Frozen(small())) == digest
    assert model_digest(small(seed=1)) != digest
    assert model_digest(small().double()) != digest
    assert model_digest(small(mean=[0.5], std=[0.5])) != digest
    assert len(model_digest(small().bfloat16())) == 64
    changed = copy.deepcopy(model)
    changed.bn1.num_batches_tracked += 1
    assert model_digest(changed) != digest


def test_model_digest_tells_names_shapes_and_types_apart() -> None:
    def holding(name: str, tensor: torch.Tensor) -> str:
        module = nn.Module()
        module.register_buffer(name, tensor)
        return model_digest(module)

    same_bytes = [holding("a", torch.zeros(2, 3)), holding("b", torch.zeros(2, 3)), holding("a", torch.zeros(3, 2))]
    same_bytes.append(holding("a", torch.zeros(2, 3, dtype=torch.int32)))
    assert len(set(same_bytes)) == 4
    turned = torch.arange(6.0).reshape(3, 2).T
    assert holding("a", turned) == holding("a", turned.contiguous())
