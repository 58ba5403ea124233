"""A numpy archive with x_train, y_train, x_test and y_test."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from robustill.data.arrays import array_source
from robustill.data.sources import DataNotFoundError, RawData
from robustill.errors import DataError, InputError

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_MAX_DEFLATE_RATIO = 1_032


def read_npz(path: Path) -> RawData:
    """Read an `.npz` file; pickled objects in it are refused.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: Not an archive of these four arrays, or arrays that are no images and labels.
    """
    if path.is_dir():
        archives = sorted(path.glob("*.npz"))
        if len(archives) != 1:
            raise DataNotFoundError(f"{path}: expected one .npz file in it, found {len(archives)}")
        path = archives[0]
    if not path.is_file():
        raise DataNotFoundError(f"{path}: there is no such file")
    arrays = _read_arrays(path)
    try:
        train = array_source(arrays["x_train"], arrays["y_train"], f"{path}, x_train and y_train")
        names = tuple(str(label) for label in range(int(train.labels.max()) + 1))
        test = array_source(arrays["x_test"], arrays["y_test"], f"{path}, x_test and y_test", names)
    except InputError as problem:
        raise DataError(problem.message, problem.hint) from problem
    return RawData(path.stem, str(path), train, test, names)


def _read_arrays(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
            missing = [name for name in _ARRAYS if f"{name}.npy" not in members]
            if missing:
                raise DataError(f"{path}: missing {', '.join(missing)}; an archive needs {', '.join(_ARRAYS)}")
            for name in _ARRAYS:
                _check_claims(archive, members[f"{name}.npy"], path)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in _ARRAYS}
    except DataError:
        raise
    # Headers of a broken or hostile archive may raise anything.
    except Exception as problem:
        raise DataError(f"{path}: not a numpy archive of plain arrays ({problem})") from problem


def _check_claims(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Numpy allocates what an array's header claims, so compare that with what the file can hold first."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = reader(file)
        if kind.hasobject:
            raise DataError(
                f"{path}: {member.filename} holds pickled Python objects, which are not loaded",
                "save labels as plain integers and images as uint8: np.asarray(labels, dtype=np.int64)",
            )
        claimed = int(np.prod([int(side) for side in shape], dtype=object)) * kind.itemsize + file.tell()
    if claimed > member.file_size or member.file_size > member.compress_size * _MAX_DEFLATE_RATIO:
        raise DataError(f"{path}: {member.filename} claims {claimed} bytes, more than the file can hold")
