"""Signs in verdicts: exact counts at the thresholds, and when a robust accuracy is not to be believed."""

import json

import pytest
import torch
from torch import Tensor

from robustill.evaluation.checks import Check, check_verdicts, weak_evidence

N = 400


def some(right: range | list[int]) -> Tensor:
    found = torch.zeros(N, dtype=torch.bool)
    found[list(right)] = True
    return found


def found(
    verdicts: dict[str, Tensor], stages: dict[str, dict[str, Tensor]] | None = None, transfer: tuple[str, ...] = ()
) -> dict[str, Check]:
    checks = check_verdicts(verdicts, stages or {}, transfer)
    for check in checks:
        assert json.loads(json.dumps(check.to_json())) == check.to_json()
    return {check.name: check for check in checks}


@pytest.mark.parametrize(
    ("fell", "standing", "fires"), [(3, 300, True), (3, 301, False), (2, 20, False), (3, 20, True), (0, 0, False)]
)
def test_thresholds(fell: int, standing: int, fires: bool) -> None:
    clean, gradient = some(range(380)), some([*range(standing), *range(380, N)])
    # Wrong without an attack or fallen to a gradient attack anyway: no merit of the other attack.
    other = some([i for i in range(350) if i >= fell])
    before = {"clean": clean, "pgd20": gradient}
    stage = {"apgd-ce": gradient, "fab-t": gradient, "square": gradient & other}
    ways = [
        found({**before, "square": other})["square-beats-gradients"],
        found({**before, "autoattack": stage["square"]}, {"autoattack": stage})["square-beats-gradients"],
        found({**before, "teacher": other}, transfer=["teacher"])["transfer-beats-white-box"],  # type: ignore[arg-type]
    ]
    for check in ways:
        assert check.fired is fires
        assert check.value == {"standing": standing, "fell": fell}
        assert f"felled {fell} of {standing} images" in check.says


def test_every_gradient_attack_counts() -> None:
    clean, square = some(range(N)), some(range(10, N))
    halves = [some([i for i in range(N) if i % 2 == k]) for k in range(2)]
    stage = {"apgd-ce": clean, "apgd-t": halves[1], "square": halves[1] & square}
    checks = found(
        {"clean": clean, "cw": halves[0], "autoattack": stage["square"], "square": square}, {"autoattack": stage}
    )
    assert checks["square-beats-gradients"].value == {"standing": 0, "fell": 0}


def test_squares_of_two_kinds_are_added() -> None:
    clean = some(range(100))
    stage = {"apgd-ce": clean, "square": some(range(2, 100))}
    verdicts = {"clean": clean, "square": some(range(98)), "autoattack": stage["square"]}
    check = found(verdicts, {"autoattack": stage})["square-beats-gradients"]
    assert check.value == {"standing": 100, "fell": 4}


def test_white_box_is_what_used_the_gradient_of_this_model() -> None:
    clean, weak, strong = some(range(100)), some(range(50)), some(range(90))
    verdicts = {"clean": clean, "pgd20": strong, "square": weak, "resnet": weak, "vgg": some(range(20, 100))}
    checks = found(verdicts, transfer=("resnet", "vgg"))
    assert checks["transfer-beats-white-box"].value == {"standing": 90, "fell": 60}
    assert checks["square-beats-gradients"].value == {"standing": 90, "fell": 40}
    assert "--attacks autoattack" in checks["square-beats-gradients"].says


def test_what_was_not_measured_is_left_out() -> None:
    clean = some(range(100))
    assert found({"clean": clean, "pgd20": clean}) == {}
    assert found({"clean": clean, "square": clean, "resnet": clean}, transfer=("resnet",)) == {}
    assert list(found({"clean": clean, "autoattack-fast": clean}, {"autoattack-fast": {"apgd-ce": clean}})) == []


def sign(name: str, fired: bool = True) -> Check:
    return Check(name, fired, {}, "")


MASKING = ["zero-gradients", "overflow", "square-beats-gradients", "square-probe", "steps-sweep"]
MASKING += ["transfer-beats-white-box"]


@pytest.mark.parametrize("name", MASKING)
@pytest.mark.parametrize(
    ("attacks", "fires"),
    [
        (["fgsm", "pgd20", "cw"], True),
        (["apgd-ce", "apgd-dlr"], True),
        (["pgd20", "square"], True),
        (["autoattack-fast"], True),
        (["autoattack-rand"], True),
        (["pgd20", "autoattack"], False),
        ([], False),
    ],
)
def test_a_masked_gradient_wants_autoattack(name: str, attacks: list[str], fires: bool) -> None:
    check = weak_evidence([sign("randomised", False), sign(name)], attacks)
    assert check.name == "upper-bound-only"
    assert check.fired is fires
    if attacks:
        assert check.value == {"signs": [name], "attacks": attacks, "missing": ["autoattack"] if fires else []}
    assert ("Do not believe the robust accuracy" in check.says) is fires
    assert ("Run --attacks autoattack." in check.says) is fires


def test_a_random_output_wants_its_own_ensemble() -> None:
    for attacks in (["pgd20"], ["autoattack"]):
        check = weak_evidence([sign("randomised")], attacks)
        assert check.fired
        assert "Run --attacks autoattack-rand." in check.says
    assert not weak_evidence([sign("randomised")], ["autoattack-rand"]).fired
    both = weak_evidence([sign("randomised"), sign("square-probe")], ["cw"])
    assert both.value["missing"] == ["autoattack-rand", "autoattack"]
    assert "Run --attacks autoattack-rand,autoattack." in both.says


def test_without_a_sign_an_upper_bound_is_an_upper_bound() -> None:
    silent = [sign(name, False) for name in ("randomised", *MASKING)]
    check = weak_evidence([*silent, sign("few-classes")], ["fgsm"])
    assert not check.fired
    assert check.value["signs"] == []
    assert "upper bound" in check.says
    assert weak_evidence([], []).says == "No attack was run, so there is no robust accuracy to believe."
