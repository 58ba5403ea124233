from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from robustill.data import DataNotFoundError, StreamSplit, load_data
from robustill.errors import DataError


@pytest.fixture
def write_parquet(png):
    def write(path, images, labels, *, column="img", label="label", names=None):
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"bytes": image if isinstance(image, bytes) else png(image), "path": None} for image in images]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({column: pa.array(rows, kind), label: labels})
        if names is not None:
            features = {column: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        pq.write_table(table, path, row_group_size=7)

    return write


@pytest.mark.parametrize("column", ["img", "image"])
@pytest.mark.parametrize("label", ["label", "fine_label"])
def test_images_labels_and_names_are_read(tmp_path, write_parquet, random_pixels, column, label):
    images = random_pixels(20, 5, 4, 3)
    options = {"column": column, "label": label, "names": ["cat", "dog"]}
    write_parquet(tmp_path / "train.parquet", images, np.arange(20) % 2, **options)
    write_parquet(tmp_path / "test.parquet", images[:6], np.arange(6) % 2, **options)
    data = load_data("parquet", tmp_path, validation=0)
    assert (data.class_names, data.shape) == (("cat", "dog"), (3, 5, 4))
    assert np.array_equal(data.train.images(torch.arange(20)).numpy(), images.transpose(0, 3, 1, 2))
    assert data.test.labels.tolist() == [0, 1] * 3


def test_shards_are_joined_in_the_order_of_their_names(tmp_path, write_parquet, random_pixels):
    images = random_pixels(20, 4, 4)
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", images[9:], np.arange(9, 20) % 3)
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", images[:9], np.arange(9) % 3)
    write_parquet(tmp_path / "data" / "validation-00000-of-00001.parquet", images[:3], [0, 1, 2])
    data = load_data(str(tmp_path), validation=0, stream=True)
    assert isinstance(data.train, StreamSplit)
    assert (data.shape, data.class_names, len(data.test)) == ((1, 4, 4), ("0", "1", "2"), 3)
    assert np.array_equal(data.train.images(torch.arange(20)).numpy()[:, 0], images)
    assert data.train.labels.tolist() == [i % 3 for i in range(20)]


def test_without_a_test_file_a_fixed_part_is_held_out(tmp_path, write_parquet, random_pixels):
    write_parquet(tmp_path / "train.parquet", random_pixels(20, 4, 4), np.arange(20) % 2)
    data = load_data("parquet", tmp_path, validation=0)
    assert (len(data.train), len(data.test)) == (16, 4)


def test_cifar10_may_be_parquet(tmp_path, write_parquet, random_pixels, same_batches):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", random_pixels(12, 32, 32, 3), np.arange(12) % 10)
    data = load_data("cifar10", tmp_path)
    assert (data.name, data.class_names[3], data.augment.crop) == ("cifar10", "cat", 4)
    streamed = load_data("cifar10", tmp_path, stream=True)
    assert same_batches(data.batches(0, batch_size=5), streamed.batches(0, batch_size=5, workers=2))
    assert load_data("cifar10", tmp_path, size=16).shape == (3, 16, 16)
    with pytest.raises(DataError, match="those of mnist are"):
        load_data("mnist", tmp_path)
    write_parquet(tmp_path / "train.parquet", random_pixels(4, 32, 32, 3), [0, 1, 0, 1], names=["a", "b"])
    with pytest.raises(DataError, match="2 classes, cifar10 has 10"):
        load_data("cifar10", tmp_path)


def test_a_broken_image_is_named_by_its_row(tmp_path, write_parquet, random_pixels, png):
    images = [png(pixels) for pixels in random_pixels(10, 8, 8)]
    images[6] = images[6][:40]
    write_parquet(tmp_path / "train.parquet", images, np.arange(10) % 2)
    with pytest.raises(DataError, match=r"train.parquet, row 6: not a readable image"):
        load_data("parquet", tmp_path)


def _write(path, **columns):
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"label": [0, 1]}, "no image column; looked for img, image, found label"),
        ({"img": [{"bytes": b"x"}], "y": [0]}, "no label column"),
        ({"img": [1, 2], "label": [0, 1]}, "not a struct with a field 'bytes'"),
        ({"img": [{"bytes": b"x"}], "label": [0.5]}, "column 'label' is double, not integers"),
        ({"img": [{"bytes": b"x"}], "label": pa.array([None], pa.int64())}, "images and integer labels"),
        ({"img": pa.array([{"bytes": None}], pa.struct([("bytes", pa.binary())])), "label": [0]}, "row 0: no image"),
        ({"img": [{"bytes": b"x"}], "label": [0]}, "row 0: not a readable image"),
    ],
)
def test_a_table_of_something_else_is_named(tmp_path, columns, message):
    _write(tmp_path / "train.parquet", **columns)
    with pytest.raises(DataError, match=message):
        load_data("parquet", tmp_path)


def test_what_is_no_parquet_file_is_named(tmp_path, write_parquet, random_pixels):
    with pytest.raises(DataNotFoundError, match=r"no train\*.parquet"):
        load_data("parquet", tmp_path)
    write_parquet(tmp_path / "train.parquet", random_pixels(10, 8, 8), np.arange(10) % 2)
    content = (tmp_path / "train.parquet").read_bytes()
    for broken in (b"", b"PAR1", content[: len(content) // 2], content[:-20] + b"\xff" * 12 + content[-8:]):
        (tmp_path / "train.parquet").write_bytes(broken)
        with pytest.raises(DataError, match=r"train.parquet: not a Parquet file"):
            load_data("parquet", tmp_path)


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"info": {"features": {"label": {"names": 3}}}}'])
def test_broken_metadata_only_costs_the_names(tmp_path, png, random_pixels, metadata):
    rows = [{"bytes": png(pixels)} for pixels in random_pixels(10, 4, 4)]
    table = pa.table({"img": rows, "label": [0, 1] * 5}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "train.parquet")
    assert load_data("parquet", tmp_path).class_names == ("0", "1")
