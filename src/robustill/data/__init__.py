"""Image data: named data sets, folders and files, split and turned into batches (x in [0, 1], y)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from robustill.data import detect
from robustill.data.augment import Augment
from robustill.data.dataset import Data
from robustill.data.digits import read_digits
from robustill.data.folder import read_folder
from robustill.data.hub import read_hub, read_saved
from robustill.data.idx import read_idx_folder
from robustill.data.known import CIFAR10, CIFAR100, FASHION_MNIST, MNIST, TINY_IMAGENET, read_known
from robustill.data.npz import read_npz
from robustill.data.parquet import read_parquet_folder
from robustill.data.partition import make_splits
from robustill.data.sources import DataNotFoundError, RawData
from robustill.data.splits import Split, TensorSplit, batches_in_order
from robustill.data.stream import StreamSplit
from robustill.errors import DataError, InputError, nearest

__all__ = [
    "DATASETS",
    "READERS",
    "Augment",
    "Data",
    "DataNotFoundError",
    "Split",
    "StreamSplit",
    "TensorSplit",
    "batches_in_order",
    "load_data",
    "read_data",
]

Reader = Callable[[Path | None, int | None], RawData]

DATASETS: dict[str, Reader] = {
    "digits": lambda root, size: read_digits(),
    "fashion-mnist": lambda root, size: read_known(FASHION_MNIST, root, size),
    "mnist": lambda root, size: read_known(MNIST, root, size),
    "cifar10": lambda root, size: read_known(CIFAR10, root, size),
    "cifar100": lambda root, size: read_known(CIFAR100, root, size),
    "tiny-imagenet": lambda root, size: read_known(TINY_IMAGENET, root, size),
}

READERS: dict[str, Callable[[Path, int | None], RawData]] = {
    "folder": read_folder,
    "npz": lambda root, size: read_npz(root),
    "idx": lambda root, size: read_idx_folder(root),
    "parquet": read_parquet_folder,
}


_ABSENT = "check the path; robustill list data says which forms of data are read"
_BROKEN = "get the file anew, or mend it; robustill doctor --data NAME says what else is wrong"


def load_data(
    name: str,
    root: str | Path | None = None,
    *,
    validation: float | int = 0.1,
    seed: int = 0,
    size: int | None = None,
    limit: int | None = None,
    stream: bool | None = None,
) -> Data:
    """Load a data set by name or from a folder.

    Args:
        name: One of `DATASETS`; "folder", "npz", "idx" or "parquet" together with `root`; a path to a folder or an
            .npz file; "hf-disk:PATH" for what `datasets` saved; "hf-hub:ID" for a data set of the Hugging Face hub.
        root: Folder that holds the data. Without it, a named data set is looked for in `$ROBUSTILL_DATA/<name>`,
            `./data/<name>` and `/usr/share/datasets/<name>`.
        validation: Share (below 1) or number of training images held out, stratified by class; 0: none.
        seed: Decides which images are held out or kept. The test set never depends on it, except under `limit`.
        size: Resize images to size x size pixels, for data that is image files.
        limit: Keep at most this many training (validation included) and test images, stratified.
        stream: Read images when they are due instead of loading all (default: from 2 GB of pixels on).

    Raises:
        DataError: The data is unknown, missing or malformed; says where and what to do.
        InputError: An argument is out of range.
        MissingExtraError: The data needs an optional package.

    >>> load_data("digits")
    Data('digits', 10 classes, 1x8x8: train 1293, validation 144, test 360; in memory on cpu, augment none)
    """
    raw = read_data(name, root, size=size)
    parts = make_splits(raw, validation=validation, seed=seed, limit=limit, stream=stream)
    return Data(raw.name, raw.class_names, *parts, augment=raw.augment)


def read_data(name: str, root: str | Path | None = None, *, size: int | None = None) -> RawData:
    """Find a data set and read its labels and, unless they are files to decode, its images; see `load_data`.

    Raises:
        DataError: The data is unknown, missing or malformed.
        InputError: `size` for data that is not image files.
        MissingExtraError: The data needs an optional package.

    >>> raw = read_data("digits")
    >>> raw.name, raw.train.shape, len(raw.train), len(raw.class_names)
    ('digits', (1, 8, 8), 1797, 10)
    """
    try:
        raw = _read(str(name), None if root is None else Path(root).expanduser(), size)
    except OSError as problem:
        raise DataError(f"{name}: cannot be read ({problem})", "check the path and its permissions") from problem
    except DataError as problem:
        if problem.hint is not None:
            raise
        # Readers say what is wrong and where; what can be done about it is the same for all of them.
        raise type(problem)(
            problem.message, _ABSENT if isinstance(problem, DataNotFoundError) else _BROKEN
        ) from problem
    if size is not None and raw.train.shape[1:] != (size, size):
        height, width = raw.train.shape[1:]
        raise InputError(f"size={size}: {raw.name} holds {height}x{width} arrays; only image files are resized")
    if raw.class_names:
        return raw
    return replace(raw, class_names=tuple(str(label) for label in range(int(raw.train.labels.max()) + 1)))


def _read(name: str, root: Path | None, size: int | None) -> RawData:
    if name in DATASETS:
        if root is not None and not root.exists():
            raise DataNotFoundError(f"{name}: there is no folder {root}")
        return DATASETS[name](root, size)
    if name in READERS:
        if root is None:
            raise DataError(f"{name!r} needs a root, the place where the data is", "give --root PATH")
        if not root.exists():
            raise DataNotFoundError(f"{name}: there is no {root}")
        return READERS[name](root, size)
    if root is not None:
        hint = nearest(name, [*DATASETS, *READERS])
        if not hint.startswith("did you mean"):
            hint = "data in a folder or file have their path as name: --data PATH, in recipes data.name"
        raise DataError(f"{name!r} is not a data set that takes a root", hint)
    kind, _, rest = name.partition(":")
    if kind == "hf-hub":
        return read_hub(rest, size)
    if kind == "hf-disk":
        return read_saved(Path(rest).expanduser(), size)
    path = Path(name).expanduser()
    if path.exists() or "/" in name or os.sep in name or path.suffix == ".npz":
        return detect.read_path(path, size)
    known = [*DATASETS, *READERS]
    raise DataNotFoundError(
        f"there is no data set {name!r}", f"{nearest(name, known)}; a path to a folder does as well"
    )
