"""Sets, weights and their dependence on the references, from verdicts written by hand."""

from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor

from robustill.diagnostics.learnability import Learnability
from robustill.errors import InputError


def made(right: Any, **changes: Any) -> Learnability:
    verdicts = torch.as_tensor(right, dtype=torch.bool)
    count, n = verdicts.shape
    fields: dict[str, Any] = {
        "agreed": torch.full((n,), -1), "belief": torch.linspace(0, 1, n), "labels": torch.arange(n) % 3,
        "index": 10 + 2 * torch.arange(n), "rows": 100 + torch.arange(n),
        "references": tuple(f"{'ab'[k % 2]}/{k}" for k in range(count)), "about": {"data": "made", "eps": 0.1},
    }  # fmt: skip
    return Learnability(verdicts, **{**fields, **changes})


def drawn(references: int = 5, n: int = 40, seed: int = 0) -> Learnability:
    return made(torch.rand(references, n, generator=torch.Generator().manual_seed(seed)) < 0.5)


VERDICTS = [[0, 0, 1, 1, 0], [0, 1, 1, 0, 0], [0, 1, 1, 1, 1]]


def test_sets() -> None:
    found = made(VERDICTS)
    assert found.score.tolist() == [0, 2, 3, 2, 1]
    assert found.unlearnable().tolist() == [10]
    assert found.learnable().tolist() == [14]
    assert found.unlearnable("single").tolist() == [10, 12, 18]
    assert found.learnable("single").tolist() == [14, 16]


def test_soft_weights() -> None:
    found = made(VERDICTS)
    assert found.soft_weights(2).tolist() == pytest.approx([1, 1 / 9, 0, 1 / 9, 4 / 9])
    unlearnable, learnable = found.weights("soft", k=2)
    assert torch.equal(unlearnable, found.soft_weights(2))
    assert learnable.tolist() == pytest.approx([0, 4 / 9, 1, 4 / 9, 1 / 9])
    with pytest.raises(InputError, match="soft_weights"):
        found.unlearnable("soft")
    with pytest.raises(InputError, match="exponent"):
        found.soft_weights(0)
    with pytest.raises(InputError, match="intersection"):
        found.weights("intersecton")


def test_the_order_of_the_references_changes_nothing_but_the_single_one() -> None:
    found = drawn()
    turned = found.subset(found.references[::-1])
    assert turned.unlearnable().tolist() == found.unlearnable().tolist()
    assert turned.learnable().tolist() == found.learnable().tolist()
    assert torch.equal(turned.soft_weights(), found.soft_weights())
    assert turned.stability_curve() == found.stability_curve()
    assert turned.unlearnable("single").tolist() != found.unlearnable("single").tolist()


def test_the_stability_curve_is_the_mean_over_all_subsets() -> None:
    found = drawn()
    for point in found.stability_curve():
        subsets = list(combinations(range(5), point.references))
        wrong, right = ([float(each[list(s)].all(0).sum()) for s in subsets] for each in (~found.right, found.right))
        assert point.unlearnable == pytest.approx(sum(wrong) / len(subsets))
        assert point.learnable == pytest.approx(sum(right) / len(subsets))
    assert found.stability_curve()[-1].unlearnable == len(found.unlearnable())


def test_with_more_references_both_sets_can_only_shrink() -> None:
    found = drawn()
    sizes = [(p.unlearnable, p.learnable) for p in found.stability_curve()]
    assert sizes == sorted(sizes, reverse=True)
    for m in range(1, 5):
        smaller, larger = (set(found.subset(found.references[:k]).unlearnable().tolist()) for k in (m + 1, m))
        assert smaller <= larger


def test_jaccard_against_sets() -> None:
    found = made([*VERDICTS, [1] * 5, [1] * 5])
    wrong = [set((~row).nonzero().flatten().tolist()) for row in found.right]
    table = found.jaccard()
    for a, one in enumerate(wrong):
        for b, other in enumerate(wrong):
            union = len(one | other)
            assert table[a, b] == pytest.approx(len(one & other) / union if union else 1.0)


def test_groups_are_what_stands_before_the_slash() -> None:
    found = made(VERDICTS)
    assert found.groups() == {"a": ("a/0", "a/2"), "b": ("b/1",)}
    assert found.subset(found.groups()["b"]).unlearnable().tolist() == [10, 16, 18]
    with pytest.raises(InputError, match="a/2"):
        found.subset(["a/9"])


def test_label_errors_are_seen_as_one_other_class_and_in_the_set() -> None:
    right = [[0, 0, 0, 1], [0, 0, 0, 1]]
    found = made(right, agreed=torch.tensor([2, 1, -1, 2]), labels=torch.tensor([0, 1, 2, 0]))
    positions, classes = found.label_errors()
    assert (positions.tolist(), classes.tolist()) == ([10], [2])


@pytest.mark.parametrize(
    "changes", [{"labels": torch.zeros(4)}, {"references": ("a", "b")}, {"rows": torch.zeros(6)}, {"references": ()}]
)
def test_what_does_not_fit_together_is_refused(changes: dict[str, Tensor]) -> None:
    with pytest.raises(InputError):
        made(VERDICTS, **changes)
