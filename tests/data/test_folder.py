from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from robustill.data import DataNotFoundError, load_data
from robustill.errors import DataError, InputError


def test_train_and_test_trees(tmp_path, write_tree):
    write_tree(tmp_path / "train", {"b": 5, "a": 4})
    write_tree(tmp_path / "test", {"a": 2, "b": 1}, base=100)
    for name, root in (("folder", tmp_path), (str(tmp_path), None)):
        data = load_data(name, root, validation=0)
        assert (data.class_names, data.shape) == (("a", "b"), (3, 4, 4))
        # "b" was written first, so its grays are 0-4, and those of "a" 20-23.
        grays = data.train.images(torch.arange(9))[:, 0, 0, 0].tolist()
        assert grays == [20, 21, 22, 23, 0, 1, 2, 3, 4]
        assert data.train.labels.tolist() == [0] * 4 + [1] * 5
        assert data.test.images(torch.arange(3))[:, 0, 0, 0].tolist() == [100, 101, 120]


def test_val_is_the_test_set_where_test_has_no_classes(tmp_path, write_tree):
    write_tree(tmp_path / "train", {"a": 4, "b": 4})
    write_tree(tmp_path / "test", {"images": 3})
    write_tree(tmp_path / "val", {"a": 1, "b": 1}, base=100)
    assert len(load_data("folder", tmp_path).test) == 2


@pytest.mark.parametrize("place", ["", "train"])
def test_a_single_tree_is_split_the_same_way_every_time(tmp_path, write_tree, place):
    write_tree(tmp_path / place, {"a": 10, "b": 20})
    first, second = (load_data("folder", tmp_path, seed=seed) for seed in (0, 1))
    assert torch.equal(first.test.indices, second.test.indices)
    assert torch.bincount(first.test.labels).tolist() == [2, 4]


def test_images_are_found_at_any_depth_and_others_counted(tmp_path, write_tree, png):
    write_tree(tmp_path / "a", {"deep": 3, "deep/er": 2})
    write_tree(tmp_path, {"b": 5})
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "a" / ".hidden.png").write_text("no image")
    (tmp_path / ".git").mkdir()
    (tmp_path / "b" / "UPPER.PNG").write_bytes(png(np.zeros((4, 4, 3), np.uint8)))
    data = load_data("folder", tmp_path, validation=0)
    assert data.class_names == ("a", "b")
    assert len(data.train) + len(data.test) == 11


def test_modes_are_brought_to_that_of_the_first_image(tmp_path):
    rng = np.random.default_rng(0)
    color, gray = rng.integers(0, 256, (4, 4, 3), np.uint8), rng.integers(0, 256, (4, 4), np.uint8)
    for first, second in ((color, gray), (gray, color)):
        for number in range(5):
            (tmp_path / "a").mkdir(exist_ok=True)
            (tmp_path / "b").mkdir(exist_ok=True)
            Image.fromarray(first).save(tmp_path / "a" / f"{number}.png")
            Image.fromarray(second).save(tmp_path / "b" / f"{number}.png")
        data = load_data("folder", tmp_path, validation=0)
        a, b = data.train.images(torch.tensor([0, len(data.train) - 1])).numpy()
        if first is color:
            assert np.array_equal(a, color.transpose(2, 0, 1))
            assert np.array_equal(b, np.stack([gray] * 3))
        else:
            assert np.array_equal(a[0], gray)
            assert np.array_equal(b[0], np.array(Image.fromarray(color).convert("L")))


def test_unlike_sizes_need_a_size(tmp_path, write_tree):
    write_tree(tmp_path, {"a": 5}, side=4)
    write_tree(tmp_path, {"b": 5}, side=6)
    with pytest.raises(DataError, match=r"b/\d.png: the image is 6x6, the first one 4x4\n  hint: pass size"):
        load_data("folder", tmp_path)
    streamed = load_data("folder", tmp_path, stream=True)
    with pytest.raises(DataError, match="pass size"):
        list(streamed.batches(0, batch_size=4))
    data = load_data("folder", tmp_path, size=5, validation=0)
    assert data.shape == (3, 5, 5)
    # An image of one gray stays so under any resize.
    assert data.train.images(torch.tensor([len(data.train) - 1])).unique().numel() == 1


@pytest.mark.parametrize("size", [0, -1, 2.5, True, 100_000])
def test_a_bad_size_is_refused(tmp_path, write_tree, size):
    write_tree(tmp_path, {"a": 5, "b": 5})
    with pytest.raises(InputError, match="size is"):
        load_data("folder", tmp_path, size=size)


def test_a_corrupt_image_is_named(tmp_path, write_tree):
    write_tree(tmp_path, {"a": 5, "b": 5}, side=16)
    victim = tmp_path / "b" / "3.png"
    for content in (b"", b"text", victim.read_bytes()[:50], b"%PDF-1.4 " * 10):
        victim.write_bytes(content)
        with pytest.raises(DataError, match=r"b/3.png: not a readable image"):
            load_data("folder", tmp_path)


def test_only_the_decoders_named_are_used(tmp_path, write_tree, png):
    write_tree(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "b" / "3.png").write_bytes(png(np.zeros((4, 4, 3), np.uint8), "TIFF"))
    with pytest.raises(DataError, match=r"b/3.png: not a readable image \(unknown format\)"):
        load_data("folder", tmp_path)


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused(tmp_path, write_tree, side):
    write_tree(tmp_path, {"a": 5, "b": 5})
    # A tiny file whose header claims a huge image.
    header = b"P5 %d %d 255\n" % (side, side)
    (tmp_path / "b" / "bomb.pgm").write_bytes(header)
    with pytest.raises(DataError, match=r"bomb.pgm: .*(too many|too many pixels) (pixels )?.*decode"):
        load_data("folder", tmp_path, stream=False)


def test_sixteen_bit_images_are_refused(tmp_path, write_tree):
    write_tree(tmp_path, {"b": 5})
    (tmp_path / "a").mkdir()
    Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4) * 4000).save(tmp_path / "a" / "0.png")
    with pytest.raises(DataError, match=r"a/0.png: more than 8 bits per channel"):
        load_data("folder", tmp_path)


def test_links_out_of_the_folder_are_not_followed(tmp_path, write_tree, png):
    outside = tmp_path / "outside"
    write_tree(outside, {"secret": 3}, base=200)
    root = tmp_path / "root"
    write_tree(root / "train", {"a": 4, "b": 4})
    write_tree(root / "test", {"a": 1, "b": 1}, base=100)
    (root / "train" / "a" / "out.png").symlink_to(outside / "secret" / "0.png")
    (root / "train" / "a" / "other.png").symlink_to(root / "test" / "a" / "0.png")
    (root / "train" / "a" / "folder").symlink_to(outside / "secret")
    (root / "train" / "c").symlink_to(outside / "secret")
    (root / "train" / "a" / "inside.png").symlink_to(root / "train" / "a" / "1.png")
    data = load_data("folder", root, validation=0)
    assert data.class_names == ("a", "b")
    assert sorted(data.train.images(torch.arange(9))[:, 0, 0, 0].tolist()) == [0, 1, 1, 2, 3, 20, 21, 22, 23]
    for path in (root / "train" / "b").iterdir():
        path.unlink()
    (root / "train" / "b" / "out.png").symlink_to(outside / "secret" / "0.png")
    with pytest.raises(DataError, match=r"no images in this class folder \(5 symbolic links .* not followed\)"):
        load_data("folder", root)


def test_classes_of_the_test_tree_must_be_known(tmp_path, write_tree):
    write_tree(tmp_path / "train", {"a": 4, "b": 4})
    write_tree(tmp_path / "test", {"a": 1, "z": 1})
    with pytest.raises(DataError, match="class 'z' is not in"):
        load_data("folder", tmp_path)


def test_empty_folders_are_named(tmp_path, write_tree):
    with pytest.raises(DataNotFoundError, match="no class folders"):
        load_data("folder", tmp_path)
    write_tree(tmp_path, {"a": 2, "b": 0})
    (tmp_path / "b" / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"b: no images in this class folder \(1 files that are not images"):
        load_data("folder", tmp_path)
