"""Names where networks and data are wanted, and other mistakes in a script, are one clear error each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import robustill
from robustill.attacks import FGSM, PGD
from robustill.data import Data
from robustill.diagnostics import landscape, rank_teachers, unlearnable
from robustill.diagnostics.bracket import calibrate, certify
from robustill.errors import InputError, ModelError
from robustill.methods import RSLAD, Standard
from robustill.models import Classifier, build_model

ATTACK = PGD(eps=0.1, step_size=0.05, steps=1)
SOURCE = "robustill:digits_pgd-at_resnet18"


@pytest.fixture(scope="module")
def data() -> Data:
    return robustill.load_data("digits", limit=60)


@pytest.fixture
def net(data: Data) -> Classifier:
    return build_model("cnn_small", num_classes=10, shape=data.shape).eval()


Call = Callable[[Any, Any], object]


@pytest.mark.parametrize(
    "call",
    [
        lambda net, data: robustill.evaluate(net, data, eps=0.1),
        lambda net, data: robustill.train(Standard(net), data),
        lambda net, data: calibrate(net, net, data, 0.1),
        lambda net, data: certify(net, data, 0.1),
        lambda net, data: unlearnable({"net": net}, data, eps=0.1),
        lambda net, data: rank_teachers({"net": net}, net, data, None),  # type: ignore[arg-type]
        lambda net, data: landscape({"net": net}, data, eps=0.1),
    ],
    ids=["evaluate", "train", "calibrate", "certify", "unlearnable", "rank_teachers", "landscape"],
)
def test_a_name_is_not_what_it_names(call: Call, net: Classifier, data: Data) -> None:
    with pytest.raises(InputError, match="data is the text 'digits', not a Data") as told:
        call(net, "digits")
    assert "robustill.load_data('digits')" in str(told.value.hint)
    with pytest.raises(InputError, match=f"(model|student|net) is the text '{SOURCE}', not a Module") as told:
        call(SOURCE, data)
    assert f"robustill.load_model('{SOURCE}')" in str(told.value.hint)


def test_other_things_than_data_and_networks(net: Classifier, data: Data) -> None:
    loader = [(1, 2)]
    with pytest.raises(InputError, match="data is a list, not a Data") as told:
        robustill.train(Standard(net), loader)  # type: ignore[arg-type]
    assert "Data.from_arrays" in str(told.value.hint)
    with pytest.raises(InputError, match="method is the text 'rslad', not a Method"):
        robustill.train("rslad", data)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="method is a ConvNet, not a Method"):
        robustill.train(net, data)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="transfer_from is the text"):
        robustill.evaluate(net, data, eps=0.1, transfer_from=SOURCE)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"a frozen network is the text '{SOURCE}'"):
        RSLAD(net, SOURCE, attack=ATTACK)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs = 0: Input should be greater than or equal to 1"),
        ({"optimizer": {"lr": -1}}, "optimizer.lr = -1: "),
        ({"batch_size": "many", "seed": -3}, "batch_size = 'many': .*; seed = -3: "),
        ({"epoch": 3}, "there is no setting 'epoch'"),
    ],
    ids=str,
)
def test_impossible_settings(changes: dict[str, Any], message: str, net: Classifier, data: Data) -> None:
    with pytest.raises(InputError, match=message):
        robustill.train(Standard(net), data, progress=False, **changes)


def test_attacks_are_a_list(net: Classifier, data: Data) -> None:
    with pytest.raises(InputError, match="attacks is the text 'fgsm,pgd20'") as told:
        robustill.evaluate(net, data, eps=0.1, attacks="fgsm,pgd20")
    assert told.value.hint == "write a list of names: attacks=['fgsm', 'pgd20']"


@pytest.mark.parametrize("attacks", [[ATTACK], ATTACK, ("pgd20", FGSM(eps=0.1))], ids=["list", "alone", "among"])
def test_attacks_are_named(attacks: Any, net: Classifier, data: Data) -> None:
    with pytest.raises(InputError, match=r"attacks are named by text, such as 'pgd20', found a (PGD|FGSM)") as told:
        robustill.evaluate(net, data, eps=0.1, attacks=attacks, progress=False)
    assert "did you mean '" in str(told.value.hint)
    assert "robustill.attacks.stays_correct(model, x, y, attack)" in str(told.value.hint)


def test_weights_of_another_precision(net: Classifier, data: Data) -> None:
    for call in (
        lambda: robustill.evaluate(net.double(), data, eps=0.1, progress=False),
        lambda: robustill.train(Standard(net.double()), data, progress=False),
    ):
        with pytest.raises(
            ModelError, match=r"has weights in torch\.float64, but the images are torch\.float32"
        ) as told:
            call()
        assert told.value.hint == "convert it before: network.float()"
