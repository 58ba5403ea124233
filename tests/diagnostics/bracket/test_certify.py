"""Certified accuracy: below what attacks leave, exact where the truth is known."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.certification.smoothing import smooth
from robustill.data import Data
from robustill.data.splits import to_unit
from robustill.diagnostics.bracket import BracketError, certify, model_stages
from robustill.evaluation import balanced
from tests.diagnostics.bracket.networks import Brightness, grey, random_network

QUICK: dict[str, Any] = {"steps": 8, "restarts": 2, "progress": False}
RADII = [0.0, 0.02, 0.06, 0.2]


@pytest.mark.parametrize("bounds", ["crown", "ibp"])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_certified_attacked_clean(norm: Any, bounds: str, pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    found = certify(pair[0], tiny_data, RADII, norm=norm, bounds=bounds, **QUICK)
    assert found.stands is not None
    assert not (found.certified & ~found.stands).any()
    assert not (found.stands & ~found.clean).any()
    for values in (found.certified, found.stands):
        assert not (values[1:] & ~values[:-1]).any(), "a larger ball holds more"
    assert torch.equal(found.certified[0], found.clean)
    if norm == "Linf":
        assert 0 < int(found.stands[3].sum()) < int(found.clean.sum()), "some fall and some stand"
    radii = found.to_json()["radii"]
    assert [each["certified"]["accuracy"] for each in radii] == found.certified.double().mean(1).tolist()
    assert [each["attacked"]["accuracy"] for each in radii] == found.stands.double().mean(1).tolist()


def test_random_networks(tiny_data: Data) -> None:
    for seed in range(3):
        found = certify(random_network(seed, scale=5), tiny_data, RADII, **QUICK)
        assert found.stands is not None
        assert not (found.certified & ~found.stands).any()


def test_the_exact_radius_of_a_linear_network() -> None:
    data, radii = grey(), [0.05, 0.1, 0.2]
    found = certify(Brightness(6.0, 0.5).eval(), data, radii, **QUICK)
    level = data.test.images(torch.arange(20)).float().mean((1, 2, 3)) / 255
    truth = torch.stack([(level - 0.5).abs() > eps for eps in radii])
    assert found.stands is not None
    assert torch.equal(found.stands, truth)
    assert torch.equal(found.certified, truth)
    # In L2, moving all 16 pixels by d costs 4 d.
    found = certify(Brightness(6.0, 0.5).eval(), data, [4 * eps for eps in radii], norm="L2", **QUICK)
    assert found.stands is not None
    assert torch.equal(found.stands, truth)
    assert torch.equal(found.certified, truth)


def test_wrong_images_are_neither_attacked_nor_certified() -> None:
    data = grey()
    found = certify(Brightness(-6.0, 0.5).eval(), data, [0.05], **QUICK)
    assert found.stands is not None
    assert not found.clean.any()
    assert not found.stands.any()
    assert not found.certified.any()


def test_smoothing(pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    options: dict[str, Any] = {"sigma": 0.7, "samples": 300, "alpha": 0.01}
    found = certify(pair[1], tiny_data, [0.1, 0.3], norm="L2", seed=4, images=12, batch_size=5, **options, **QUICK)
    values = found.to_json()
    x, y = to_unit(tiny_data.test.images(torch.arange(40))), tiny_data.test.labels
    alone = smooth(pair[1], x, **options, seed=4, progress=False)
    assert found.smoothed is not None
    assert found.stands is None
    assert values["bounds"] == "smoothing"
    assert values["radii"][0]["attacked"] is None
    # Each image has its own noise, whatever batch or sample it is in.
    drawn = balanced(y, 12, seed=4)
    assert torch.equal(found.smoothed.radius, alone.radius[drawn])
    assert torch.equal(found.smoothed.prediction, alone.prediction[drawn])
    right = (found.smoothed.prediction == found.labels).tolist()
    radii = sorted(r for r, ok in zip(found.smoothed.radius.tolist(), right, strict=True) if ok)
    assert values["smoothed"]["right_radii"] == [round(r, 6) for r in radii]
    assert values["radii"][1]["certified"]["accuracy"] == sum(r > 0.3 for r in radii) / 12
    assert alone.certified(y, 0.1).any()
    assert len(set(radii)) > 4, "the noise matters"


def test_without_certificates(pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    values = certify(pair[0], tiny_data, 0.05, bounds="none", **QUICK).to_json()
    assert values["bounds"] is None
    assert values["radii"][0]["certified"] is None
    assert 0 < values["radii"][0]["attacked"]["accuracy"] <= 1


def test_a_contradiction_is_an_error(tiny_data: Data, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    class Blind(model_stages.Bounder):
        def margins(self, classes: Any = None) -> Any:
            found = super().margins(classes)
            return type(found)(found.lower - 9, found.upper - 9)

    monkeypatch.setattr(model_stages, "Bounder", Blind)
    with pytest.raises(BracketError, match=r"robustness at eps 0.2: .* image \d+"):
        certify(Brightness(6.0, 0.5).eval(), grey(), 0.2, **QUICK, out=tmp_path)
    assert not (tmp_path / "certification.json").exists()


def test_images_are_the_same_in_any_batches(pair: tuple[nn.Module, nn.Module], tiny_data: Data) -> None:
    one, other = (certify(pair[0], tiny_data, [0.05, 0.1], batch_size=size, **QUICK) for size in (3, 64))
    assert isinstance(one.stands, Tensor)
    assert torch.equal(one.stands, other.stands)  # type: ignore[arg-type]
    assert torch.equal(one.certified, other.certified)
