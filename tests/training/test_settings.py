"""Settings: fractions, ranges, unknown names; devices that are not there."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from robustill.data import Data
from robustill.errors import InputError
from robustill.methods import Standard
from robustill.models import build_model
from robustill.training import AWP, Settings, train
from robustill.training.device import accelerator_for, find_device
from robustill.training.settings import as_number


def method() -> Standard:
    return Standard(build_model("cnn_small", num_classes=3, shape=(1, 8, 8)))


@pytest.mark.parametrize(
    ("value", "expected"), [("8/255", 8 / 255), (" 1 / 4 ", 0.25), (0.1, 0.1), (3, 3), ("x", "x"), (None, None)]
)
def test_fractions(value: Any, expected: Any) -> None:
    assert as_number(value) == expected


@pytest.mark.parametrize("value", ["8/0", "a/b", "/", "1/", "1/0.0"])
def test_what_is_no_fraction(value: str) -> None:
    with pytest.raises(ValueError, match=r"fraction|convert"):
        as_number(value)
    with pytest.raises(ValidationError, match=r"selection\.eps"):
        Settings.model_validate({"selection": {"eps": value}})


@pytest.mark.parametrize(
    "table",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"batch_size": 0},
        {"batch_size": "many"},
        {"seed": -1},
        {"mixed_precision": "fp16"},
        {"clip_norm": 0},
        {"loss_scale": float("nan")},
        {"optimizer": {"lr": 0}},
        {"optimizer": {"lr": float("inf")}},
        {"optimizer": {"momentum": 1}},
        {"optimizer": {"name": "lion"}},
        {"schedule": {"factor": 0}},
        {"schedule": {"warmup": 1}},
        {"average": {"decay": 1}},
        {"awp": {"gamma": 1}},
        {"selection": {"metric": "test"}},
        {"selection": {"every": 0}},
    ],
    ids=str,
)
def test_values_out_of_range(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(table)
    assert caught.value.error_count() == 1


@pytest.mark.parametrize("table", [{"epoch": 3}, {"optimizer": {"learning_rate": 1}}, {"awp": {"gama": 0.1}}], ids=str)
def test_unknown_keys(table: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Settings.model_validate(table)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().epochs = 3  # type: ignore[misc]


def test_train_names_the_nearest_setting(tiny_data: Data) -> None:
    with pytest.raises(InputError, match=r"no setting 'epoch'\s+hint: did you mean 'epochs'\?"):
        train(method(), tiny_data, epoch=3, progress=False)
    with pytest.raises(InputError, match="epochs = 0: "):
        train(method(), tiny_data, epochs=0, progress=False)


def test_arguments_of_train_replace_settings(tiny_data: Data) -> None:
    settings = Settings.model_validate({"epochs": 3, "batch_size": 48, "optimizer": {"lr": 0.02}})
    assert len(train(method(), tiny_data, settings, epochs=1, progress=False).history) == 1


def test_awp_needs_an_adversary(tiny_data: Data) -> None:
    with pytest.raises(InputError, match="Standard has none"):
        AWP(method(), gamma=0.01)


@pytest.mark.parametrize("name", ["gpu", "cpu:3", "cuda:x", "cuda:", "", "CPU"])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(InputError, match=f"unknown device '{name}'"):
        accelerator_for(Settings(device=name))


@pytest.mark.skipif(torch.accelerator.is_available(), reason="the devices are there")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_devices_that_are_not_there(name: str) -> None:
    with pytest.raises(InputError, match="PyTorch sees no"):
        accelerator_for(Settings(device=name))


def test_devices_that_are_there() -> None:
    assert find_device("cpu") == accelerator_for(Settings(device="cpu")).device == torch.device("cpu")
    assert find_device("auto").type == accelerator_for(Settings()).device.type


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_by_number() -> None:
    assert accelerator_for(Settings(device="cuda:0")).device.type == "cuda"
    with pytest.raises(InputError, match="there is no 'cuda:99'"):
        find_device("cuda:99")
