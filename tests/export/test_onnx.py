"""ONNX and torch.export files: the network's logits for any batch, and nothing of this machine."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

import robustill
from robustill.data import Data
from robustill.errors import ModelError
from robustill.export import Exported, contents, export_model
from robustill.export.onnx_file import OPSET, OnnxNetwork, to_onnx
from robustill.export.parity import compare
from robustill.export.program import to_program
from robustill.models import Classifier, build_model, load_model
from tests.models.stirred import stirred

ROOT = Path(robustill.__file__).parents[2]


def run(content: bytes, images: Tensor) -> Any:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images.numpy()})[0]


@pytest.mark.parametrize("size", [1, 3, 50])
def test_any_batch_gets_the_logits_of_the_network(size: int, net: Classifier, onnx_bytes: bytes, digits: Data) -> None:
    x, _ = next(digits.test.batches(size))
    with torch.no_grad():
        wanted = net(x).numpy()
    found = run(onnx_bytes, x)
    assert found.shape == (size, 10)
    assert np.abs(found - wanted).max() < 1e-4
    assert np.abs(wanted).max() > 1


def test_the_file_says_what_it_takes(onnx_bytes: bytes) -> None:
    proto = onnx.load_from_string(onnx_bytes)
    shape = proto.graph.input[0].type.tensor_type.shape.dim
    assert [each.dim_param or each.dim_value for each in shape] == ["batch", 1, 8, 8]
    assert (proto.graph.input[0].name, proto.graph.output[0].name) == ("images", "logits")
    assert proto.opset_import[0].version == OPSET
    about = {each.key: each.value for each in proto.metadata_props}
    assert about["architecture"] == "cnn_small"
    assert "not normalised" in about["input"]
    assert json.loads(about["class_names"]) is None


def test_no_file_tells_of_the_machine(net: Classifier, onnx_bytes: bytes, whole: tuple[Path, Exported]) -> None:
    contents = {"onnx": onnx_bytes, **{path.name: path.read_bytes() for path in whole[0].iterdir()}}
    assert len(contents) == 7
    for name, content in contents.items():
        for place in (str(ROOT), sys.prefix, str(Path.home()), "stack_trace", str(whole[0].parent)):
            assert place.encode() not in content, (name, place)


def test_equal_weights_give_equal_bytes(net: Classifier, onnx_bytes: bytes, whole: tuple[Path, Exported]) -> None:
    assert to_onnx(net) == onnx_bytes == (whole[0] / "model.onnx").read_bytes()
    assert to_program(net)[0] == (whole[0] / "model.pt2").read_bytes()


def test_batch_norms_and_modes() -> None:
    arguments = {"depth": 10, "width": 1, "mean": [0.4] * 3, "std": [0.2] * 3}
    net = build_model("wide_resnet", num_classes=4, shape=(3, 8, 8), **arguments)
    stirred(net)
    net.train()
    x = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = torch.random.get_rng_state()
    file = OnnxNetwork(to_onnx(net))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert net.training
    parity = compare(net, file, x)
    assert parity.largest_difference < 1e-4 * (1 + parity.largest_logit)
    assert parity.agreement == 1


def test_a_file_that_computes_something_else_is_not_written(
    net: Classifier, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, onnx_bytes: bytes
) -> None:
    other = load_model("cnn_small", num_classes=10, shape=(1, 8, 8))
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        next(module for module in other.modules() if isinstance(module, torch.nn.Conv2d)).weight.mul_(1.001)
    monkeypatch.setattr(contents, "to_onnx", lambda model: onnx_bytes)
    out = tmp_path / "out"
    with pytest.raises(ModelError, match=r"model\.onnx does not compute what the network does: on 64 images"):
        export_model(other, out, formats=["onnx"], measurement=None, progress=False)
    assert not out.exists()


def test_logits_that_are_not_finite_are_an_error(net: Classifier) -> None:
    class Broken(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return net(x) / 0

    with pytest.raises(ModelError, match="its exported form returns infinite or undefined logits"):
        compare(net, Broken(), torch.rand(3, 1, 8, 8))


def test_parity_is_of_all_images_in_batches_of_every_kind(net: Classifier) -> None:
    sizes = []

    class Watched(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            sizes.append(len(x))
            return net(x) + (len(x) == 2) * 0.5

    parity = compare(net, Watched(), torch.rand(20, 1, 8, 8), batch_size=8)
    assert sizes == [1, 2, 8, 8, 1]
    assert (parity.images, round(parity.largest_difference, 5)) == (20, 0.5)
