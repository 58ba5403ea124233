"""The checks of a whole evaluation: masked networks are found out, an honest one is not accused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import APGD, AutoAttack, Search
from robustill.data import Data
from robustill.evaluation import Check, Evaluation, evaluate
from tests.evaluation.conftest import Brightness
from tests.evaluation.masked import Wrapped, coarse, noisy, trained

OF_THE_MODEL = ["randomised", "zero-gradients", "overflow", "few-classes"]
ALL = [*OF_THE_MODEL, "steps-sweep", "square-probe", "upper-bound-only"]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoAttack's first two stages, with few steps."""

    def stages(self: AutoAttack, classes: int) -> dict[str, list[Search]]:
        targets = range(1, classes)
        return {
            "apgd-ce": [APGD(eps=self.eps, steps=10)],
            "apgd-t": [APGD(eps=self.eps, steps=5, loss="ce-targeted", target=k) for k in targets],
        }

    monkeypatch.setattr(AutoAttack, "stages", stages)


def run(model: nn.Module, data: Data, **changes: Any) -> Evaluation:
    return evaluate(model, data, **{"eps": 0.1, "attacks": ("pgd3",), "progress": False, **changes})


def named(found: Evaluation) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


def fired(found: Evaluation) -> list[str]:
    return [check.name for check in found.checks if check.fired]


@pytest.mark.parametrize("kind", ["standard", "pgd-at"])
def test_an_honest_network_is_not_accused(kind: str, tiny_data: Data) -> None:
    found = run(trained(kind, tiny_data), tiny_data)
    assert list(named(found)) == ALL
    assert fired(found) == []
    assert fired(run(trained(kind, tiny_data), tiny_data, attacks=("autoattack-fast",))) == ["few-classes"]


MASKS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "saturated": ({"behind": lambda z: 1e4 * z}, ["zero-gradients", "overflow"]),
    "random input": ({"before": noisy}, ["randomised"]),
    "random output": ({"behind": lambda z: z + 0.01 * torch.rand_like(z)}, ["randomised"]),
    "quantised": ({"before": coarse}, ["zero-gradients"]),
}


@pytest.mark.parametrize("mask", list(MASKS))
@pytest.mark.parametrize("attack", ["pgd3", "autoattack-fast"])
def test_a_masked_network_is_found_out(attack: str, mask: str, tiny_data: Data) -> None:
    parts, signs = MASKS[mask]
    torch.manual_seed(0)
    found = run(Wrapped(trained("standard", tiny_data), **parts), tiny_data, attacks=(attack,))
    dlr = ["few-classes"] if attack == "autoattack-fast" else []
    assert fired(found) == [*signs, *dlr, "upper-bound-only"]
    check = named(found)["upper-bound-only"]
    assert check.value["signs"] == signs
    assert check.value["attacks"] == [attack]
    wanted = "autoattack-rand" if signs == ["randomised"] else "autoattack"
    assert check.says.startswith("Do not believe the robust accuracy")
    assert check.says.endswith(f"Run --attacks {wanted}.")


def test_the_attack_that_is_made_for_it_was_run(tiny_data: Data) -> None:
    net = Wrapped(trained("standard", tiny_data), behind=lambda z: 1e4 * z)
    found = run(net, tiny_data, attacks=("pgd3", "autoattack"))
    assert fired(found) == ["zero-gradients", "overflow", "few-classes"]
    assert "square-probe" not in named(found), "the ensemble has Square"


def test_an_attack_that_was_too_weak_is_seen(tiny_data: Data) -> None:
    found = run(trained("standard", tiny_data), tiny_data, eps=0.23)
    assert found.accuracy() == 1.0
    assert fired(found) == ["square-probe", "upper-bound-only"]


def test_square_is_tried_where_it_was_not_asked_for(tiny_data: Data) -> None:
    found = run(trained("standard", tiny_data), tiny_data, eps=0.02, attacks=("pgd3", "square"))
    expected = [*OF_THE_MODEL, "steps-sweep", "square-beats-gradients", "upper-bound-only"]
    assert list(named(found)) == expected
    assert fired(found) == []


class Masked(Brightness):
    """As `Brightness`, with a gradient that points the wrong way."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return 2 * logits.detach() - logits


def test_borrowed_examples_see_through_a_wrong_gradient(data: Data, truth: dict[str, Tensor]) -> None:
    fell = int(truth["clean"].sum() - truth["robust"].sum())
    found = run(Masked(), data, attacks=("fgsm",), transfer_from=Brightness())
    assert "transfer-beats-white-box" in fired(found)
    check = named(found)["transfer-beats-white-box"]
    assert check.value == {"standing": int(truth["clean"].sum()), "fell": fell}
    assert named(found)["upper-bound-only"].value["attacks"] == ["fgsm"], "what was borrowed is not made for it"
    honest = run(Brightness(), data, attacks=("fgsm",), transfer_from=Brightness())
    assert not named(honest)["transfer-beats-white-box"].fired


def greys(n: int) -> Data:
    levels = torch.linspace(0, 255, n).round().long()
    images, labels = levels.to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous(), levels > 127
    return Data.from_arrays((images, labels.long()), (images, labels.long()), validation=0)


@pytest.mark.parametrize(("images", "looked", "swept"), [(10, 10, 10), (300, 256, 16), (640, 256, 20), (3000, 256, 64)])
def test_checks_look_at_a_few_images(images: int, looked: int, swept: int) -> None:
    found = named(run(Brightness(), greys(images), attacks=("fgsm",)))
    assert found["randomised"].value["images"] == looked
    assert found["overflow"].value["images"] == looked
    assert found["steps-sweep"].value["images"] == swept
    assert found["square-probe"].value["standing"] == min(swept, found["square-probe"].value["standing"])


def test_the_few_images_are_right_and_from_everywhere() -> None:
    """Only images at the end of the split are attacked with success, and those at its beginning are wrong."""
    levels = torch.cat([torch.full((320,), 250), torch.full((160,), 240), torch.full((160,), 130)])
    images, labels = levels.to(torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).contiguous(), levels < 0
    labels[320:] = True
    data = Data.from_arrays((images, labels.long()), (images, labels.long()), validation=0)
    found = run(Brightness(), data, attacks=("fgsm",))
    assert found.accuracy("clean") == 0.5
    assert found.accuracy() == 0.25
    checks = named(found)
    assert checks["steps-sweep"].value["steps"]["5"] == 0.5, "half of those that are right"
    expected = {"standing": 20, "fell": 0, "queries": 500}
    assert checks["square-probe"].value == expected, "what stood up to the attacks"


def test_checks_are_in_the_file(tiny_data: Data, tmp_path: Path) -> None:
    net = Wrapped(trained("standard", tiny_data), behind=lambda z: 1e4 * z)
    found = run(net, tiny_data, out=tmp_path)
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written == found.to_json()
    assert list(written["checks"]) == ALL
    assert {name: check["fired"] for name, check in written["checks"].items()} == {
        name: name in ("zero-gradients", "overflow", "upper-bound-only") for name in ALL
    }
    again = run(net, tiny_data, out=tmp_path)
    assert again.checks == found.checks, "the same images and starts"


def test_no_checks_no_words(tiny_data: Data, tmp_path: Path) -> None:
    net = trained("standard", tiny_data)
    without, checked = run(net, tiny_data, checks=False, out=tmp_path), run(net, tiny_data)
    assert without.checks == ()
    assert "checks" not in json.loads((tmp_path / "evaluation.json").read_text())
    for name, right in checked.verdicts.items():
        assert torch.equal(right, without.verdicts[name]), "a check is no attack"


def test_without_an_attack_only_the_model_is_looked_at(tiny_data: Data) -> None:
    found = run(trained("standard", tiny_data), tiny_data, attacks=())
    assert list(named(found)) == OF_THE_MODEL
    saturated = Wrapped(trained("standard", tiny_data), behind=lambda z: 1e4 * z)
    assert fired(run(saturated, tiny_data, attacks=())) == ["zero-gradients", "overflow"]


@pytest.mark.parametrize(
    ("attacks", "fires"),
    [(("pgd3", "cw"), False), (("apgd-ce",), False), (("autoattack",), True), (("pgd3", "autoattack-fast"), True)],
)
def test_few_classes_matter_to_the_difference_of_logits(attacks: tuple[str, ...], fires: bool, tiny_data: Data) -> None:
    assert named(run(trained("standard", tiny_data), tiny_data, attacks=attacks))["few-classes"].fired is fires


def test_everything_is_left_as_it_was(tiny_data: Data) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3)).train()
    net[2].eval()
    for weight in net.parameters():
        weight.grad = torch.full_like(weight, 7.0)
    before, state = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    found = run(net, tiny_data, attacks=("pgd3", "autoattack-fast"), transfer_from=nn.Sequential(nn.Flatten(), net[3]))
    assert not named(found)["randomised"].fired, "dropout and batch norm are in eval mode"
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in net.modules()] == [True, True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    for weight in net.parameters():
        assert weight.requires_grad
        assert torch.equal(weight.grad, torch.full_like(weight, 7.0))  # type: ignore[arg-type]
