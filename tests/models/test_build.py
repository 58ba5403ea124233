"""`build_model`: normalisation, the spec, and one clear error for each wrong argument."""

from __future__ import annotations

import pytest
import torch

from robustill.errors import ModelError
from robustill.models import ModelSpec, build_model


def test_normalisation_is_applied_inside_and_equals_the_manual_one() -> None:
    mean, std = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]
    inside = build_model("cnn_small", num_classes=4, shape=(3, 8, 8), mean=mean, std=std)
    plain = build_model("cnn_small", num_classes=4, shape=(3, 8, 8))
    plain.load_state_dict({k: v for k, v in inside.state_dict().items() if not k.startswith("normalize")})
    x = torch.rand(5, 3, 8, 8)
    manual = (x - torch.tensor(mean)[None, :, None, None]) / torch.tensor(std)[None, :, None, None]
    torch.testing.assert_close(inside(x), plain(manual))
    assert not torch.allclose(inside(x), plain(x))


def test_normalisation_is_buffers_of_the_first_submodule() -> None:
    model = build_model("resnet18", num_classes=2, width=1, mean=[0.5] * 3, std=[0.25] * 3)
    assert next(name for name, _ in model.named_children()) == "normalize"
    assert {name for name, _ in model.named_buffers() if name.startswith("normalize")} == {
        "normalize.mean",
        "normalize.std",
    }
    assert model.double().normalize.mean.dtype == torch.float64
    plain = build_model("resnet18", num_classes=2, width=1)
    assert not any(name.startswith("normalize") for name in plain.state_dict())


def test_spec_holds_what_is_needed_to_build_the_model_again() -> None:
    model = build_model("wide_resnet", num_classes=5, shape=(1, 8, 8), mean=[0.1], std=[0.3], depth=10, width=1)
    arguments = {"depth": 10, "width": 1, "activation": "relu", "padding": "symmetric"}
    assert model.spec == ModelSpec("wide_resnet", 5, (1, 8, 8), (0.1,), (0.3,), arguments)
    assert hash(model.spec) == hash(model.spec)
    with pytest.raises(AttributeError):
        model.spec.num_classes = 6  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "resnet81"}, "did you mean 'resnet18'"),
        ({"num_classes": 1}, "number of classes"),
        ({"num_classes": True}, "number of classes"),
        ({"num_classes": 10.0}, "number of classes"),
        ({"shape": (3, 32)}, "image shape"),
        ({"shape": (3, 0, 32)}, "image shape"),
        ({"shape": (3, 32, 10**6)}, "image shape"),
        ({"mean": [0.5] * 3}, "both mean and std"),
        ({"mean": [0.5], "std": [0.5]}, "3 channels"),
        ({"mean": [0.5] * 3, "std": [0.5, 0.5, 0.0]}, "positive"),
        ({"mean": [0.5, 0.5, float("nan")], "std": [1.0] * 3}, "finite"),
        ({"mean": "abc", "std": [1.0] * 3}, "sequence of 3 numbers"),
        ({"widht": 3}, "did you mean 'width'"),
        ({"width": 0}, "width"),
        ({"name": "preact_resnet18", "final_norm": "yes"}, "final_norm"),
        ({"name": "wide_resnet", "depth": 29}, r"6n \+ 4"),
        ({"name": "wide_resnet", "width": 1.5}, "width of a WideResNet"),
        ({"name": "wide_resnet", "activation": "gelu"}, "activation"),
        ({"name": "wide_resnet", "padding": ["x"]}, "padding"),
        ({"name": "wrn_28_10", "depth": 40}, "no argument 'depth'"),
        ({"name": "mobilenet_v2", "width": 2}, "has no arguments"),
        ({"name": "cnn_small", "shape": (1, 3, 3)}, "too small"),
    ],
)
def test_a_wrong_argument_is_one_clear_error(change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"name": "resnet18", "num_classes": 10, **change}
    with pytest.raises(ModelError, match=message):
        build_model(**arguments)  # type: ignore[arg-type]
