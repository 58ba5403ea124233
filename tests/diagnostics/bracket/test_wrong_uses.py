"""What cannot be meant is said in one message."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.data import Data
from robustill.diagnostics.bracket import calibrate, certify
from robustill.errors import InputError, ModelError
from robustill.models import build_model
from tests.diagnostics.bracket.networks import random_network

QUICK: dict[str, Any] = {"steps": 2, "restarts": 1, "targets": 1, "images": 6, "progress": False}


@pytest.mark.parametrize(
    ("eps", "options", "parts"),
    [
        (8, {}, ["eps 8 is not in [0, 1]", "8 levels of 255 are 8/255"]),
        ([0.1, -0.1], {}, ["eps -0.1 is not in [0, 1]"]),
        (float("nan"), {}, ["eps is nan"]),
        ([], {}, ["there is no radius"]),
        (9, {"norm": "L2"}, ["eps 9 is not in [0, 8]"]),
        (0.1, {"norm": "L1"}, ["unknown norm 'L1'"]),
        (0.1, {"bounds": "crwon"}, ["unknown bounds 'crwon'", "did you mean 'crown'?"]),
        (0.1, {"points": "techer"}, ["unknown points 'techer'", "did you mean 'teacher'?"]),
        (0.1, {"split": "tset"}, ["has no split 'tset'"]),
        (0.1, {"images": 0}, ["images is 0"]),
        (0.1, {"steps": 0}, ["steps is 0"]),
        (0.1, {"restarts": 0}, ["restarts is 0"]),
        (0.1, {"batch_size": 1.5}, ["batch_size is 1.5"]),
        (0.1, {"temperature": 0}, ["temperature is 0"]),
        (0.1, {"sigma": 0.25}, ["smoothing certifies L2 radii", "--norm L2"]),
        (0.1, {"sigma": 0.0, "norm": "L2"}, ["sigma is 0.0"]),
    ],
    ids=str,
)
def test_impossible_settings(eps: Any, options: dict[str, Any], parts: list[str], tiny_data: Data) -> None:
    with pytest.raises(InputError) as refused:
        calibrate(random_network(0), random_network(1), tiny_data, eps, **{**QUICK, **options})
    for part in parts:
        assert part in str(refused.value)


@pytest.mark.parametrize("call", [calibrate, certify])
@pytest.mark.parametrize(("setting", "value"), [("sigma", 0.0), ("alpha", 0.0), ("alpha", 1.5)])
def test_impossible_smoothing_is_refused_before_the_first_stage(
    call: Callable[..., Any], setting: str, value: float, tiny_data: Data, tmp_path: Path
) -> None:
    networks = [random_network(0), random_network(1)] if call is calibrate else [random_network(0)]
    options = QUICK if call is calibrate else {name: QUICK[name] for name in QUICK if name != "targets"}
    with pytest.raises(InputError, match=f"{setting} is {value}"):
        call(*networks, tiny_data, 0.1, **{"sigma": 0.2, "norm": "L2", **options, setting: value}, out=tmp_path)
    assert list(tmp_path.iterdir()) == [], "nothing was computed"


@pytest.mark.parametrize("which", [0, 1])
def test_train_mode(which: int, tiny_data: Data) -> None:
    networks = [random_network(0), random_network(1)]
    networks[which].train()
    with pytest.raises(InputError, match=f"the {('student', 'teacher')[which]} is in train mode"):
        calibrate(*networks, tiny_data, 0.1, **QUICK)
    assert networks[which].training, "nobody changed it"


def classifier(names: tuple[str, ...] | None) -> nn.Module:
    network = build_model("cnn_small", num_classes=3, shape=(1, 8, 8)).eval()
    network.class_names = names
    return network


def test_other_classes(tiny_data: Data) -> None:
    assert tiny_data.class_names == ("top", "middle", "bottom")
    with pytest.raises(ModelError, match=r"the student has 4 classes|student: the model has 4 classes"):
        calibrate(random_network(0, classes=4), random_network(1), tiny_data, 0.1, **QUICK)
    with pytest.raises(ModelError, match=r"the teacher was trained on other classes than arrays has: 'left'"):
        calibrate(classifier(None), classifier(("top", "middle", "left")), tiny_data, 0.1, **QUICK)
    with pytest.raises(ModelError, match=r"student has the classes of arrays in another order: 'middle' is number 0"):
        calibrate(classifier(("middle", "top", "bottom")), classifier(None), tiny_data, 0.1, **QUICK)
    calibrate(classifier(tiny_data.class_names), classifier(None), tiny_data, 0.01, **QUICK)


class Summed(nn.Module):
    """Has an operation without bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(torch.cumsum(x.flatten(1), 1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("call", [calibrate, certify])
def test_a_network_that_cannot_be_bounded(call: Callable[..., Any], tiny_data: Data) -> None:
    networks = [random_network(0), Summed().eval()] if call is calibrate else [Summed().eval()]
    options = QUICK if call is calibrate else {name: QUICK[name] for name in QUICK if name != "targets"}
    with pytest.raises(ModelError) as refused:
        call(*networks, tiny_data, 0.1, **options)
    name = "teacher" if call is calibrate else "model"
    for part in (f"the {name} cannot be bounded: no bounds for cumsum", "it can still be attacked: --bounds none"):
        assert part in str(refused.value)
    found = call(*networks, tiny_data, 0.1, **options, bounds="none")
    assert found.to_json()["bounds"] is None


def test_nothing_to_compare(tiny_data: Data) -> None:
    # Always wrong: of three classes it says the next one.
    right = random_network(3)
    found = calibrate(right, right, tiny_data, 0.02, **{**QUICK, "images": None})
    labels = (found.student_class + 1) % 3
    wrong = Data.from_arrays(
        (tiny_data.train.images(torch.arange(96)), tiny_data.train.labels),
        (tiny_data.test.images(torch.arange(40)), labels), validation=0, class_names=tiny_data.class_names,
    )  # fmt: skip
    values = calibrate(right, right, wrong, 0.02, **{**QUICK, "images": None}).to_json()
    assert values["points"]["count"] == 0
    assert values["points"]["small_sample"]
    assert values["radii"][0]["calibration"] == {
        "lower": {"mean": None, "interval": None},
        "upper": {"mean": None, "interval": None},
    }
    assert values["radii"][0]["networks"]["student"]["accuracy"] == 0
