"""Eight bits: what they are calibrated on, what is in the file, and what a batch does to a prediction."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from robustill.data import Data
from robustill.data.splits import to_unit
from robustill.errors import InputError
from robustill.evaluation import balanced
from robustill.export import Exported, export_model
from robustill.export.contents import make_contents
from robustill.export.int8 import calibration_images, quantised
from robustill.export.onnx_file import OnnxNetwork, about, to_onnx
from robustill.models import Classifier, build_model


def grey(validation: int) -> Data:
    """Return data whose test images are darker than all others."""
    labels = torch.arange(40) % 2
    train = (torch.full((40, 4, 4), 200, dtype=torch.uint8) + torch.arange(40).view(-1, 1, 1).to(torch.uint8), labels)
    test = (torch.full((40, 4, 4), 10, dtype=torch.uint8), labels)
    return Data.from_arrays(train, test, validation=validation)


def test_calibration_is_on_validation_images() -> None:
    data = grey(validation=8)
    assert data.validation is not None
    name, images = calibration_images(data, 6, seed=3)
    own = {float(each) for each in to_unit(data.validation.images(torch.arange(8)))[:, 0, 0, 0]}
    found = images[:, 0, 0, 0].tolist()
    assert name == "validation"
    assert len(set(found)) == 6
    assert set(found) <= own


def test_without_validation_images_it_is_on_training_images() -> None:
    name, images = calibration_images(grey(validation=0), 512, seed=0)
    assert (name, len(images)) == ("train", 40)
    assert float(images.min()) >= 200 / 255


def test_the_exported_file_has_seen_no_test_image(
    whole: tuple[Path, Exported], net: Classifier, onnx_bytes: bytes, digits: Data
) -> None:
    written = (whole[0] / "model_int8.onnx").read_bytes()
    assert digits.validation is not None
    for split, same in ((digits.validation, True), (digits.test, False)):
        images = to_unit(split.images(balanced(split.labels, 64, 0)))
        assert (quantised(onnx_bytes, images, about(net), progress=False) == written) is same
    details = whole[1].files["int8"].details["quantization"]
    assert (details["kind"], details["split"], details["images"]) == ("static", "validation", 64)


def test_weights_are_of_seven_bits_in_eight(whole: tuple[Path, Exported]) -> None:
    path = whole[0] / "model_int8.onnx"
    proto = onnx.load(path)
    weights = [
        array
        for each in proto.graph.initializer
        if (array := onnx.numpy_helper.to_array(each)).dtype == np.int8 and array.ndim > 1
    ]
    assert len(weights) == 4
    assert all(32 < np.abs(each.astype(int)).max() <= 64 for each in weights)
    assert path.stat().st_size < 0.5 * (whole[0] / "model.onnx").stat().st_size
    assert {each.key for each in proto.metadata_props} == {
        "architecture",
        "class_names",
        "input",
        "num_classes",
        "output",
    }


def test_it_is_close_to_the_network(whole: tuple[Path, Exported]) -> None:
    parity = whole[1].files["int8"].parity
    assert parity is not None
    assert 1e-3 < parity.largest_difference < 0.2 * parity.largest_logit
    assert parity.agreement > 0.9


def test_dynamic_scales_by_the_batch_unless_images_are_alone(onnx_bytes: bytes, net: Classifier, digits: Data) -> None:
    small = quantised(onnx_bytes, None, about(net), progress=False)
    x, _ = next(digits.test.batches(20))
    x[5:] *= 0.05
    together, alone = OnnxNetwork(small), OnnxNetwork(small, alone=True)
    assert float((together(x)[5:] - together(x[5:])).abs().max()) > 1e-3
    assert torch.equal(alone(x)[5:], alone(x[5:]))
    assert alone(x[:0]).shape == (0, 10)


def test_dynamic_files_are_asked_image_by_image(net: Classifier, digits: Data) -> None:
    x, _ = next(digits.test.batches(10))
    found = make_contents(net, ["int8"], x, quantization="dynamic", calibration=None, progress=False)["int8"]
    assert isinstance(found.network, OnnxNetwork)
    assert found.network.alone
    assert found.details["quantization"]["kind"] == "dynamic"


def test_batch_norms_that_cannot_be_folded_stay_float(caplog: pytest.LogCaptureFixture) -> None:
    net = build_model("wide_resnet", num_classes=4, shape=(3, 8, 8), depth=10, width=1)
    images = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    proto = onnx.load_from_string(quantised(to_onnx(net), images, {}, progress=False))
    norms = [node for node in proto.graph.node if node.op_type == "BatchNormalization"]
    made = {name for node in proto.graph.node for name in node.output}
    assert norms
    assert all(node.input[1] not in made for node in norms)
    assert [each.message for each in caplog.records if each.levelname == "WARNING"] == []


def test_static_needs_images(net: Classifier, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="int8 needs images to calibrate on"):
        export_model(net, tmp_path / "out", formats=["int8"], measurement=None)
    with pytest.raises(InputError, match="unknown quantisation 'statik'"):
        export_model(net, tmp_path / "out", formats=["int8"], quantization="statik", measurement=None)
    assert list(tmp_path.iterdir()) == []
