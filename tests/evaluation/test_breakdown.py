"""Robust accuracy class by class and radius by radius."""

import json
from typing import Any

import pytest
import torch

from robustill.errors import InputError
from robustill.evaluation import Check, Curve, Evaluation
from robustill.evaluation.breakdown import class_table

# Class 0 has four images, 2 has three, 3 has one; no image is of class 1.
LABELS = torch.tensor([0, 2, 0, 2, 0, 3, 0, 2])
CLEAN = torch.tensor([1, 1, 1, 1, 1, 0, 0, 1], dtype=torch.bool)
FGSM = torch.tensor([1, 1, 1, 0, 1, 0, 0, 0], dtype=torch.bool)
CW = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1], dtype=torch.bool)
NAMES = ("cat", "dog", "[red]", "ship")

# Clopper and Pearson: k of n right.
NONE_OF_1 = [0.0, 1 - 0.025]
ALL_OF_3 = [0.025 ** (1 / 3), 1.0]
THREE_OF_4 = [0.19412, 0.99369]


def evaluation(**changes: Any) -> Evaluation:
    verdicts = {"clean": CLEAN, "fgsm": FGSM, "cw": CW}
    return Evaluation(verdicts, 0.1, "Linf", **{"labels": LABELS, "class_names": NAMES, **changes})


def test_a_row_per_class_that_occurs() -> None:
    table = class_table({"clean": CLEAN, "robust": FGSM & CW}, LABELS, NAMES)
    assert [row["name"] for row in table] == ["cat", "[red]", "ship"]
    assert [row["images"] for row in table] == [4, 3, 1]
    assert [row["clean"]["accuracy"] for row in table] == [3 / 4, 1.0, 0.0]
    assert [row["robust"]["accuracy"] for row in table] == [2 / 4, 1 / 3, 0.0]
    assert table[0]["clean"]["interval"] == pytest.approx(THREE_OF_4, abs=1e-5)
    assert table[1]["clean"]["interval"] == pytest.approx(ALL_OF_3)
    assert table[2]["clean"]["interval"] == pytest.approx(NONE_OF_1)
    assert all(set(row) == {"name", "images", "clean", "robust"} for row in table)


def test_a_class_without_a_name_is_its_number() -> None:
    assert [row["name"] for row in class_table({"clean": CLEAN}, LABELS, NAMES[:2])] == ["cat", "2", "3"]


def test_the_weakest_class() -> None:
    found = evaluation()
    assert found.worst_class() == ("ship", 0.0)
    without = LABELS.clone()
    without[5] = 0
    found = evaluation(labels=without)
    assert found.worst_class() == ("[red]", 1 / 3)
    assert found.worst_class("clean") == ("cat", 3 / 5)
    assert found.worst_class("fgsm") == ("[red]", 1 / 3)
    assert found.worst_class("cw") == ("cat", 2 / 5)


def test_the_weakest_class_needs_labels_and_an_attack_that_ran() -> None:
    with pytest.raises(InputError, match="the labels are not known"):
        evaluation(labels=None).worst_class()
    with pytest.raises(InputError, match="no verdicts for 'pgd20'"):
        evaluation().worst_class("pgd20")


@pytest.fixture
def curve() -> Curve:
    return Curve((0.0, 8 / 255, 0.1), torch.stack([CLEAN, FGSM, FGSM & CW]), ("fgsm", "cw"))


def test_a_curve_in_json(curve: Curve) -> None:
    values = curve.to_json()
    assert values == json.loads(json.dumps(values))
    assert values["attacks"] == ["fgsm", "cw"]
    assert [point["eps"] for point in values["points"]] == [0.0, 8 / 255, 0.1]
    assert [point["accuracy"] for point in values["points"]] == [6 / 8, 4 / 8, 3 / 8]
    # 6, 4 and 3 of 8.
    expected = [(0.34914, 0.96815), (0.15701, 0.84299), (0.08523, 0.75514)]
    for point, interval in zip(values["points"], expected, strict=True):
        assert set(point) == {"eps", "accuracy", "interval"}
        assert point["interval"] == pytest.approx(interval, abs=1e-5)


def test_a_curve_as_rows(curve: Curve) -> None:
    assert curve.rows() == [
        ("0", "75.00", "34.9 to 96.8"),
        ("0.03137", "50.00", "15.7 to 84.3"),
        ("0.1", "37.50", "8.5 to 75.5"),
    ]


def test_everything_is_in_the_json_form(curve: Curve) -> None:
    checks = (Check("randomised", False, {"images": 8}, "Silent."), Check("overflow", True, {"right": 6}, "Loud."))
    values = evaluation(curve=curve, checks=checks).to_json()
    assert values == json.loads(json.dumps(values, allow_nan=False))
    assert values["classes"] == class_table({"clean": CLEAN, "robust": FGSM & CW}, LABELS, NAMES)
    assert values["worst_class"] == {"name": "ship", "robust": 0.0}
    assert values["curve"] == curve.to_json()
    assert values["checks"] == {
        "randomised": {"name": "randomised", "fired": False, "value": {"images": 8}, "says": "Silent."},
        "overflow": {"name": "overflow", "fired": True, "value": {"right": 6}, "says": "Loud."},
    }


@pytest.mark.parametrize(
    ("left_out", "keys"),
    [
        ({"labels": None}, {"classes", "worst_class"}),
        ({"curve": None}, {"curve"}),
        ({"checks": ()}, {"checks"}),
    ],
)
def test_what_was_not_asked_for_is_not_in_the_json_form(left_out: dict[str, Any], keys: set[str], curve: Curve) -> None:
    everything = {"curve": curve, "checks": (Check("randomised", False, {}, "."),)}
    whole = evaluation(**everything).to_json()
    assert keys <= set(whole)
    assert set(evaluation(**{**everything, **left_out}).to_json()) == set(whole) - keys
