"""Attacks that cannot be meant are refused, with what to do about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from robustill.attacks import APGD, CW, FAB, FGSM, PGD, AutoAttack, Square, adversarial_points
from robustill.errors import InputError, ModelError
from robustill.losses import cross_entropy
from tests.attacks.tiny import classifier, images, wavy

USUAL: dict[str, Any] = {"eps": 0.1, "step_size": 0.05, "steps": 2}


def test_swapped_radius_and_step_are_suspected() -> None:
    with pytest.raises(InputError, match=r"step_size 0.03\d+ exceeds eps 0.007\d+: are the two swapped\?") as caught:
        PGD(eps=2 / 255, step_size=8 / 255)
    assert "large_step=True" in str(caught.value)
    assert PGD(eps=2 / 255, step_size=8 / 255, large_step=True).step_size == 8 / 255


@pytest.mark.parametrize(
    "wrong",
    [{"eps": -0.1}, {"eps": torch.nan}, {"step_size": 0.0}, {"step_size": -0.01}, {"steps": -1}, {"restarts": 0}],
    ids=str,
)
def test_impossible_numbers(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"impossible attack.*\n  hint: eps >= 0"):
        PGD(**{**USUAL, **wrong})


@pytest.mark.parametrize("wrong", [{"norm": "linf"}, {"norm": "L1"}, {"init": "random"}], ids=str)
def test_unknown_norm_or_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong.values()))):
        PGD(**USUAL, **wrong)


@pytest.mark.parametrize("wrong", [{"eps": -0.1}, {"norm": "L1"}], ids=str)
def test_the_other_attacks_refuse_them_at_the_latest_when_called(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        FGSM(**{"eps": 0.1, **wrong})(wavy(), images(1))
    with pytest.raises(InputError):
        CW(**{**USUAL, **wrong})(classifier(), images(1), torch.tensor([0]))


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize(
    "x",
    [images(2) * 255, images(2) - 0.5, torch.full((2, 1, 4, 4), torch.nan), torch.zeros(2, 4, dtype=torch.uint8)],
    ids=["0..255", "centred", "nan", "uint8"],
)
def test_images_outside_the_unit_box(norm: Any, x: torch.Tensor) -> None:
    with pytest.raises(InputError, match="images"):
        PGD(**USUAL, norm=norm)(wavy(), x)
    with pytest.raises(InputError, match="images"):
        CW(**USUAL, norm=norm)(classifier(), x, torch.tensor([0, 1]))


def test_an_attack_is_a_value() -> None:
    assert PGD(**USUAL) == PGD(**USUAL)
    assert hash(PGD(**USUAL)) == hash(PGD(**USUAL))
    with pytest.raises(AttributeError):
        PGD(**USUAL).eps = 0.2  # type: ignore[misc]
    with pytest.raises(TypeError):
        PGD(0.1, 0.05)  # type: ignore[call-arg]


class Cut(nn.Module):
    """Rounds its input to grey levels, outside the graph."""

    def __init__(self, *, parameters: bool) -> None:
        super().__init__()
        self.head = nn.Linear(4, 5).requires_grad_(parameters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head((x.detach() * 16).round().flatten(1))
        return logits


@pytest.mark.parametrize("parameters", [True, False])
@pytest.mark.parametrize("attack", [APGD(eps=0.1), FAB(eps=0.1), CW(eps=0.1, step_size=0.02)])
def test_a_model_without_a_gradient_for_its_input(attack: Any, parameters: bool) -> None:
    model, x = Cut(parameters=parameters), torch.rand(2, 1, 2, 2)
    with pytest.raises(ModelError, match=r"cannot be differentiated with respect to its input\n.*square"):
        attack(model, x, model(x).argmax(1))


@pytest.mark.parametrize(
    ("attack", "least"),
    [
        (APGD(eps=0.1, loss="dlr"), 3),
        (APGD(eps=0.1, loss="dlr-targeted"), 4),
        (APGD(eps=0.1), 2),
        (FAB(eps=0.1), 2),
        (Square(eps=0.1), 2),
    ],
)
def test_attacks_that_do_not_exist_for_few_classes(attack: Any, least: int) -> None:
    attack.check_classes(least)
    with pytest.raises(InputError, match=f"needs at least {least} classes, found {least - 1}"):
        attack.check_classes(least - 1)


def test_the_random_version_of_autoattack_needs_three_classes() -> None:
    assert len(AutoAttack(eps=0.1, version="rand").stages(3)) == 2
    with pytest.raises(InputError, match="needs at least 3 classes, found 2"):
        AutoAttack(eps=0.1, version="rand").stages(2)


@pytest.mark.parametrize(
    "attack", [PGD, FGSM, CW, APGD, FAB, Square, AutoAttack], ids=lambda attack: str(attack.__name__)
)
def test_levels_of_255_are_no_radius_of_the_largest_change(attack: Any) -> None:
    more = {"step_size": 2} if attack in (PGD, CW) else {}
    with pytest.raises(InputError, match=r"eps 8 is not in \[0, 1\]\n  hint: .*8 levels of 255 are 8/255"):
        attack(eps=8, **more)
    with pytest.raises(InputError, match="eps is '8/255', which is a text"):
        attack(eps="8/255", **more)
    assert attack(eps=1, **dict.fromkeys(more, 0.5)).eps == 1
    # An L2 distance may be as long as the root of the number of pixels.
    assert attack(eps=8, norm="L2", **more).eps == 8


@pytest.mark.parametrize(
    ("attack", "name"),
    [
        *((PGD, "eps"), (PGD, "step_size"), (FGSM, "eps"), (CW, "step_size")),
        *((APGD, "target"), (FAB, "target"), (Square, "queries"), (AutoAttack, "eps")),
    ],
)
@pytest.mark.parametrize("value", [torch.tensor([0.1, 0.2]), [1, 2], None], ids=["tensor", "list", "none"])
def test_a_setting_for_each_image_is_no_number(attack: Any, name: str, value: Any) -> None:
    usual = {"eps": 0.1, **({"step_size": 0.05} if attack in (PGD, CW) else {})}
    with pytest.raises(
        InputError, match=rf"^{name}( of {attack.__name__})? is a \w+, not a number\n  hint: "
    ) as caught:
        attack(**{**usual, name: value})
    assert ("it is a rank" in str(caught.value)) is (name == "target")


def test_a_number_of_any_kind_is_a_setting() -> None:
    for eps in (1, np.float32(0.5), torch.tensor(0.5)):
        assert PGD(eps=eps, step_size=0.1).eps == eps  # type: ignore[arg-type]


@pytest.mark.parametrize("restarts", [1, 3])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda logits, y: nn.functional.cross_entropy(logits, y), "gives a single number for 4 images"),
        (lambda logits, y: logits, r"gives \[4, 3\] for 4 images"),
        (lambda logits, y: cross_entropy(logits, y)[:, None], r"gives \[4, 1\] for 4 images"),
        (lambda logits, y: cross_entropy(logits, y)[:1], r"gives \[1\] for 4 images"),
        (lambda logits, y: logits.sum().item(), "gives a float, not a tensor"),
    ],
    ids=["scalar", "logits", "column", "one", "float"],
)
def test_an_objective_gives_one_value_per_example(wrong: Any, said: str, restarts: int) -> None:
    model, x, y = classifier().eval(), images(4), torch.tensor([0, 1, 2, 0])
    with pytest.raises(InputError, match=said):
        PGD(**USUAL, restarts=restarts)(lambda x_adv: wrong(model(x_adv), y), x)
    with pytest.raises(InputError, match=said):
        FGSM(eps=0.1)(lambda x_adv: wrong(model(x_adv), y), x)


def test_of_one_example_a_number_is_its_value() -> None:
    model, x, y = classifier().eval(), images(1), torch.tensor([1])
    found = [
        PGD(**USUAL, init="none")(lambda x_adv, loss=loss: loss(model(x_adv), y), x)  # type: ignore[misc]
        for loss in (cross_entropy, nn.functional.cross_entropy)
    ]
    assert torch.equal(*found)


@pytest.mark.parametrize("attack", [PGD(**USUAL), FGSM(eps=0.1)], ids=["PGD", "FGSM"])
def test_attacks_on_an_objective_take_no_labels(attack: Any) -> None:
    model, x, y = classifier().eval(), images(2), torch.tensor([0, 1])
    name = type(attack).__name__
    with pytest.raises(InputError, match=f"{name} takes an objective and images, not a network") as caught:
        attack(model, x, y)
    assert f"adversarial_points(model, x, y, {name}(...))" in str(caught.value)


@pytest.mark.parametrize("attack", [PGD(**USUAL), CW(**USUAL), APGD(eps=0.1, steps=2)], ids=["PGD", "CW", "APGD"])
def test_labels_are_classes(attack: Any) -> None:
    model, x, y = classifier().eval(), images(2), torch.tensor([0, 1])
    with pytest.raises(InputError, match=r"labels must be int64 \[2\], found torch.float32 \[2\]\n  hint: .*y.long()"):
        adversarial_points(model, x, y.float(), attack)
    with pytest.raises(InputError, match=r"labels must be int64 \[2\], found torch.int64 \[1\]"):
        adversarial_points(model, x, y[:1], attack)


@pytest.mark.parametrize(
    "attack", [PGD(**USUAL), FGSM(eps=0.1), CW(**USUAL), APGD(eps=0.1, steps=2)], ids=lambda a: type(a).__name__
)
def test_inference_mode_is_named_where_it_takes_no_gradients(attack: Any) -> None:
    model, x, y = classifier().eval(), images(2), torch.tensor([0, 1])
    with (
        torch.inference_mode(),
        pytest.raises(ModelError, match=r"torch.inference_mode\(\) takes none\n  hint: attack"),
    ):
        adversarial_points(model, x, y, attack)
    with torch.no_grad():
        assert adversarial_points(model, x, y, attack).shape == x.shape
