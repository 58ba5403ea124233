from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from robustill.data import DataNotFoundError, StreamSplit, load_data
from robustill.errors import DataError, MissingExtraError

datasets = pytest.importorskip("datasets")


@pytest.fixture
def tables(random_pixels):
    """tables(n) -> a `datasets.Dataset` of n images, 5x4, and its pixels."""

    def make(n, *, names=("cat", "dog"), column="image", seed=0):
        pixels = random_pixels(n, 5, 4, 3, seed=seed)
        features = datasets.Features(
            {column: datasets.Image(), "label": datasets.ClassLabel(names=list(names)), "extra": datasets.Value("int8")}
        )
        rows = {column: list(pixels), "label": [i % len(names) for i in range(n)], "extra": [0] * n}
        return datasets.Dataset.from_dict(rows, features=features), pixels

    return make


def test_a_saved_dictionary_of_splits(tmp_path, tables, same_batches):
    (train, pixels), (test, test_pixels) = tables(20), tables(6, seed=1)
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(str(tmp_path / "set"))
    data = load_data(f"hf-disk:{tmp_path / 'set'}", validation=0)
    assert (data.name, data.class_names, data.shape) == ("set", ("cat", "dog"), (3, 5, 4))
    assert np.array_equal(data.train.images(torch.arange(20)).numpy(), pixels.transpose(0, 3, 1, 2))
    assert np.array_equal(data.test.images(torch.arange(6)).numpy(), test_pixels.transpose(0, 3, 1, 2))
    assert data.train.labels.tolist() == [0, 1] * 10
    streamed = load_data(str(tmp_path / "set"), validation=0, stream=True)
    assert isinstance(streamed.train, StreamSplit)
    assert same_batches(data.batches(0, batch_size=6), streamed.batches(0, batch_size=6, workers=2))


def test_validation_stands_in_for_a_missing_test_split(tmp_path, tables):
    train, valid = tables(20)[0], tables(4, seed=1)[0]
    datasets.DatasetDict({"train": train, "valid": valid}).save_to_disk(str(tmp_path / "set"))
    assert len(load_data(f"hf-disk:{tmp_path / 'set'}").test) == 4


def test_a_single_saved_table_is_split(tmp_path, tables):
    tables(20)[0].save_to_disk(str(tmp_path / "set"))
    data = load_data(f"hf-disk:{tmp_path / 'set'}", validation=0)
    assert (len(data.train), len(data.test)) == (16, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.remove_columns("image"), "train: no image column"),
        (lambda table: table.remove_columns("label"), "train: no label column"),
        (lambda table: table.remove_columns("image").rename_column("extra", "image"), "does not hold images"),
        (
            lambda table: table.cast_column("label", datasets.Value("float32")),
            "column 'label' does not hold one integer per image",
        ),
    ],
)
def test_a_table_of_something_else_is_named(tmp_path, tables, change, message):
    change(tables(6)[0]).save_to_disk(str(tmp_path / "set"))
    with pytest.raises(DataError, match=message):
        load_data(f"hf-disk:{tmp_path / 'set'}")


def test_nothing_saved_or_broken_is_named(tmp_path, tables):
    with pytest.raises(DataNotFoundError, match="no data set saved with save_to_disk"):
        load_data(f"hf-disk:{tmp_path}")
    tables(6)[0].save_to_disk(str(tmp_path / "set"))
    (tmp_path / "set" / "state.json").write_text("{")
    with pytest.raises(DataError, match="the saved data set cannot be read"):
        load_data(f"hf-disk:{tmp_path / 'set'}")


def test_paths_in_a_table_are_not_opened(tmp_path, tables, png, monkeypatch):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(np.zeros((5, 4, 3), np.uint8)))
    encoded = tables(6)[0].cast_column("image", datasets.Image(decode=False))
    rows = {"image": [{"bytes": None, "path": str(secret)}] * 6, "label": [0, 1] * 3, "extra": [0] * 6}
    table = datasets.Dataset.from_dict(rows, features=encoded.features)
    monkeypatch.setattr(datasets, "load_dataset", lambda _: {"train": table})
    with pytest.raises(DataError, match="row 0: no image bytes"):
        load_data("hf-hub:owner/name")
    monkeypatch.setattr(datasets, "load_dataset", lambda _: {"train": table.select([])})
    with pytest.raises(DataError, match="train: no rows"):
        load_data("hf-hub:owner/name")
    monkeypatch.setattr(datasets, "load_dataset", lambda _: {"test": table})
    with pytest.raises(DataError, match="no split 'train'; there are test"):
        load_data("hf-hub:owner/name")


def test_the_hub_is_asked_for_data_and_never_for_code(tables, monkeypatch):
    calls = []

    def load_dataset(*args, **options):
        calls.append((args, options))
        return datasets.DatasetDict({"train": tables(20)[0], "test": tables(6, seed=1)[0]})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    data = load_data("hf-hub:owner/name")
    assert calls == [(("owner/name",), {})]
    assert (data.name, len(data.test)) == ("owner/name", 6)


def test_no_network_is_one_error_with_a_way_out(monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("Couldn't reach 'owner/name' on the Hub\nmany\nmore lines")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError) as caught:
        load_data("hf-hub:owner/name")
    assert caught.value.message == (
        "hf-hub:owner/name cannot be loaded (ConnectionError: Couldn't reach 'owner/name' on the Hub)"
    )
    assert "hf-disk:PATH" in str(caught.value)
    with pytest.raises(DataError, match="needs an identifier"):
        load_data("hf-hub:")


@pytest.mark.parametrize("name", ["hf-hub:owner/name", "hf-disk:/nowhere"])
def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r'pip install "robustill\[hub\]"'):
        load_data(name)
