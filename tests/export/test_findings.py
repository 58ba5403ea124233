"""A file that is weaker than its network, one that only looks stronger, and one that is neither."""

import torch
from torch import Tensor

from robustill.evaluation import Check, Evaluation
from robustill.export.findings import findings

N = 100


def right(count: int) -> Tensor:
    return torch.arange(N) < count


def network(clean: int, pgd: int, square: int) -> Evaluation:
    return Evaluation({"clean": right(clean), "pgd20": right(pgd), "square": right(square)}, 0.1, "Linf")


def file(clean: int, pgd: int, square: int) -> Evaluation:
    return Evaluation({"clean": right(clean), "transfer-pgd20": right(pgd), "square": right(square)}, 0.1, "Linf")


def look(*counts: int) -> dict[str, Check]:
    return {check.name: check for check in findings(network(80, 50, 60), file(*counts))}


def test_equal_verdicts_are_silent() -> None:
    found = look(80, 50, 60)
    assert list(found) == ["weaker", "masked"]
    assert not any(check.fired for check in found.values())


def test_five_lost_images_may_be_chance_and_six_are_not() -> None:
    assert not look(80, 45, 60)["weaker"].fired
    check = look(80, 44, 60)["weaker"]
    assert check.fired
    assert "6 images that the network has right in the worst case over the attacks, against 0" in check.says
    assert check.value["in the worst case over the attacks"]["difference"] == -0.06


def test_weaker_without_an_attack() -> None:
    check = look(70, 50, 60)["weaker"]
    assert check.fired
    assert "10 images that the network has right without an attack, against 0" in check.says
    assert "worst case" not in check.says


def test_the_same_number_of_other_images_is_no_difference() -> None:
    turned = Evaluation({"clean": right(80).flip(0), "transfer-pgd20": right(50).flip(0)}, 0.1, "Linf")
    (check,) = findings(network(80, 50, 60), turned)
    assert not check.fired
    assert check.value["without an attack"]["only_file"] == 20


def test_examples_of_the_network_miss_it_and_square_does_not() -> None:
    check = look(80, 58, 60)["masked"]
    assert check.fired
    assert "under examples that were made on the network: 8 images fall there and stand here, 0 the" in check.says
    assert "Under Square on its own logits it is 0 against 0." in check.says


def test_square_loses_its_way_and_examples_of_the_network_do_not() -> None:
    check = look(80, 50, 70)["masked"]
    assert check.fired
    assert "under Square on its own logits: 10 images fall there and stand here" in check.says


def test_more_under_both_is_not_called_masked() -> None:
    found = look(80, 60, 70)
    assert not found["masked"].fired
    assert not found["weaker"].fired


def test_masked_needs_both_kinds() -> None:
    alone = Evaluation({"clean": right(80), "square": right(70)}, 0.1, "Linf")
    assert [check.name for check in findings(network(80, 50, 60), alone)] == ["weaker"]
