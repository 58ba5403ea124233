"""A network of one's own that has a name is built, written, read, refused and shown like those of the library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robustill.errors import ModelError
from robustill.models import MODELS, Classifier, build_model, load_model, save_model


class Flat(Classifier):
    """Two linear layers."""

    def __init__(self, num_classes: int, shape: tuple[int, int, int], *, width: int) -> None:
        super().__init__()
        size = shape[0] * shape[1] * shape[2]
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(size, width), nn.ReLU(), nn.Linear(width, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(self.normalize(x))
        return logits


def flat(num_classes: int, shape: tuple[int, int, int], *, width: int = 8) -> Flat:
    return Flat(num_classes, shape, width=width)


@pytest.fixture
def named() -> Iterator[None]:
    MODELS["flat"] = flat
    yield
    MODELS.pop("flat", None)


@pytest.mark.usefixtures("named")
def test_it_is_written_and_read(tmp_path: Path) -> None:
    model = build_model("flat", num_classes=3, shape=(1, 2, 2), mean=[0.25], std=[0.5], width=5)
    save_model(model, tmp_path / "flat.safetensors")
    again = load_model(tmp_path / "flat.safetensors")
    assert isinstance(again, Flat)
    assert again.spec == model.spec
    x = torch.rand(4, 1, 2, 2)
    assert torch.equal(again(x), model(x))
    torch.save(model.state_dict(), tmp_path / "flat.pt")
    foreign = load_model(f"flat@{tmp_path / 'flat.pt'}", shape=(1, 2, 2), mean=[0.25], std=[0.5], width=5)
    assert torch.equal(foreign(x), model(x))


@pytest.mark.usefixtures("named")
def test_a_file_is_refused_where_its_name_is_not_known(tmp_path: Path) -> None:
    save_model(build_model("flat", num_classes=3, shape=(1, 2, 2)), tmp_path / "flat.safetensors")
    del MODELS["flat"]
    with pytest.raises(ModelError, match="holds a network 'flat', which is not known here") as caught:
        load_model(tmp_path / "flat.safetensors")
    assert "One of your own: robustill --import MODULE" in str(caught.value.hint)


def test_a_function_that_makes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "plain", lambda num_classes, shape: nn.Flatten())  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelError, match=r"MODELS\['plain'\] made a Flatten, which is no Classifier"):
        build_model("plain", num_classes=2)


class Inside(Classifier):
    """All weights below one name, as of a network of another library; `downsample` is its own word."""

    def __init__(self, num_classes: int, shape: tuple[int, int, int], *, inner: str) -> None:
        super().__init__()
        self.inner = inner
        layers = nn.ModuleDict({"downsample": nn.Linear(shape[1] * shape[2], 3), "head": nn.Linear(3, num_classes)})
        setattr(self, inner, nn.ModuleDict({"block": layers}))

    def forward(self, x: Tensor) -> Tensor:
        layers = getattr(self, self.inner)["block"]
        logits: Tensor = layers["head"](layers["downsample"](self.normalize(x).flatten(1)))
        return logits


@pytest.mark.parametrize("inner", ["body", "network", "model"])
@pytest.mark.parametrize("outer", ["", "module.", "module.model."])
def test_a_checkpoint_of_a_network_with_all_weights_below_one_name(
    inner: str, outer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(MODELS, "inside", Inside)
    model = build_model("inside", num_classes=3, shape=(1, 2, 2), inner=inner)
    torch.save({outer + key: value for key, value in model.state_dict().items()}, tmp_path / "inside.pt")
    found = load_model(f"inside@{tmp_path / 'inside.pt'}", shape=(1, 2, 2), num_classes=3, inner=inner)
    x = torch.rand(4, 1, 2, 2)
    assert torch.equal(found(x), model(x))
