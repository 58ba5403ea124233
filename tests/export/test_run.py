"""The folder of an export: every file with its digest, in `export.json` and on the card; mistakes leave nothing."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robustill.data import Data
from robustill.errors import InputError, MissingExtraError, ModelError
from robustill.evaluation.interval import clopper_pearson
from robustill.export import FILES, Exported, export_model, export_run
from robustill.export.formats import check_formats
from robustill.models import Classifier, load_model, model_digest, save_model
from tests.recipe.tables import PLAIN


def test_export_json(whole: tuple[Path, Exported], net: Classifier, digits: Data) -> None:
    out, exported = whole
    found = json.loads((out / "export.json").read_text())
    assert found == exported.to_json()
    assert {path.name for path in out.iterdir()} == {*FILES.values(), "README.md", "export.json"}
    assert set(found["files"]) == {*FILES, "card"}
    for each in found["files"].values():
        content = (out / each["file"]).read_bytes()
        assert each["sha256"] == hashlib.sha256(content).hexdigest()
        assert each["bytes"] == len(content)
    assert found["model"]["model_digest"] == model_digest(net)
    assert found["files"]["onnx"]["opset"] == 20
    for name in ("safetensors", "torch-export"):
        assert found["files"][name]["parity"]["largest_difference"] == 0
    assert 0 < found["files"]["onnx"]["parity"]["largest_difference"] < 1e-4
    assert {"robustill", "torch", "onnx", "onnxruntime", "onnxscript", "python"} == set(found["versions"])


def test_the_robustness_in_export_json(whole: tuple[Path, Exported], digits: Data) -> None:
    found = json.loads((whole[0] / "export.json").read_text())["robustness"]
    about = {key: value for key, value in found.items() if key != "networks"}
    assert about == {
        "data": "digits", "data_digest": digits.digest, "split": "test", "images": 40, "seed": 0,
        "threat": {"norm": "Linf", "eps": 0.1}, "transfer": ["pgd5", "cw"], "queries": 40,
    }  # fmt: skip
    assert list(found["networks"]) == ["network", "onnx", "int8"]
    right = whole[1].evaluations["int8"].verdicts["transfer-cw"]
    entry = found["networks"]["int8"]["attacks"]["transfer-cw"]
    assert entry["accuracy"] == int(right.sum()) / 40
    assert entry["interval"] == list(clopper_pearson(right))
    assert set(found["networks"]["int8"]["checks"]) == {"weaker", "masked"}
    assert "checks" not in found["networks"]["network"]


def test_the_safetensors_file_is_the_run_s_own(
    whole: tuple[Path, Exported], net: Classifier, tmp_path: Path, digits: Data
) -> None:
    save_model(net, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (whole[0] / "model.safetensors").read_bytes()
    assert model_digest(load_model(whole[0] / "model.safetensors")) == model_digest(net)


def test_what_is_known_of_the_file_stays_in_it(tmp_path: Path) -> None:
    net = load_model("cnn_small", num_classes=2, shape=(1, 8, 8))
    save_model(net, tmp_path / "named.safetensors", class_names=["cat", "dog"], extra={"method": "RSLAD"})
    export_run(tmp_path / "named.safetensors", tmp_path / "out", formats=["safetensors"], measurement=None)
    again = load_model(tmp_path / "out" / "model.safetensors")
    assert (again.class_names, dict(again.extra)) == (("cat", "dog"), {"method": "RSLAD"})
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (tmp_path / "named.safetensors").read_bytes()
    found = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (found["name"], found["robustness"], found["model"]["class_names"]) == ("named", None, ["cat", "dog"])


def test_the_user_s_network_stays_as_it_is(tmp_path: Path) -> None:
    net = load_model("cnn_small", num_classes=2, shape=(1, 8, 8)).double().train()
    export_model(net.float(), tmp_path / "out", formats=["safetensors"], measurement=None)
    assert all(module.training for module in net.modules())


def test_files_of_an_earlier_export_are_named(tmp_path: Path) -> None:
    net = load_model("cnn_small", num_classes=2, shape=(1, 8, 8))
    (tmp_path / "model_int8.onnx").write_bytes(b"old")
    found = export_model(net, tmp_path, formats=["safetensors"], measurement=None)
    assert found.warnings == ("model_int8.onnx beside these files: of an earlier export, not of this one.",)
    assert "int8" not in json.loads((tmp_path / "export.json").read_text())["files"]


def test_what_fails_half_way_is_not_vouched_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = load_model("cnn_small", num_classes=2, shape=(1, 8, 8))
    export_model(net, tmp_path, formats=["safetensors"], measurement=None)

    def stop(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("robustill.export.run.card", stop)
    with pytest.raises(KeyboardInterrupt):
        export_model(net, tmp_path, formats=["safetensors"], measurement=None)
    assert not (tmp_path / "export.json").exists()


def test_formats() -> None:
    assert check_formats(["torch-export", " onnx"]) == ("onnx", "torch-export")
    with pytest.raises(InputError, match="unknown format 'onx'\n  hint: did you mean 'onnx'"):
        check_formats(["onx"])
    with pytest.raises(InputError, match="there is no format to export"):
        check_formats([""])


@pytest.mark.parametrize("package", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_package_is_one_error(
    package: str, net: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r'hint: pip install "robustill\[export\]"'):
        export_model(net, tmp_path / "out", formats=["onnx"], measurement=None)
    assert list(tmp_path.iterdir()) == []
    export_model(net, tmp_path / "out", formats=["safetensors"], measurement=None)


def test_mistakes(net: Classifier, digits: Data, tmp_path: Path) -> None:
    out, there = tmp_path / "out", str(tmp_path / "x.safetensors")
    Path(there).write_bytes(b"")
    with pytest.raises(InputError, match="attacks on the files need data and a radius"):
        export_model(net, out, data=digits)
    with pytest.raises(ModelError, match="Linear was not made by build_model or load_model"):
        export_model(nn.Linear(3, 2), out, measurement=None)  # type: ignore[arg-type]
    three = load_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    with pytest.raises(ModelError, match="the network: the model has 3 classes, the data set 10"):
        export_model(three, out, data=digits, eps=0.1)
    with torch.no_grad():
        next(three.parameters()).fill_(torch.nan)
    with pytest.raises(ModelError, match="the network returns infinite or undefined logits"):
        export_model(three, out, formats=["safetensors"], measurement=None)
    with pytest.raises(InputError, match="is no identifier of a licence"):
        export_run(out, out, license="MIT License", measurement=None)
    with pytest.raises(InputError, match="nothing says which data\n  hint: give --data and --eps, or --no-measure"):
        export_run(there, out)
    with pytest.raises(InputError, match="nothing says which radius"):
        export_run(there, out, data="digits")
    with pytest.raises(InputError, match="nothing says where to write"):
        export_run(there, measurement=None)
    with pytest.raises(
        ModelError, match=r"no such file or folder: .*y.safetensors\n  hint: did you mean '.*x.safetensors'"
    ):
        export_run(str(tmp_path / "y.safetensors"), out)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.safetensors"]
    assert PLAIN["data"]["name"] == "digits"
