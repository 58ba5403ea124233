"""The gallery: its images, what is done to them and who sees what."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from robustill.data import Data
from robustill.evaluation.gallery import gallery
from robustill.models import model_digest


class Thirds(nn.Module):
    """Sees the brightest third; `lift` adds to the first one's brightness."""

    def __init__(self, lift: float = 0.0) -> None:
        super().__init__()
        self.lift = nn.Parameter(torch.tensor([lift, 0.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        bands = [x[:, 0, 3 * k : 3 * k + 2].flatten(1).mean(1) for k in range(3)]
        return 10 * torch.stack(bands, 1) + self.lift


def pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))) / 255


def test_half_fall_and_half_stand(tiny_data: Data) -> None:
    # With a lift, images of the last two classes fall first.
    found = gallery(Thirds(2.2), {"teacher": Thirds()}, tiny_data, eps=0.2, images=6)
    fell = [each["fell"] for each in found["images"]]
    assert fell == [True, True, True, False, False, False]
    assert found["model_digest"] == model_digest(Thirds(2.2))
    for each in found["images"]:
        assert tiny_data.class_names[tiny_data.test.labels[each["position"]]] == each["label"]
        seen = each["predictions"]
        assert list(seen) == ["student", "teacher"]
        assert seen["student"]["clean"]["class"] == each["label"]
        assert (seen["student"]["adversarial"]["class"] != each["label"]) is each["fell"]
        assert seen["teacher"]["adversarial"]["class"] == each["label"]
        assert 1 / 3 < seen["teacher"]["clean"]["probability"] <= 1


def test_the_pictures_are_of_the_image_and_its_attack(tiny_data: Data) -> None:
    found = gallery(Thirds(), {}, tiny_data, eps=0.1, images=4)
    for each in found["images"]:
        clean, attacked, change = (pixels(each[key]) for key in ("clean", "adversarial", "perturbation"))
        assert clean.shape == (8, 8)
        wanted = tiny_data.test.images(torch.tensor([each["position"]]))[0, 0].numpy() / 255
        assert np.allclose(clean, wanted, atol=1e-6)
        assert 0.09 < np.abs(attacked - clean).max() <= 0.1 + 1 / 255
        # Grey is no change; the largest change is black or white.
        assert np.allclose(change, 0.5 + (attacked - clean) / 0.2, atol=0.03)
        assert {float(change.min()), float(change.max())} == {0.0, 1.0}


@pytest.mark.parametrize(("eps", "fallen"), [(0.0, 0), (0.9, 8)])
def test_where_all_stand_or_all_fall(eps: float, fallen: int, tiny_data: Data) -> None:
    found = gallery(Thirds(), {}, tiny_data, eps=eps, images=8)
    assert sum(each["fell"] for each in found["images"]) == fallen
    assert len(found["images"]) == 8
    assert len({each["position"] for each in found["images"]}) == 8
    assert {each["label"] for each in found["images"]} == {"top", "middle", "bottom"}


def test_a_network_that_is_never_right(tiny_data: Data) -> None:
    class Wrong(Thirds):
        def forward(self, x: Tensor) -> Tensor:
            return -super().forward(x)

    assert gallery(Wrong(), {}, tiny_data, eps=0.1)["images"] == []


def test_colours_and_the_modes_of_networks(tiny_data: Data) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 255, (20, 3, 4, 4)).astype(np.uint8)
    labels = np.arange(20) % 2
    coloured = Data.from_arrays((images, labels), (images, labels), class_names=["a", "b"])

    class First(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([self.weight * x.mean((1, 2, 3)), 0.5 * self.weight.expand(len(x))], 1)

    student = First().train()
    found = gallery(student, {}, coloured, eps=0.1, images=2)
    assert student.training
    at = found["images"][0]["position"]
    assert np.allclose(pixels(found["images"][0]["clean"]), images[at].transpose(1, 2, 0) / 255)
    again = gallery(student, {}, coloured, eps=0.1, images=2)
    assert again == found
