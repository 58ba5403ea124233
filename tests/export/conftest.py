"""A network for digits, its ONNX file, and an export of it in every format; made once."""

from pathlib import Path

import pytest

from robustill.data import Data, load_data
from robustill.export import Exported, Measurement, export_model
from robustill.export.onnx_file import to_onnx
from robustill.models import Classifier, load_model
from tests.evaluation.digits import digits_model

HOW = Measurement(attacks=("pgd5", "cw"), queries=40, images=40)


@pytest.fixture(scope="session")
def digits() -> Data:
    return load_data("digits")


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return load_model(digits_model(tmp_path_factory.mktemp("export") / "net.safetensors"))


@pytest.fixture(scope="session")
def onnx_bytes(net: Classifier) -> bytes:
    return to_onnx(net)


@pytest.fixture(scope="session")
def whole(net: Classifier, digits: Data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    """Return the folder of an export in every format, and what it says of itself."""
    out = tmp_path_factory.mktemp("export") / "all"
    formats = ("torch-export", "int8", "onnx", "safetensors")
    return out, export_model(
        net, out, formats=formats, data=digits, eps=0.1, measurement=HOW, calibration=64, progress=False
    )
