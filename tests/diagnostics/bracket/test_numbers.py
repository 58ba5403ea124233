"""Numbers of a data set."""

from typing import Any

import pytest
import torch
from torch import nn

from robustill.data import Data
from robustill.diagnostics.bracket import calibrate
from robustill.diagnostics.bracket.numbers import accuracy, average, calibration_error, share
from robustill.evaluation.interval import clopper_pearson

QUICK: dict[str, Any] = {"steps": 4, "restarts": 2, "targets": 1, "progress": False}


def test_calibration_error_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    confidence, right = torch.rand(200, generator=generator), torch.rand(200, generator=generator) < 0.6
    total = 0.0
    for k in range(15):
        own = [i for i in range(200) if k / 15 < float(confidence[i]) <= (k + 1) / 15]
        if own:
            says = sum(float(confidence[i]) for i in own) / len(own)
            total += len(own) / 200 * abs(sum(bool(right[i]) for i in own) / len(own) - says)
    found = calibration_error(confidence, right)
    assert found["error"] == pytest.approx(total, abs=1e-6)
    assert found["interval"][0] < found["interval"][1]
    sure = calibration_error(torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([True, True, True, False]))
    assert sure["error"] == pytest.approx(0.25)


def test_the_bootstrap_covers() -> None:
    generator, inside = torch.Generator().manual_seed(1), 0
    for _ in range(60):
        low, high = average(torch.rand(40, generator=generator).square())["interval"]
        inside += low <= 1 / 3 <= high
    assert 50 <= inside < 60, "95% within the error of 60 trials, and not always"
    wide, narrow = (average(torch.arange(n) % 2 / 1.0)["interval"] for n in (20, 2000))
    assert wide[1] - wide[0] > 5 * (narrow[1] - narrow[0])


def test_shares_and_empty_samples() -> None:
    verdicts = torch.tensor([True] * 7 + [False] * 3)
    assert share(verdicts) == {"share": 0.7, "interval": list(clopper_pearson(verdicts))}
    assert accuracy(verdicts)["accuracy"] == 0.7
    none = torch.zeros(0)
    assert average(none) == {"mean": None, "interval": None}
    assert share(none.bool()) == {"share": None, "interval": None}


def test_the_json_says_what_the_arrays_say(pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    found = calibrate(*pair, tiny_data, [0.02, 0.2], **QUICK)
    values = found.to_json()
    chosen = found.labels == found.teacher_class
    assert (values["schema"], values["images"], values["bounds"]) == (1, 40, "crown")
    assert values["threat"] == {"norm": "Linf", "eps": [0.02, 0.2]}
    assert values["points"]["count"] == int(chosen.sum())
    assert values["points"]["share"] == pytest.approx(float(chosen.float().mean()))
    assert not values["points"]["small_sample"]
    clean = values["clean"]
    assert clean["gap"]["mean"] == pytest.approx(float(found.gap[chosen].mean()), abs=1e-6)
    assert clean["calibration"]["mean"] == pytest.approx(float(found.gap[chosen].abs().mean()), abs=1e-6)
    assert clean["networks"]["student"]["accuracy"] == float((found.student_class == found.labels).double().mean())
    for k, each in enumerate(values["radii"]):
        for name, bracket in (("calibration", found.calibration), ("over", found.over), ("under", found.under)):
            assert each[name]["lower"]["mean"] == pytest.approx(float(bracket.lower[k, chosen].mean()), abs=1e-6)
            assert each[name]["upper"]["mean"] == pytest.approx(float(bracket.upper[k, chosen].mean()), abs=1e-6)
        assert each["agreement"]["certified"]["share"] == float(found.agreed[k, chosen].double().mean())
        assert each["agreement"]["found"]["share"] == float((~found.apart[k, chosen]).double().mean())
        for at, delta in enumerate(values["deltas"]):
            faithful = found.faithful(delta)
            assert each["faithful"]["certified"][at] == float(faithful.lower[k, chosen].double().mean())
            assert each["faithful"]["found"][at] == float(faithful.upper[k, chosen].double().mean())
        assert each["faithful"]["certified"] != each["faithful"]["found"]
        assert each["networks"]["teacher"]["accuracy"] == float(found.teacher.stands[k + 1].double().mean())
    assert values["radii"][1]["networks"]["student"]["accuracy"] < clean["networks"]["student"]["accuracy"]
    for name in ("teacher", "student", "both"):
        own = found.chosen(name)
        variant, upper = values["variants"][name], float(found.calibration.upper[1, own].mean())
        assert variant["count"] == int(own.sum())
        assert variant["calibration"]["upper"][1] == pytest.approx(upper, abs=1e-6)
    counts = {name: each["count"] for name, each in values["variants"].items()}
    assert counts["both"] <= min(counts.values())


@pytest.mark.parametrize(("turn", "temperature"), [(1, 1.0), (-1, 1.0), (1, 3.0)])
def test_smoothed_pairs(turn: int, temperature: float, pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    from robustill.certification.smoothed_pair import smooth_pair
    from robustill.data.splits import to_unit

    options: dict[str, Any] = {"sigma": 0.3, "samples": 200, "alpha": 0.01, "temperature": temperature}
    pair = pair[::turn]
    found = calibrate(*pair, tiny_data, [0.1, 0.2], norm="L2", bounds="none", batch_size=7, **options, **QUICK)
    x, y = to_unit(tiny_data.test.images(torch.arange(40))), tiny_data.test.labels
    alone, chosen = smooth_pair(*pair, x, y, **options, progress=False), found.chosen()
    assert found.smoothed is not None
    for k, eps in enumerate(found.eps):
        above = alone.calibration_at(eps)[chosen]
        torch.testing.assert_close(found.smoothed.calibration_at(eps)[chosen], above)
        each = found.to_json()["smoothed"]["radii"][k]
        assert each["calibration"]["upper"]["mean"] == pytest.approx(float(above.mean()))
        assert each["agreement"]["certified"]["share"] == float((alone.agreement_radius > eps)[chosen].double().mean())
        assert each["disagreement"]["upper"]["mean"] == pytest.approx(float(alone.disagreement_at(eps)[chosen].mean()))
