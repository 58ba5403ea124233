"""Grids of radii, borrowed adversarial examples and subsets, against a network whose robustness is known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustill.attacks import APGD, Attack, AutoAttack, adversarial_points
from robustill.data import Data
from robustill.errors import InputError, ModelError
from robustill.evaluation import Evaluation, evaluate, runner
from tests.evaluation.conftest import Brightness, known_levels

GRID = (0.02, 0.08, 0.15, 0.3)


def run(model: nn.Module, data: Data, **changes: Any) -> Evaluation:
    given = {"eps": 0.1, "attacks": ("fgsm", "pgd3"), "progress": False, "checks": False, **changes}
    return evaluate(model, data, **given)


def right_at(radii: Sequence[float]) -> Tensor:
    """Return what is right under any attack of each radius, bool `[k, n]`."""
    levels, labels = known_levels()
    clean, margins = (levels > 127).long() == labels, (levels / 255 - 0.5).abs()
    return torch.stack([clean & (margins > radius) for radius in radii])


class Attacked:
    """Notes attack, radius and number of images of each call; raises when `left` calls have been made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, float, int]] = []
        self.left = 10**6
        monkeypatch.setattr(runner, "adversarial_points", self)

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, attack: Attack, *, generator: Any) -> Tensor:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.calls.append((type(attack).__name__, attack.eps, len(x)))
        return adversarial_points(model, x, y, attack, generator=generator)

    def images(self) -> dict[tuple[str, float], int]:
        found: dict[tuple[str, float], int] = {}
        for name, eps, count in self.calls:
            found[name, eps] = found.get((name, eps), 0) + count
        return found


@pytest.fixture
def attacked(monkeypatch: pytest.MonkeyPatch) -> Attacked:
    return Attacked(monkeypatch)


@pytest.mark.parametrize("attacks", [("fgsm",), ("pgd10", "cw"), ("apgd-ce",)])
def test_a_grid_gives_the_true_accuracy_at_each_radius(
    attacks: tuple[str, ...], model: nn.Module, data: Data, truth: dict[str, Tensor]
) -> None:
    found = run(model, data, attacks=attacks, eps_grid=(0.15, 0.02, 0.3, 0.08, 0.02))
    assert found.curve is not None
    assert found.curve.eps == GRID
    assert found.curve.attacks == attacks
    assert found.curve.verdicts.tolist() == right_at(GRID).tolist()
    counts = found.curve.verdicts.sum(1).tolist()
    assert counts == sorted(set(counts), reverse=True), "each radius fells something"
    assert torch.equal(found.robust, truth["robust"]), "the grid is no attack of the evaluation's own radius"
    assert list(found.verdicts) == ["clean", *attacks]


def test_no_grid_no_curve(model: nn.Module, data: Data) -> None:
    assert run(model, data).curve is None


def test_a_radius_of_zero_is_the_clean_accuracy(model: nn.Module, data: Data, truth: dict[str, Tensor]) -> None:
    curve = run(model, data, eps_grid=(0.0, 0.1)).curve
    assert curve is not None
    assert curve.verdicts.tolist() == [truth["clean"].tolist(), truth["robust"].tolist()]


class Ring(Brightness):
    """As `Brightness` while the mean is within 0.025 of that of an image of `data`; right again farther away."""

    def __init__(self, data: Data) -> None:
        super().__init__()
        images = data.test.images(torch.arange(len(data.test))).float() / 255
        self.means = images.mean((1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        distance, nearest = (x.mean((1, 2, 3))[:, None] - self.means).abs().min(1)
        far = (self.means[nearest] > 0.5).float()[:, None]
        return torch.where(distance[:, None] > 0.025, 9 * torch.cat([1 - far, far], 1), super().forward(x))


def test_what_fell_at_a_smaller_radius_has_fallen_at_a_larger_one() -> None:
    levels = torch.tensor([10, 60, 123, 190, 250]).to(torch.uint8)
    images, labels = levels[:, None, None, None].expand(-1, 1, 4, 4).contiguous(), (levels > 127).long()
    data = Data.from_arrays((images, labels), (images, labels), validation=0)
    net = Ring(data)
    assert run(net, data, eps=0.02, attacks=("fgsm",)).accuracy() == 4 / 5
    assert run(net, data, eps=0.05, attacks=("fgsm",)).accuracy() == 1.0, "the larger step overshoots"
    curve = run(net, data, attacks=("fgsm",), eps_grid=(0.02, 0.05)).curve
    assert curve is not None
    assert curve.verdicts.double().mean(1).tolist() == [4 / 5, 4 / 5]


def test_only_what_still_stands_is_attacked(model: nn.Module, data: Data, attacked: Attacked) -> None:
    run(model, data, eps_grid=GRID)
    clean, *standing = [int(right.sum()) for right in right_at((0.0, *GRID))]
    expected = {("FGSM", 0.1): clean, ("PGD", 0.1): clean}
    for radius, before, after in zip(GRID, [clean, *standing], standing, strict=False):
        # FGSM finds all there is: PGD gets what is robust.
        expected |= {("FGSM", radius): before, ("PGD", radius): after}
    assert attacked.images() == {key: count for key, count in expected.items() if count}


@pytest.mark.parametrize("calls", [1, 5, 11, 17, 23])
def test_a_grid_that_was_cut_off_goes_on(
    calls: int, model: nn.Module, data: Data, tmp_path: Path, attacked: Attacked
) -> None:
    whole = run(model, data, eps_grid=GRID, batch_size=5)
    needed, attacked.calls, attacked.left = attacked.images(), [], calls
    with pytest.raises(KeyboardInterrupt):
        run(model, data, eps_grid=GRID, batch_size=5, out=tmp_path)
    attacked.left = 10**6
    found = run(model, data, eps_grid=GRID, batch_size=5, out=tmp_path)
    assert attacked.images() == needed, "an image was attacked twice, or never"
    assert found.curve is not None
    assert whole.curve is not None
    assert torch.equal(found.curve.verdicts, whole.curve.verdicts)
    attacked.calls.clear()
    assert run(model, data, eps_grid=GRID, out=tmp_path).to_json()["curve"] == whole.to_json()["curve"]
    assert not attacked.calls


def test_a_longer_grid_goes_on_from_a_shorter(model: nn.Module, data: Data, tmp_path: Path, attacked: Attacked) -> None:
    run(model, data, eps_grid=(0.02, 0.08), out=tmp_path)
    attacked.calls.clear()
    curve = run(model, data, eps_grid=GRID, out=tmp_path).curve
    assert {eps for _, eps, _ in attacked.calls} == {0.15, 0.3}
    assert curve is not None
    assert torch.equal(curve.verdicts, right_at(GRID))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoAttack as two stages of few steps, of which the first is too weak."""

    def stages(self: AutoAttack, classes: int) -> dict[str, list[object]]:
        return {"weak": [APGD(eps=self.eps / 3, steps=3)], "strong": [APGD(eps=self.eps, steps=5)]}

    monkeypatch.setattr(AutoAttack, "stages", stages)


@pytest.mark.usefixtures("short")
def test_an_ensemble_at_each_radius(model: nn.Module, data: Data, truth: dict[str, Tensor]) -> None:
    found = run(model, data, attacks=("autoattack",), eps_grid=(0.3, 0.08))
    assert found.curve is not None
    assert torch.equal(found.curve.verdicts, right_at((0.08, 0.3)))
    assert torch.equal(found.stages["autoattack"]["weak"], right_at((0.1 / 3,))[0])
    assert torch.equal(found.stages["autoattack"]["strong"], truth["robust"])
    assert list(found.stages["autoattack"]) == ["weak", "strong"], "the stages at the evaluation's own radius"


class Useless(nn.Module):
    """The gradient is zero everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(16, 2))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight


def steeper(factor: float) -> Brightness:
    """Return a network with the same border between the classes; with a negative factor it has them swapped."""
    found = Brightness()
    with torch.no_grad():
        found.scale.mul_(factor)
    return found


class Masked(Brightness):
    """As `Brightness`, with a gradient that points the wrong way."""

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        return 2 * logits.detach() - logits


ATTACKS = ("fgsm", "pgd10", "cw", "apgd-ce", "square")


def test_examples_made_on_a_network_with_the_same_border(
    model: nn.Module, data: Data, truth: dict[str, Tensor]
) -> None:
    found = run(model, data, attacks=ATTACKS, transfer_from=steeper(5))
    assert list(found.verdicts) == ["clean", *ATTACKS, *(f"transfer-{name}" for name in ATTACKS)]
    for name in ATTACKS:
        assert torch.equal(found.verdicts[f"transfer-{name}"], truth["robust"]), name
    assert set(found.to_json()["attacks"]) == set(found.verdicts) - {"clean"}
    assert "transfer-cw" in [row[0] for row in found.rows()]


# Classes swapped: what makes that network err more makes this one surer.
@pytest.mark.parametrize("surrogate", [Useless(), steeper(-1)])
def test_examples_of_a_useless_network_fell_nothing(
    surrogate: nn.Module, model: nn.Module, data: Data, truth: dict[str, Tensor]
) -> None:
    found = run(model, data, attacks=("fgsm", "cw"), transfer_from=surrogate)
    assert torch.equal(found.verdicts["transfer-fgsm"], truth["clean"])
    assert torch.equal(found.verdicts["transfer-cw"], truth["clean"])
    assert torch.equal(found.robust, truth["robust"])


@pytest.mark.usefixtures("short")
def test_borrowed_examples_count_in_the_worst_case(data: Data, truth: dict[str, Tensor]) -> None:
    found = run(Masked(), data, attacks=("fgsm", "autoattack"), transfer_from=Brightness())
    assert torch.equal(found.verdicts["fgsm"], truth["clean"]), "the gradient is no use"
    assert torch.equal(found.verdicts["transfer-fgsm"], truth["robust"])
    assert torch.equal(found.verdicts["transfer-autoattack"], truth["robust"])
    assert torch.equal(found.robust, truth["robust"])
    assert list(found.stages) == ["autoattack"], "a borrowed ensemble has no stages of its own"
    # What is right differs from network to network: it is the attacked one that decides what is attacked.
    wrong = run(model := Masked(), data, attacks=("fgsm",), transfer_from=steeper(-1))
    assert torch.equal(wrong.verdicts["clean"], run(model, data).verdicts["clean"])


def test_verdicts_of_another_surrogate_are_not_reused(
    model: nn.Module, data: Data, truth: dict[str, Tensor], tmp_path: Path, attacked: Attacked
) -> None:
    def borrowed(surrogate: nn.Module | None) -> Evaluation:
        attacked.calls.clear()
        return run(model, data, attacks=("fgsm",), transfer_from=surrogate, out=tmp_path)

    assert torch.equal(borrowed(Useless()).verdicts["transfer-fgsm"], truth["clean"])
    found = borrowed(steeper(5))
    assert torch.equal(found.verdicts["transfer-fgsm"], truth["robust"])
    assert len(attacked.calls) == 1, "only the new surrogate is attacked"
    assert torch.equal(borrowed(Useless()).verdicts["transfer-fgsm"], truth["clean"])
    assert not attacked.calls
    assert "transfer-fgsm" not in borrowed(None).verdicts


def test_a_surrogate_that_does_not_fit(model: nn.Module, data: Data) -> None:
    with pytest.raises(ModelError, match="the surrogate: the model has 3 classes, the data set 2"):
        run(model, data, transfer_from=nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))


def test_a_surrogate_is_left_as_it_was(model: nn.Module, data: Data) -> None:
    surrogate = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 2)).train()
    surrogate[2].eval()
    before = {name: value.clone() for name, value in surrogate.state_dict().items()}
    run(model, data, attacks=ATTACKS[:-1], transfer_from=surrogate)
    assert [module.training for module in surrogate.modules()] == [True, True, True, False, True]
    assert all(torch.equal(value, before[name]) for name, value in surrogate.state_dict().items())
    assert all(weight.requires_grad and weight.grad is None for weight in surrogate.parameters())


@pytest.mark.usefixtures("short")
def test_seconds_has_what_was_asked(model: nn.Module, data: Data, tmp_path: Path) -> None:
    asked = run(model, data, attacks=("fgsm", "autoattack"), eps_grid=(0.3, 0.02), out=tmp_path).seconds
    stages = ["autoattack/weak", "autoattack/strong"]
    grid = [
        f"{name}@{radius}{stage}"
        for radius in ("0.02", "0.3")
        for name, stage in (("fgsm", ""), ("autoattack", "/weak"), ("autoattack", "/strong"))
    ]
    assert set(asked) == {"clean", "fgsm", *stages, *grid}
    assert all(spent > 0 for spent in asked.values())
    again = run(model, data, attacks=("fgsm",), transfer_from=steeper(5), out=tmp_path).seconds
    transfer = [name for name in again if name.startswith("transfer-fgsm/")]
    assert len(transfer) == 1
    assert {name for name in again if "@" not in name} == {"clean", "fgsm", *transfer}
    assert again["fgsm"] == asked["fgsm"]


@pytest.mark.parametrize("precision", ["float16", "Float32", ""])
def test_an_unknown_precision(precision: str, model: nn.Module, data: Data, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        run(model, data, precision=precision, out=tmp_path)
    assert f"unknown precision {precision!r}" in str(caught.value)
    assert "choose one of auto, float32, bfloat16" in str(caught.value)
    assert not (tmp_path / "verdicts.safetensors").exists()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_each_precision_counts_in_float32(
    precision: str, model: nn.Module, data: Data, truth: dict[str, Tensor]
) -> None:
    found = run(model, data, attacks=("apgd-ce", "square"), precision=precision)
    assert found.to_json()["precision"] == precision
    for name in ("apgd-ce", "square"):
        assert torch.equal(found.verdicts[name], truth["robust"]), name


@pytest.mark.parametrize("radius", [-0.1, float("nan")])
def test_an_impossible_radius_in_the_grid(radius: float, model: nn.Module, data: Data, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="impossible attack"):
        run(model, data, eps_grid=(0.1, radius), out=tmp_path)
    assert not (tmp_path / "verdicts.safetensors").exists()
