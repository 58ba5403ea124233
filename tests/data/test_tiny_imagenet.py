from __future__ import annotations

import shutil

import pytest
import torch

from robustill.data import DataNotFoundError, load_data
from robustill.errors import DataError


@pytest.fixture
def tiny(tmp_path, write_tree):
    """Three classes of 64x64 images in the distributed layout; "crane" names two of them."""
    for number, wnid in enumerate(("n01", "n02", "n03")):
        write_tree(tmp_path / "train" / wnid, {"images": 4}, side=64, base=20 * number)
        (tmp_path / "train" / wnid / f"{wnid}_boxes.txt").write_text("0.JPEG\t0\t0\t1\t1\n")
    write_tree(tmp_path / "val", {"images": 3}, side=64, base=100)
    write_tree(tmp_path / "test", {"images": 2}, side=64, base=200)
    lines = [f"{n}.png\t{wnid}\t0\t0\t62\t62\n" for n, wnid in enumerate(("n03", "n01", "n03"))]
    (tmp_path / "val" / "val_annotations.txt").write_text("".join(lines))
    (tmp_path / "words.txt").write_text("n01\tcrane, bird\nn02\tgoldfish, Carassius auratus\nn03\tcrane\nn99\tx\n")
    return tmp_path


def test_the_distributed_layout(tiny):
    data = load_data("tiny-imagenet", tiny, validation=0)
    assert data.class_names == ("crane (n01)", "goldfish", "crane (n03)")
    assert (data.shape, data.augment.crop, data.augment.flip) == ((3, 64, 64), 4, True)
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert data.train.images(torch.arange(12))[:, 0, 0, 0].tolist() == [n + 20 * k for k in range(3) for n in range(4)]
    assert data.test.labels.tolist() == [2, 0, 2]
    assert data.test.images(torch.arange(3))[:, 0, 0, 0].tolist() == [100, 101, 102]
    assert load_data(str(tiny)).name == "tiny-imagenet"
    assert load_data("tiny-imagenet", tiny, size=32).shape == (3, 32, 32)


def test_validation_images_sorted_into_class_folders(tiny, write_tree):
    shutil.rmtree(tiny / "val")
    write_tree(tiny / "val", {"n02": 2, "n01": 1}, side=64, base=100)
    data = load_data("tiny-imagenet", tiny)
    assert data.test.labels.tolist() == [0, 1, 1]
    shutil.rmtree(tiny / "val")
    with pytest.raises(DataNotFoundError, match=r"neither val_annotations.txt nor class folders"):
        load_data("tiny-imagenet", tiny)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0.png\tn77", "line 2: expected a file name and the name of a folder"),
        ("0.png", "line 2: expected"),
        ("9.png\tn01", "line 2: there is no image '9.png'"),
        ("../images/0.png\tn01", "line 2: there is no image '../images/0.png'"),
        ("/etc/passwd\tn01", "line 2: there is no image '/etc/passwd'"),
        ("link.png\tn01", "line 2: there is no image 'link.png'"),
    ],
)
def test_a_wrong_annotation_is_named_by_its_line(tiny, line, message):
    (tiny / "val" / "images" / "link.png").symlink_to(tiny / "test" / "images" / "0.png")
    (tiny / "val" / "val_annotations.txt").write_text(f"0.png\tn01\n{line}\n")
    with pytest.raises(DataError, match=message):
        load_data("tiny-imagenet", tiny)


def test_annotations_must_be_text_and_not_empty(tiny):
    (tiny / "val" / "val_annotations.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a text file"):
        load_data("tiny-imagenet", tiny)
    (tiny / "val" / "val_annotations.txt").write_text("\n")
    with pytest.raises(DataError, match="no annotations"):
        load_data("tiny-imagenet", tiny)
