"""The order, the gates before it, ties, surfaces and temperature, on teachers whose entropies are known."""

import json
from dataclasses import replace
from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch

from robustill.data import Data
from robustill.diagnostics.ranking import Gates, Ranking
from robustill.diagnostics.ranking.groups import choose
from robustill.diagnostics.ranking.scores import median_margin
from robustill.errors import DataError, InputError, ModelError
from tests.diagnostics.ranking.zoo import CLASSES, EPS, Student, Teacher, ranked, unlearnable_rows, zoo_data, zoo_set


def known_entropy(margin: float) -> float:
    p = [exp(margin), *[1.0] * (CLASSES - 1)]
    return -sum(each / sum(p) * log(each / sum(p)) for each in p)


def marks(data: Data) -> torch.Tensor:
    return data.train.images(unlearnable_rows(data).nonzero().flatten())[:, 0, 7, 0] / 255


def order(ranking: Ranking) -> list[str]:
    return [each.name for each in ranking.ranked]


def mean(ranking: Ranking, name: str, column: str, group: str, surface: str = "clean") -> float:
    report = next(each for each in ranking.reports if each.name == name)
    found = report.surfaces[surface][column][group].mean
    assert found is not None
    return found


def test_the_uncertain_one_comes_first() -> None:
    ranking = ranked({"sure": Teacher(9, 9), "uncertain": Teacher(0, 9), "between": Teacher(3, 9)})
    assert order(ranking) == ["uncertain", "between", "sure"]
    assert ranking.ranks() == {"sure": 3, "uncertain": 1, "between": 2}
    assert ranking.dropped == ()


def test_entropies_are_the_closed_form() -> None:
    data, margin = zoo_data(), 4.0
    ranking = ranked({"t": Teacher(0, margin)}, data)
    assert mean(ranking, "t", "entropy", "learnable") == pytest.approx(known_entropy(margin), abs=1e-6)
    expected = [known_entropy((1 - float(mark)) * margin) for mark in marks(data)]
    assert mean(ranking, "t", "entropy", "unlearnable") == pytest.approx(sum(expected) / len(expected), abs=1e-6)
    contrast = mean(ranking, "t", "entropy", "contrast")
    difference = mean(ranking, "t", "entropy", "unlearnable") - mean(ranking, "t", "entropy", "learnable")
    assert contrast == pytest.approx(difference)
    entry = ranking.to_json()["teachers"][0]["surfaces"]["clean"]["entropy"]["learnable"]
    assert entry["of_log_classes"] == pytest.approx(known_entropy(margin) / log(CLASSES), abs=1e-6)


def test_the_median_of_an_even_number_is_the_mean_of_both_in_the_middle() -> None:
    logits, y = torch.tensor([[0.0, 0.0], [2.0, 0.0], [9.0, 0.0], [-1.0, 0.0]]), torch.zeros(4, dtype=torch.int64)
    assert median_margin(logits, y, torch.ones(4), 1.0) == 1.0
    assert median_margin(logits, y, torch.tensor([1.0, 1.0, 0.0, 1.0]), 1.0) == 0.0
    assert median_margin(logits, y, torch.tensor([0.0, 1.0, 1.0, 0.0]), 2.0) == 2.75
    assert median_margin(logits, y, torch.zeros(4), 1.0) is None


def test_temperature_divides_the_logits_of_the_scores() -> None:
    cold, warm = (ranked({"t": Teacher(3, 6)}, temperature=t) for t in (1.0, 3.0))
    assert mean(cold, "t", "entropy", "learnable") == pytest.approx(known_entropy(6), abs=1e-6)
    assert mean(warm, "t", "entropy", "learnable") == pytest.approx(known_entropy(2), abs=1e-6)
    scaled = ranked({"t": Teacher(1, 2)})
    assert mean(warm, "t", "entropy", "unlearnable") == pytest.approx(mean(scaled, "t", "entropy", "unlearnable"))
    assert warm.reports[0].margins["clean"] == pytest.approx(cold.reports[0].margins["clean"] / 3)
    assert warm.dropped == (), "gates have a temperature of their own"
    assert "uninformative" in ranked({"t": Teacher(3, 6)}, gates=Gates(temperature=30)).dropped[0].dropped[0]


def test_a_teacher_that_knows_nothing_is_dropped_before_the_ranking() -> None:
    ranking = ranked({"nothing": Teacher(0, 0.2), "good": Teacher(1, 9)})
    assert order(ranking) == ["good"]
    (dropped,) = ranking.dropped
    assert "uninformative" in dropped.dropped[0]
    assert ranking.scores() == {"nothing": None, "good": mean(ranking, "good", "entropy", "unlearnable")}
    assert order(ranked({"nothing": Teacher(0, 0.2), "good": Teacher(1, 9)}, gates=Gates(informative=0.3))) == [
        "nothing",
        "good",
    ]


def test_a_teacher_that_is_sure_of_wrong_classes_is_dropped() -> None:
    teachers = {"wrong": Teacher(-9, 9), "right": Teacher(9, 9)}
    ranking = ranked(teachers)
    assert mean(ranking, "wrong", "confident_wrong", "unlearnable") == 1.0
    assert mean(ranking, "right", "confident_right", "unlearnable") == 1.0
    assert mean(ranking, "right", "confident_wrong", "unlearnable") == 0.0
    assert order(ranking) == ["right"]
    assert "100% of the unlearnable" in ranking.dropped[0].dropped[0]
    assert set(order(ranked(teachers, gates=Gates(wrong=1.0)))) == {"right", "wrong"}


def test_a_teacher_that_falls_on_the_learnable_images_is_dropped() -> None:
    teachers = {"weak": Teacher(0, 9, fragile=20 / EPS), "strong": Teacher(5, 9)}
    ranking = ranked(teachers)
    # The push helps one of three classes and hurts the others.
    assert ranking.reports[0].robust_accuracy.mean == pytest.approx(0, abs=0.01)
    assert ranking.reports[1].robust_accuracy.mean == 1.0
    assert order(ranking) == ["strong"]
    assert "the best has 100%" in ranking.dropped[0].dropped[0]
    assert order(ranked(teachers, gates=Gates(robust=0.0))) == ["weak", "strong"]


def test_when_all_are_dropped_there_is_no_order() -> None:
    ranking = ranked({"a": Teacher(0, 0.1), "b": Teacher(0, 0.2)})
    assert (order(ranking), ranking.to_json()["ranking"]) == ([], [])


def test_overlapping_intervals_are_ties_and_go_by_robust_accuracy() -> None:
    weak, strong = Teacher(2.0, 9, fragile=9 / EPS), Teacher(2.001, 9)
    teachers = {"weak": weak, "strong": strong, "other": Teacher(8, 9)}
    ranking = ranked(teachers, gates=Gates(robust=0))
    assert ranking.ranks() == {"weak": 1, "strong": 1, "other": 3}
    assert (
        ranking.reports[0].score("unlearnable_entropy", "clean").mean
        > ranking.reports[1].score("unlearnable_entropy", "clean").mean
    )  # type: ignore[operator]
    assert order(ranking) == ["strong", "weak", "other"]
    assert (ranking.tied("weak"), ranking.tied("other")) == (("strong",), ())


def test_the_contrast_is_another_order() -> None:
    teachers = {"vague": Teacher(0.0, 2.0), "sharp": Teacher(0.6, 9)}
    assert order(ranked(teachers)) == ["vague", "sharp"]
    assert order(ranked(teachers, criterion="contrast")) == ["sharp", "vague"]
    orders = ranked(teachers).to_json()["orders"]
    assert orders["clean"] == {"unlearnable_entropy": ["vague", "sharp"], "contrast": ["sharp", "vague"]}


def test_each_surface_is_crafted_on_its_own_model() -> None:
    # Only the student and the fragile teacher look at row 6; the attack has no random start.
    ranking = ranked({"deaf": Teacher(2, 9), "listening": Teacher(2, 9, fragile=5 / EPS)}, gates=Gates(robust=0))
    deaf, listening = ({s: mean(ranking, name, "entropy", "learnable", s) for s in ("clean", "student", "teacher")}
                       for name in ("deaf", "listening"))  # fmt: skip
    assert deaf["student"] == pytest.approx(deaf["clean"], abs=1e-9)
    assert deaf["teacher"] > deaf["clean"] + 1e-4
    assert listening["student"] > listening["clean"] + 1e-4
    own = [mean(ranking, "listening", "accuracy", "learnable", s) for s in ("clean", "student", "teacher")]
    assert own[0] == 1.0
    assert own[2] <= own[1]
    assert ranking.reports[0].robust_accuracy.mean == 1.0


def test_surfaces_that_disagree_are_named() -> None:
    # Its own attack makes the second teacher sure, of wrong classes.
    steady, swayed = Teacher(2.5, 9), Teacher(0.5, 9, fragile=8 / EPS)
    ranking = ranked({"steady": steady, "swayed": swayed}, gates=Gates(robust=0, wrong=1))
    assert order(ranking) == ["swayed", "steady"]
    found = ranking.disagreements()
    assert {"surface": "clean", "prefers": "swayed", "other_surface": "teacher", "other_prefers": "steady"} in found
    assert ranked({"a": Teacher(1, 9), "b": Teacher(5, 9)}).disagreements() == []
    assert ranking.to_json()["disagreements"] == found


def test_soft_weights_count_ambiguous_images_in_part() -> None:
    data = zoo_data()
    found = zoo_set(data, 3)
    found.right[0, 0] = True
    sharp, soft = (
        ranked({"t": Teacher(1, 9)}, data, learnability=found, estimator=each) for each in ("intersection", "soft")
    )
    assert sharp.about["sizes"]["unlearnable"] == 29
    assert soft.about["sizes"]["unlearnable"] == 30
    assert unlearnable_rows(data)[0]
    per_image = torch.tensor([known_entropy((1 - float(m)) * 9 + float(m)) for m in marks(data)], dtype=torch.float64)
    weights = found.soft_weights()[unlearnable_rows(data)]
    assert sorted(set(weights.tolist())) == pytest.approx([2 / 3, 1])
    expected = float((per_image * weights).sum() / weights.sum())
    assert mean(soft, "t", "entropy", "unlearnable") == pytest.approx(expected, abs=1e-7)
    assert mean(sharp, "t", "entropy", "unlearnable") != pytest.approx(expected, abs=1e-7)
    single = ranked({"t": Teacher(1, 9)}, data, learnability=found, estimator="single")
    assert single.about["sizes"] == {"unlearnable": 29, "learnable": 61}


def test_a_limit_keeps_class_shares_and_widens_intervals() -> None:
    data, teacher = zoo_data(900), {"t": Teacher(1, 9)}
    whole, few = ranked(teacher, data), ranked(teacher, data, limit=30)
    assert (whole.about["images"], few.about["images"]) == (
        {"unlearnable": 300, "learnable": 600},
        {"unlearnable": 30, "learnable": 30},
    )
    widths = []
    for ranking in (whole, few):
        score = ranking.reports[0].score("unlearnable_entropy", "clean")
        widths.append(score.high - score.low)  # type: ignore[operator]
    assert widths[1] > 2 * widths[0]


def test_baselines() -> None:
    data = zoo_data()
    teachers = {"a": Teacher(0, 9), "b": Teacher(3, 9, fragile=20 / EPS)}
    ranking = ranked(teachers, data, baselines=True, gates=Gates(robust=0))
    found = ranking.baselines()
    assert found["clean_accuracy"] == {"a": pytest.approx(1.0, abs=0.35), "b": 1.0}
    assert found["robust_accuracy"]["b"] == 0.0
    assert found["parameters"]["a"] == 3
    matched, whole = found["entropy_matched"]["a"], found["entropy_all"]["a"]
    assert matched is not None
    assert whole is not None
    unlearnable, learnable = (mean(ranking, "a", "entropy", each) for each in ("unlearnable", "learnable"))
    assert whole == pytest.approx((30 * unlearnable + 60 * learnable) / 90)
    assert learnable < matched < unlearnable
    assert found["nll_unlearnable"]["a"] == pytest.approx(mean(ranking, "a", "nll", "unlearnable"))


@pytest.mark.parametrize("limit", [None, 4])
def test_the_matched_images_have_the_classes_of_the_unlearnable(limit: int | None) -> None:
    right = torch.ones(2, 90, dtype=torch.bool)
    # Four images of class 0, two of class 1, none of class 2.
    right[:, [0, 3, 6, 9, 1, 4]] = False
    found = replace(zoo_set(zoo_data()), right=right)
    groups = choose(found, "intersection", 1.0, limit, 0, baselines=True)
    counts = {
        name: torch.bincount(groups.labels[weights > 0], minlength=3).tolist()
        for name, weights in groups.weights.items()
    }
    assert counts["matched"] == counts["unlearnable"]
    assert counts["unlearnable"] == ([4, 2, 0] if limit is None else [3, 1, 0])
    assert sum(counts["all"]) == (90 if limit is None else 4)
    assert not torch.equal(groups.weights["matched"], groups.weights["unlearnable"])
    assert set(choose(found, "intersection", 1.0, limit, 0, baselines=False).weights) == {"unlearnable", "learnable"}
    assert groups.sizes == {"unlearnable": 6, "learnable": 84}


def test_answers_are_kept_and_a_cut_off_teacher_goes_on(tmp_path: Path) -> None:
    whole, teacher, data = ranked({"t": Teacher(1, 9)}), Teacher(1, 9), zoo_data()
    real = Teacher.forward

    def cut(self: Teacher, x: torch.Tensor) -> torch.Tensor:
        if self.asked > 150:
            raise KeyboardInterrupt
        return real(self, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Teacher, "forward", cut)
        with pytest.raises(KeyboardInterrupt):
            ranked({"t": teacher}, data, out=tmp_path, batch_size=20)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    teacher.asked = 0
    again = ranked({"t": teacher}, data, out=tmp_path, batch_size=20)
    spent, teacher.asked = teacher.asked, 0
    assert spent < 3 * 90
    assert again.to_json() == whole.to_json()
    assert ranked({"t": teacher}, data, out=tmp_path).to_json() == whole.to_json()
    assert teacher.asked == 2, "it is only checked on two images"
    warm = ranked({"t": teacher}, data, out=tmp_path, temperature=2.0)
    assert mean(warm, "t", "entropy", "learnable") == pytest.approx(known_entropy(4.5), abs=1e-6)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:50])
    assert ranked({"t": teacher}, data, out=tmp_path).to_json() == whole.to_json()


class Scaled(torch.nn.Module):
    """A teacher at another temperature, with the same tensors."""

    def __init__(self, network: torch.nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x) * self.factor


def test_networks_with_equal_tensors_keep_their_own_answers(tmp_path: Path) -> None:
    base = Teacher(2, 9)
    zoo: dict[str, torch.nn.Module] = {f"x {factor}": Scaled(base, factor) for factor in (0.5, 1.0, 2.0)}
    alone, kept = (ranked(zoo, out=folder) for folder in (None, tmp_path))
    assert kept.scores() == alone.scores()
    assert len(set(kept.scores().values())) == 3
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    ranked({"t": Teacher(1, 9)}, learnability=zoo_set(zoo_data(), attack="pgd2"))
    assert torch.equal(torch.get_rng_state(), before)


def test_json_is_plain_and_finite() -> None:
    content = ranked({"a": Teacher(0, 9), "b": Teacher(0, 0.1)}, baselines=True).to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["schema"] == 1
    assert [each["name"] for each in content["ranking"]] == ["a"]
    assert content["threat"] == {"eps": EPS, "norm": "Linf", "attack": "fgsm"}


MISTAKES: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"criterion": "entropy"}, InputError, "unlearnable_entropy"),
    ({"surface": "students"}, InputError, "student"),
    ({"estimator": "all"}, InputError, "estimator"),
    ({"temperature": 0.0}, InputError, "temperature"),
    ({"limit": 0}, InputError, "limit"),
    ({"resamples": 0}, InputError, "resamples"),
    ({"student": torch.nn.Linear(2, 3)}, ModelError, "the student"),
]


@pytest.mark.parametrize(("changes", "error", "part"), MISTAKES)
def test_mistakes(changes: dict[str, Any], error: type[Exception], part: str) -> None:
    with pytest.raises(error, match=part):
        ranked({"t": Teacher(1, 9)}, **changes)


def test_more_mistakes() -> None:
    data = zoo_data()
    with pytest.raises(InputError, match="no teachers"):
        ranked({})
    with pytest.raises(DataError, match="another content or split"):
        ranked({"t": Teacher(1, 9)}, zoo_data(99), learnability=zoo_set(data))
    empty, nothing = zoo_set(data), zoo_set(data)
    empty.right[:] = True
    nothing.right[:] = False
    with pytest.raises(InputError, match="larger eps, fewer references"):
        ranked({"t": Teacher(1, 9)}, data, learnability=empty)
    with pytest.raises(InputError, match="more epochs"):
        ranked({"t": Teacher(1, 9)}, data, learnability=nothing)
    for gate in ({"robust": 1.5}, {"wrong": -0.1}, {"temperature": 0.0}):
        with pytest.raises(InputError):
            Gates(**gate)
    assert isinstance(Student(), torch.nn.Module)
