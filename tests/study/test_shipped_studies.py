"""The studies that come with the project, on each data they are meant for."""

from pathlib import Path

import pytest

from robustill.study import Cells, load_study
from robustill.study.layers import Place

STUDIES = Path(__file__).parents[2] / "studies"
FILES = sorted(path.stem for path in STUDIES.glob("*.toml") if path.stem != "claims")
CIFAR10 = 'names={data="cifar10", large="resnet18", small="resnet18", teacher="resnet18", student="mobilenet_v2"'
CIFAR10 += ', eps="8/255", half_eps="4/255", certified_eps="2/255", average_from="150"}'


def cells(name: str, *changes: str) -> Cells:
    return Cells(load_study(STUDIES / f"{name}.toml", changes), Place(STUDIES))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("data", ["fashion-mnist", "digits", "cifar10", "cifar10 alone"])
def test_a_study_is_for_all_data_by_names_alone(name: str, data: str) -> None:
    if name == "fashion-mnist-small" and data.startswith("cifar10"):
        pytest.skip("it has no name for another student")
    # Teachers of the students' own architecture are one cell with the row of the same recipe.
    on_cifar = {"cifar10": CIFAR10, "cifar10 alone": CIFAR10.replace("mobilenet_v2", "resnet18")}
    change = [] if data == "fashion-mnist" else [on_cifar.get(data, f"names.data={data}")]
    found = cells(name, "seeds=1", *change).all()
    assert {cell.recipe.data.name for cell in found} == {data.removesuffix(" alone")}
    students = {cell.recipe.student.architecture for cell in found if "teacher" not in cell.variant.name}
    assert students <= ({"mobilenet_v2", "resnet18"} if data.startswith("cifar10") else {"cnn_small", "cnn_wide"})
    assert all(cell.recipe.training.threads for cell in found)


def test_a_name_may_be_a_number() -> None:
    found = cells("helps-over-base", "seeds=1", "names.data=digits", "names.average_from=24").all()
    (row,) = [cell for cell in found if cell.variant.name == "rslad_averaged"]
    assert row.recipe.training.average.start == 24


def test_studies_share_their_cells() -> None:
    found = {name: cells(name, "seeds=2").all() for name in FILES}
    addresses = {name: {cell.training for cell in each} for name, each in found.items()}
    for name in ("mtard", "peeraid", "helps-over-base", "relative-calibration", "leaderboard"):
        rslad = [c for c in found[name] if c.variant.name == "rslad"]
        assert len(rslad) == 2
        assert {cell.training for cell in rslad} <= addresses["leaderboard"]
    own = {"bmtard_entropy_only", "bmtard_neither"}
    alone = {c.variant.name for c in found["mtard"] if c.training not in addresses["leaderboard"]}
    assert alone == own
    # Everything that teaches all of them is trained once.
    teachers = {c.training for each in found.values() for c in each if c.variant.name == "teacher_adv"}
    assert len(teachers) == 1


def test_all_studies_evaluate_alike() -> None:
    """One folder holds one evaluation."""
    asked = {name: load_study(STUDIES / f"{name}.toml").evaluate for name in FILES if name != "fashion-mnist-small"}
    assert len(set(map(repr, asked.values()))) == 1


def test_ablations_differ_in_the_balance_alone() -> None:
    found = {cell.variant.name: cell.recipe for cell in cells("mtard", "seeds=1").all()}
    whole = found["bmtard"].model_dump()
    for name, off in {
        "bmtard_entropy_only": ["weight_rate"],
        "bmtard_neither": ["weight_rate", "temperature_rate"],
    }.items():
        recipe = found[name].model_dump()
        assert {key: recipe["method"].pop(key) for key in off} == dict.fromkeys(off, 0)
        assert recipe == whole


def test_a_fixed_tutor_does_not_learn() -> None:
    found = {cell.variant.name: cell.recipe for cell in cells("peeraid", "seeds=1").all()}
    for name in ("peeraid_fixed", "peeraid_fixed_large"):
        given = found[name].method.model_extra or {}
        assert (given["gamma1"], given["gamma2"]) == (0, 0)
        optimizer = found[name].training.guides["peer"].optimizer
        assert optimizer is not None
        assert optimizer.weight_decay == 0
    assert found["teacher_small"].training.seed == 100


def test_weights_of_zero_leave_a_tutor_as_it_is() -> None:
    from robustill import train
    from robustill.recipe import load_recipe

    fixed = ["method.gamma1=0", "method.gamma2=0", "training.guides.peer.optimizer={weight_decay=0}"]
    common = ["teachers.peer=robustill:digits_mtard_cnn-small", "training.epochs=1", "data.limit=300", "attack.steps=1"]
    moved = []
    for changes in (fixed, []):
        recipe = load_recipe("digits_peeraid_cnn-small", [*common, "training.average.name=none", *changes])
        method, data = recipe.build()
        (peer,) = [network for name, network in method.trained().items() if name == "peer"]
        before = [weight.clone() for weight in peer.parameters()]
        train(method, data, recipe.training, progress=False)
        after = list(peer.parameters())
        moved.append(max(float((a - b).detach().abs().max()) for a, b in zip(after, before, strict=True)))
    assert moved[0] == 0
    assert moved[1] > 1e-3
