"""Checkpoints of other code: wrappers, prefixes, other names, and everything that must be refused."""

from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from robustill.errors import ModelError
from robustill.models import Classifier, LoadNotes, build_model, load_foreign, load_model

State = dict[str, Tensor]
X = torch.rand(2, 3, 32, 32)


def resnet(seed: int = 0, classes: int = 10, **arguments: Any) -> Classifier:
    torch.manual_seed(seed)
    return build_model("resnet18", num_classes=classes, width=2, **arguments).eval()


def wide(seed: int = 0, **arguments: Any) -> Classifier:
    torch.manual_seed(seed)
    return build_model("wide_resnet", num_classes=10, depth=10, width=1, **arguments).eval()


def load(content: Any, path: Path, model: Classifier | None = None, **options: Any) -> tuple[Classifier, LoadNotes]:
    torch.save(content, path)
    model = model if model is not None else resnet(seed=1)
    return model, load_foreign(model, path, **options)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


STATE = resnet().state_dict()


@pytest.mark.parametrize(
    ("content", "removed"),
    [
        (STATE, ()),
        (OrderedDict(STATE), ()),
        ({"state_dict": STATE, "epoch": 7, "acc": 0.5}, ("state_dict",)),
        ({"net": prefixed(STATE, "module."), "acc": 1}, ("net", "module.")),
        ({"model": STATE, "optimizer": {"lr": 0.1}}, ("model",)),
        ({"model_state_dict": prefixed(STATE, "_orig_mod.")}, ("model_state_dict", "_orig_mod.")),
        ({"ema": {**prefixed(STATE, "module."), "n_averaged": torch.tensor(3)}}, ("ema", "module.")),
        ({"last": {"state_dict": STATE}}, ("last", "state_dict")),
        (prefixed(STATE, "module.model."), ("module.", "model.")),
        (prefixed(STATE, "module.basic_net."), ("module.", "basic_net.")),
        ({"state_dict": prefixed(STATE, "net.backbone.")}, ("state_dict", "net.", "backbone.")),
        ({"state_dict": STATE, "best_acc": np.float64(0.5), "epoch": np.int64(3)}, ("state_dict",)),
    ],
)
def test_wrappers_and_prefixes_are_taken_off(content: Any, removed: tuple[str, ...], tmp_path: Path) -> None:
    model, notes = load(content, tmp_path / "t.pt")
    assert notes == LoadNotes(removed=removed)
    assert torch.equal(model(X), resnet()(X))


def test_safetensors_without_metadata_are_loaded_by_architecture(tmp_path: Path) -> None:
    safetensors.torch.save_file(STATE, tmp_path / "t.safetensors")
    model = load_model(f"resnet18@{tmp_path / 't.safetensors'}", num_classes=10, width=2)
    assert torch.equal(model(X), resnet()(X))
    with pytest.raises(ModelError, match="ARCHITECTURE@"):
        load_model(tmp_path / "t.safetensors")


def test_class_count_is_read_off_the_checkpoint_and_no_random_number_is_drawn(tmp_path: Path) -> None:
    torch.save(resnet(classes=7).state_dict(), tmp_path / "t.pth")
    torch.manual_seed(5)
    model = load_model(f"resnet18@{tmp_path / 't.pth'}", width=2)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert model.spec.num_classes == 7
    assert not model.training


def test_head_and_shortcut_names_are_mapped(tmp_path: Path) -> None:
    state = {
        name.replace("linear.", "fc.").replace(".shortcut.", ".downsample."): tensor for name, tensor in STATE.items()
    }
    model, notes = load(state, tmp_path / "t.pt")
    assert torch.equal(model(X), resnet()(X))
    assert ("fc.weight", "linear.weight") in notes.renamed
    state = {name.replace("fc.", "linear."): tensor for name, tensor in wide().state_dict().items()}
    assert torch.equal(load(state, tmp_path / "w.pt", wide(seed=1))[0](X), wide()(X))


def test_a_plain_sequence_fits_the_plain_networks(tmp_path: Path) -> None:
    source = build_model("cnn_small", num_classes=10, shape=(1, 8, 8))
    target = build_model("cnn_small", num_classes=10, shape=(1, 8, 8))
    load(source.layers.state_dict(), tmp_path / "t.pt", target)
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(source(x), target(x))


def test_the_unused_stage_of_the_trades_network_is_dropped(tmp_path: Path) -> None:
    state = wide().state_dict()
    unused = {"sub_" + name: tensor for name, tensor in state.items() if name.startswith("block1.")}
    model, notes = load({**state, **unused}, tmp_path / "t.pt", wide(seed=1))
    assert torch.equal(model(X), wide()(X))
    assert set(notes.dropped) == set(unused)


def test_the_names_of_the_gowal_networks_are_mapped(tmp_path: Path) -> None:
    source = wide(activation="silu", padding="bottom-right")
    state = {}
    for name, tensor in source.state_dict().items():
        new = name.replace("convShortcut", "shortcut").replace("fc.", "logits.")
        for stage in range(3):
            new = new.replace(f"block{stage + 1}.layer.", f"layer.{stage}.block.")
        if new.startswith("layer."):
            for i in range(2):
                new = new.replace(f".bn{i + 1}.", f".batchnorm_{i}.").replace(f".conv{i + 1}.", f".conv_{i}.")
        elif new.startswith("bn1."):
            new = new.replace("bn1.", "batchnorm.")
        state[new.replace("conv1.", "init_conv.") if new == "conv1.weight" else new] = tensor
    state |= {"mean": torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), "std": torch.full((3, 1, 1), 0.25)}
    target = wide(seed=1, activation="silu", padding="bottom-right")
    model, notes = load(prefixed(state, "module."), tmp_path / "t.pt", target)
    assert notes.normalization is not None
    torch.testing.assert_close(model(X), source((X - torch.tensor([0.4, 0.5, 0.6])[:, None, None]) / 0.25))
    with pytest.raises(ModelError, match='padding="bottom-right"'):
        load_foreign(wide(), tmp_path / "t.pt")


@pytest.mark.parametrize(
    ("names", "scale"),
    [
        (("mean", "std"), 1),
        (("mu", "sigma"), 1),
        (("normalize.mean", "normalize.std"), 1),
        (("0.mean", "0.std"), 255),
        (("scaler.mean_", "scaler.std_"), 1),
    ],
)
def test_normalisation_of_the_checkpoint_is_adopted(names: tuple[str, str], scale: int, tmp_path: Path) -> None:
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6])
    weights = prefixed(STATE, "1." if scale > 1 else "model.")
    shape = (1, 3, 1, 1)
    content = {**weights, names[0]: mean.view(shape) * scale, names[1]: std.view(shape) * scale}
    model, notes = load(content, tmp_path / "t.pt")
    expected = resnet()((X - mean[:, None, None]) / std[:, None, None])
    torch.testing.assert_close(model(X), expected, rtol=1e-4, atol=1e-5)
    assert notes.normalization is not None
    assert model.spec.mean == pytest.approx([0.1, 0.2, 0.3])
    assert model.spec.std == pytest.approx([0.4, 0.5, 0.6])


def test_a_network_that_holds_its_attacker_and_normaliser(tmp_path: Path) -> None:
    whole = {**prefixed(STATE, "model."), "normalizer.new_mean": torch.full((3, 1, 1), 0.4)}
    whole["normalizer.new_std"] = torch.full((3, 1, 1), 0.5)
    # The attacker's copies are the same tensors when the file is written; others must not be taken up.
    copies = {f"attacker.{name}": torch.zeros_like(tensor) for name, tensor in whole.items()}
    model, notes = load({"model": prefixed({**copies, **whole}, "module.")}, tmp_path / "t.pt")
    assert notes.removed == ("model", "module.", "model.")
    assert model.spec.mean == pytest.approx([0.4] * 3)
    torch.testing.assert_close(model(X), resnet()((X - 0.4) / 0.5), rtol=1e-4, atol=1e-5)


def test_normalisation_is_adopted_with_the_precision_of_the_model(tmp_path: Path) -> None:
    content = {**STATE, "mean": torch.tensor(0.5), "std": torch.tensor(0.5)}
    model, _ = load(content, tmp_path / "t.pt", resnet(seed=1).double())
    assert model.normalize.mean.dtype == torch.float64
    assert model.spec.mean == (0.5, 0.5, 0.5)


def test_a_contradicting_or_broken_normalisation_is_refused(tmp_path: Path) -> None:
    own = {"mean": [0.5] * 3, "std": [0.5] * 3}
    with pytest.raises(ModelError, match="leave mean and std out"):
        load({**STATE, "mu": torch.full((3,), 0.4), "sigma": torch.full((3,), 0.5)}, tmp_path / "t", resnet(**own))
    with pytest.raises(ModelError, match="only one of"):
        load({**STATE, "mu": torch.full((3,), 0.4)}, tmp_path / "t.pt")
    with pytest.raises(ModelError, match="2 values, the images have 3"):
        load({**STATE, "mean": torch.full((2,), 0.4), "std": torch.ones(2)}, tmp_path / "t.pt")
    with pytest.raises(ModelError, match="positive"):
        load({**STATE, "mean": torch.full((3,), 0.4), "std": torch.zeros(3)}, tmp_path / "t.pt")


def test_a_model_keeps_its_normalisation_when_the_file_has_none(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "t.pt")
    source = f"resnet18@{tmp_path / 't.pt'}"
    model = load_model(source, num_classes=10, width=2, mean=[0.5] * 3, std=[0.25] * 3)
    torch.testing.assert_close(model(X), resnet()((X - 0.5) / 0.25))


def test_another_class_count_has_its_own_message_and_can_be_allowed(tmp_path: Path) -> None:
    content = resnet(classes=100).state_dict()
    with pytest.raises(ModelError, match="the checkpoint has 100 classes, the data set 10"):
        load(content, tmp_path / "t.pt")
    fresh = resnet(seed=1)
    model, notes = load(content, tmp_path / "t.pt", strict_head=False)
    assert notes.fresh_head
    assert torch.equal(model.linear.weight, fresh.linear.weight)
    assert torch.equal(model.conv1.weight, content["conv1.weight"])


def test_missing_batch_counts_are_allowed_and_half_precision_is_converted(tmp_path: Path) -> None:
    old = {name: t.half() for name, t in STATE.items() if "num_batches" not in name}
    model, _ = load(old, tmp_path / "t.pt")
    assert model.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(model(X), resnet()(X), rtol=0.05, atol=0.01)


def without(name: str) -> State:
    return {key: tensor for key, tensor in STATE.items() if key != name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (without("layer1.0.conv1.weight"), r"missing: layer1.0.conv1.weight \[2, 2, 3, 3\]"),
        ({**STATE, "extra.weight": torch.zeros(3)}, r"unexpected: extra.weight \[3\]"),
        (
            build_model("resnet18", num_classes=10, width=4).state_dict(),
            r"conv1.weight is \[4, 3, 3, 3\].*and \d+ more",
        ),
        (build_model("resnet34", num_classes=10, width=2).state_dict(), "unexpected: layer1.2.conv1.weight"),
        ({**STATE, "conv1.weight": torch.zeros(2, 3, 7, 7)}, "ImageNet form"),
        ({**STATE, "bn.weight": torch.zeros(3)}, "final_norm=True"),
        ({**STATE, "fc.weight": STATE["linear.weight"]}, "two tensors for linear.weight"),
        ({**STATE, "linear.bias": torch.full((10,), float("nan"))}, "linear.bias has infinite"),
        ({"epoch": 3, "acc": 0.9}, "holds no network weights, only: epoch, acc"),
        ([1, 2], "holds no network weights, only: list"),
        (torch.zeros(3), "holds no network weights, only: Tensor"),
    ],
)
def test_what_does_not_fit_is_one_clear_error_and_nothing_is_loaded(content, message, tmp_path: Path) -> None:
    model = resnet(seed=1)
    with pytest.raises(ModelError, match=message):
        load(content, tmp_path / "t.pt", model)
    assert all(torch.equal(t, resnet(seed=1).state_dict()[name]) for name, t in model.state_dict().items())


class Payload:
    """Runs a command when unpickled; its effect must never be seen."""

    def __init__(self, target: Path) -> None:
        self.command = f"touch {target}"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("place", ["zip", "legacy", "pickle", "nested"])
def test_a_pickle_with_a_command_is_refused_and_never_run(place: str, tmp_path: Path) -> None:
    path, seen = tmp_path / "t.pt", tmp_path / "executed"
    content = {"state_dict": STATE, "args": Payload(seen)} if place == "nested" else Payload(seen)
    if place == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=place != "legacy")
    for source in (f"resnet18@{path}", f"cnn_small@{path}"):
        with pytest.raises(ModelError, match=r"pickled code objects(.|\n)*save the weights alone") as caught:
            load_model(source, num_classes=10)
        assert "weights_only" not in str(caught.value)
    assert not seen.exists()
    if place == "pickle":
        pickle.loads(path.read_bytes())
        assert seen.exists(), "the payload does work where pickles are trusted"


def test_a_number_of_numpy_that_holds_an_object_is_refused(tmp_path: Path) -> None:
    seen = tmp_path / "executed"

    class Number:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return np.float64(0).__reduce__()[0], (np.dtype("O"), Payload(seen))

    torch.save({"state_dict": STATE, "best": Number()}, tmp_path / "t.pt")
    with pytest.raises(ModelError, match=r"pickled code objects \(numpy\.dtypes\.ObjectDType\)"):
        load_foreign(resnet(), tmp_path / "t.pt")
    assert not seen.exists()


def test_whole_pickled_modules_and_namespaces_are_refused(tmp_path: Path) -> None:
    for content, named in ((nn.Linear(2, 2), "torch.nn"), ({"args": argparse.Namespace(lr=0.1)}, "argparse.Namespace")):
        torch.save(content, tmp_path / "t.pt")
        with pytest.raises(ModelError, match=rf"pickled code objects \({named}"):
            load_foreign(resnet(), tmp_path / "t.pt")


def test_files_that_are_no_checkpoints_are_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "t.pt"
    torch.save(STATE, path)
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"<html>quota exceeded</html>", bytes(range(256)) * 20):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not a complete PyTorch checkpoint"):
            load_foreign(resnet(), path)
    with pytest.raises(ModelError, match="is a folder"):
        load_foreign(resnet(), tmp_path)
    (tmp_path / "t.safetensors").write_bytes((2**62).to_bytes(8, "little") + b"{}")
    with pytest.raises(ModelError, match="not a complete safetensors file"):
        load_foreign(resnet(), tmp_path / "t.safetensors")
