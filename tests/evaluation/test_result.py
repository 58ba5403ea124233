"""Accuracies, exact intervals, worst case and the JSON form."""

import json
import math

import pytest
import torch

from robustill.errors import InputError
from robustill.evaluation import Evaluation

VERDICTS = {
    "clean": torch.tensor([1, 1, 1, 1, 1, 1, 0, 0], dtype=torch.bool),
    "fgsm": torch.tensor([1, 1, 1, 1, 0, 0, 0, 0], dtype=torch.bool),
    "cw": torch.tensor([0, 1, 1, 1, 1, 0, 0, 0], dtype=torch.bool),
}


@pytest.fixture
def found() -> Evaluation:
    return Evaluation(dict(VERDICTS), 0.1, "L2", {"data": "grey"}, {"clean": 0.5, "fgsm": 1.0, "cw": 0.25})


def test_the_worst_case_is_right_under_every_attack(found: Evaluation) -> None:
    assert found.robust.tolist() == [False, True, True, True, False, False, False, False]
    assert found.accuracy() == 3 / 8
    assert [found.accuracy(name) for name in ("clean", "fgsm", "cw")] == [6 / 8, 4 / 8, 4 / 8]


def test_weighted_robust_accuracy(found: Evaluation) -> None:
    assert found.wra("fgsm") == (6 / 8 + 4 / 8) / 2
    assert found.wra() == (6 / 8 + 3 / 8) / 2


def of(right: int, total: int) -> Evaluation:
    return Evaluation({"clean": torch.arange(total) < right}, 0.1, "Linf")


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        # Clopper and Pearson's tables; with none right the upper end is 1 - (0.025)^(1/n).
        (0, 10, 0.0, 1 - 0.025**0.1),
        (10, 10, 0.025**0.1, 1.0),
        (5, 10, 0.18709, 0.81291),
        (1, 20, 0.00127, 0.24873),
        (90, 100, 0.82378, 0.95099),
    ],
)
def test_intervals_are_clopper_pearson(right: int, total: int, low: float, high: float) -> None:
    assert of(right, total).interval("clean") == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize(("right", "total"), [(3, 17), (170, 360), (481, 1000)])
def test_each_end_leaves_a_fortieth_in_its_tail(right: int, total: int) -> None:
    def chance(counts: range, p: float) -> float:
        return math.fsum(math.comb(total, k) * p**k * (1 - p) ** (total - k) for k in counts)

    low, high = of(right, total).interval("clean")
    assert chance(range(right, total + 1), low) == pytest.approx(0.025)
    assert chance(range(right + 1), high) == pytest.approx(0.025)


def test_confidence() -> None:
    wide, narrow = of(5, 10).interval("clean", 0.99), of(5, 10).interval("clean", 0.5)
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]


def test_json_has_the_keys_that_others_read(found: Evaluation) -> None:
    values = json.loads(json.dumps(found.to_json()))
    assert set(values) == {
        "schema", "images", "threat", "clean", "attacks", "robust", "seconds", "data", "versions"
    }  # fmt: skip
    assert values["schema"] == 1
    assert values["images"] == 8
    assert values["threat"] == {"norm": "L2", "eps": 0.1}
    assert values["clean"] == {"accuracy": 0.75, "interval": list(found.interval("clean"))}
    assert list(values["attacks"]) == ["fgsm", "cw"]
    assert values["attacks"]["cw"] == {"accuracy": 0.5, "interval": list(found.interval("cw")), "wra": 0.625}
    assert values["robust"] == {"accuracy": 0.375, "interval": list(found.interval()), "wra": 0.5625}
    assert values["seconds"] == 1.75
    assert {"robustill", "torch", "python"} <= set(values["versions"])


def test_rows_are_percent(found: Evaluation) -> None:
    assert found.rows() == [
        ("clean", "75.00", "34.9 to 96.8", ""),
        ("fgsm", "50.00", "15.7 to 84.3", "62.50"),
        ("cw", "50.00", "15.7 to 84.3", "62.50"),
        ("worst case", "37.50", "8.5 to 75.5", "56.25"),
    ]


def test_one_attack_needs_no_worst_case() -> None:
    found = Evaluation({name: VERDICTS[name] for name in ("clean", "fgsm")}, 0.1, "Linf")
    assert [row[0] for row in found.rows()] == ["clean", "fgsm"]


def test_an_attack_that_was_not_run(found: Evaluation) -> None:
    with pytest.raises(InputError, match="no verdicts for 'pgd20'\n  hint: there are: clean, fgsm, cw, robust"):
        found.accuracy("pgd20")
