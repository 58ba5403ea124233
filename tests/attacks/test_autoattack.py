"""AutoAttack is its stages in a row, each on what is left."""

import pytest
import torch

from robustill.attacks import APGD, FAB, AutoAttack, Square, correct
from robustill.attacks.running import run_search
from robustill.errors import InputError
from tests.attacks.rugged import generators, images, labelled, network


def test_the_standard_is_the_published_ensemble() -> None:
    stages = AutoAttack(eps=0.1, norm="L2").stages(10)
    assert list(stages) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert stages["apgd-ce"] == [APGD(eps=0.1, norm="L2", steps=100)]
    assert stages["apgd-t"] == [APGD(eps=0.1, norm="L2", loss="dlr-targeted", target=k) for k in range(1, 10)]
    assert stages["fab-t"] == [FAB(eps=0.1, norm="L2", target=k) for k in range(1, 10)]
    assert stages["square"] == [Square(eps=0.1, norm="L2", queries=5000, rescale=False)]
    assert list(AutoAttack(eps=0.1, version="fast").stages(10)) == ["apgd-ce", "apgd-t"]
    rand = AutoAttack(eps=0.1, version="rand").stages(10)
    assert rand == {"apgd-ce": [APGD(eps=0.1, samples=20)], "apgd-dlr": [APGD(eps=0.1, loss="dlr", samples=20)]}


@pytest.mark.parametrize(("classes", "targets", "loss"), [(5, 4, "dlr-targeted"), (3, 2, "ce-targeted")])
def test_few_classes_have_few_targets(classes: int, targets: int, loss: str) -> None:
    stages = AutoAttack(eps=0.1).stages(classes)
    assert [search.target for search in stages["apgd-t"]] == list(range(1, targets + 1))  # type: ignore[attr-defined]
    assert {search.loss for search in stages["apgd-t"]} == {loss}  # type: ignore[attr-defined]
    assert len(stages["fab-t"]) == targets


def test_it_is_no_weaker_than_any_of_its_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoAttack, "stages", short := _short)
    model, x = network(), images(40)
    y = labelled(model, x)
    attack = AutoAttack(eps=0.02)
    x_adv = attack(model, x, y, generator=generators(40))
    standing = correct(model, x_adv, y)
    assert 0 < int(standing.sum()) < 40
    assert bool(((x_adv - x).abs() <= 0.02).all())
    assert torch.equal(x_adv[standing], x[standing])
    first = next(iter(short(attack, 5).values()))[0]
    fallen, _ = run_search(first, model, x, y, generators(40))
    assert not bool((fallen & standing).any())


def _short(self: AutoAttack, classes: int) -> dict[str, list[object]]:
    return {
        "apgd-ce": [APGD(eps=self.eps, steps=10)],
        "fab-t": [FAB(eps=self.eps, steps=10, target=k) for k in range(1, classes)],
        "square": [Square(eps=self.eps, queries=50)],
    }


def test_what_is_wrong_already_stays_as_it_is() -> None:
    model, x = network(), images(6)
    y = (labelled(model, x) + 1) % 5
    assert torch.equal(AutoAttack(eps=0.1)(model, x, y), x)


@pytest.mark.parametrize("change", [{"version": "plus"}, {"eps": -1.0}, {"norm": "L1"}])
def test_impossible_settings_are_errors(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        AutoAttack(**{"eps": 0.1, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize("attack", [APGD(eps=0.1), FAB(eps=0.1), Square(eps=0.1), AutoAttack(eps=0.1)])
def test_images_outside_the_box_are_an_error(attack: APGD | FAB | Square | AutoAttack) -> None:
    x = images(3) * 255
    model = network()
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        attack(model, x, labelled(model, x))
