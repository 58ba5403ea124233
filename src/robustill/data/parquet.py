"""Parquet files with images, as Hugging Face writes them: a struct column {bytes, path} and a label column.

The encoded images are held in memory (Parquet has no random access); decoded, they may be streamed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robustill.data.columns import IMAGE_COLUMNS, LABEL_COLUMNS, TEST_SPLITS, pick, pick_test
from robustill.data.encoded import EncodedSource
from robustill.data.sources import DataNotFoundError, RawData
from robustill.errors import DataError

# Encoded images hardly compress; plain bitmaps may.
_MOST_PACKED = 1_032


def has_parquet(root: Path) -> bool:
    """Whether `root`, or `root/data`, holds a `train*.parquet`."""
    return bool(_files(root, "train"))


def read_parquet_folder(root: Path, size: int | None = None) -> RawData:
    """Read `train*.parquet` and `test*.parquet` (or `validation*`) from `root` or `root/data`.

    Class names come from the Hugging Face metadata in the schema, if it is there.

    Raises:
        DataNotFoundError: There is no `train*.parquet`.
        DataError: A file is malformed, or lacks the columns.
    """
    files = {split: found for split in ("train", *TEST_SPLITS) if (found := _files(root, split))}
    if "train" not in files:
        raise DataNotFoundError(f"{root}: no train*.parquet in it, or in its folder data/")
    test = pick_test(files)
    items, labels, names = _read_split(files["train"])
    train = EncodedSource(items, labels, size)
    test_source = None
    if test is not None:
        test_items, test_labels, _ = _read_split(files[test])
        test_source = EncodedSource(test_items, test_labels, size, like=train)
    return RawData("parquet", str(root), train, test_source, names)


def _files(root: Path, split: str) -> list[Path]:
    folders = (root, root / "data")
    return next((found for folder in folders if (found := sorted(folder.glob(f"{split}*.parquet")))), [])


class ArrowItems:
    """Encoded images in an Arrow column of bytes."""

    def __init__(self, column: Any, where: str) -> None:
        self._column = column
        self._where = where

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, index: int, /) -> tuple[bytes, str]:
        where = f"{self._where}, row {index}"
        data = self._column[index].as_py()
        if not isinstance(data, bytes):
            raise DataError(f"{where}: no image bytes", "write the images into the Parquet file, not their paths")
        return data, where


def _read_split(paths: list[Path]) -> tuple[ArrowItems, Tensor, tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    columns: list[Any] = []
    labels: list[Tensor] = []
    names: tuple[str, ...] = ()
    for path in paths:
        try:
            image, label, table = _read_table(path)
            names = names or _class_names(table.schema.metadata, label)
            columns += pc.struct_field(table.column(image), "bytes").chunks
            labels.append(torch.tensor(table.column(label).to_pylist(), dtype=torch.int64))
        except (pa.ArrowException, OSError, TypeError, ValueError, RuntimeError) as problem:
            raise DataError(f"{path}: not a Parquet file of images and integer labels ({problem})") from problem
    total = torch.cat(labels)
    if not len(total):
        raise DataError(f"{paths[0]}: no rows")
    return ArrowItems(pa.chunked_array(columns), ", ".join(path.name for path in paths[:2])), total, names


def _read_table(path: Path) -> tuple[str, str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_claims(pq.read_metadata(path), path)
    schema = pq.read_schema(path)
    image = pick(schema.names, IMAGE_COLUMNS, "image", str(path))
    label = pick(schema.names, LABEL_COLUMNS, "label", str(path))
    kind = schema.field(image).type
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        raise DataError(f"{path}: column {image!r} is {kind}, not a struct with a field 'bytes'")
    if not pa.types.is_integer(schema.field(label).type):
        raise DataError(f"{path}: column {label!r} is {schema.field(label).type}, not integers")
    return image, label, pq.read_table(path, columns=[image, label])


def _check_claims(metadata: Any, path: Path) -> None:
    """A column of one value repeated takes a few bytes for any number of rows, so compare rows with what is there."""
    size = path.stat().st_size
    unpacked = sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    if not 0 <= metadata.num_rows <= size:
        raise DataError(f"{path}: {size} bytes cannot hold {metadata.num_rows} images")
    if not 0 <= unpacked <= size * _MOST_PACKED:
        raise DataError(f"{path}: {size} bytes claim to hold {unpacked}")


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    try:
        info = json.loads((metadata or {})[b"huggingface"])
        names = info["info"]["features"][label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()
    return tuple(map(str, names)) if isinstance(names, list) else ()
