"""The data sets known by name: where they are looked for, what they must look like, how to get them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from robustill.data import detect
from robustill.data.augment import Augment
from robustill.data.sources import DataNotFoundError, RawData, Shape
from robustill.errors import DataError

_SYSTEM = Path("/usr/share/datasets")
_DIGIT_NAMES = tuple("0123456789")
_FASHION_NAMES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100_NAMES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"""


@dataclass(frozen=True)
class Known:
    """A data set known by name.

    Args:
        name: Its name.
        shape: (C, H, W) of its images.
        formats: In which it may be found.
        hub: Its identifier on the Hugging Face hub.
        class_names: Empty: the data says.
        augment: The usual augmentation.
        subfolders: Where in a root it may also be.
        package: Debian package that installs it.
    """

    name: str
    shape: Shape
    formats: tuple[detect.Format, ...]
    hub: str
    class_names: tuple[str, ...] = ()
    augment: Augment = field(default_factory=Augment)
    subfolders: tuple[str, ...] = ()
    package: str | None = None


_TABLES = (detect.PARQUET, detect.SAVED)
FASHION_MNIST = Known(
    name="fashion-mnist",
    shape=(1, 28, 28),
    formats=(detect.IDX, *_TABLES),
    hub="zalando-datasets/fashion_mnist",
    class_names=_FASHION_NAMES,
    subfolders=("FashionMNIST",),
    package="dataset-fashion-mnist",
)
MNIST = Known(
    name="mnist",
    shape=(1, 28, 28),
    formats=(detect.IDX, *_TABLES),
    hub="ylecun/mnist",
    class_names=_DIGIT_NAMES,
    subfolders=("MNIST",),
)
CIFAR10 = Known(
    name="cifar10",
    shape=(3, 32, 32),
    formats=(detect.CIFAR10, *_TABLES, detect.TRAIN_FOLDER),
    hub="uoft-cs/cifar10",
    class_names=tuple(_CIFAR10_NAMES.split()),
    augment=Augment(crop=4, flip=True),
)
CIFAR100 = Known(
    name="cifar100",
    shape=(3, 32, 32),
    formats=(detect.CIFAR100, *_TABLES, detect.TRAIN_FOLDER),
    hub="uoft-cs/cifar100",
    class_names=tuple(_CIFAR100_NAMES.split()),
    augment=Augment(crop=4, flip=True),
)
TINY_IMAGENET = Known(
    name="tiny-imagenet",
    shape=(3, 64, 64),
    formats=(detect.TINY_IMAGENET, *_TABLES, detect.TRAIN_FOLDER),
    hub="zh-plus/tiny-imagenet",
    augment=Augment(crop=4, flip=True),
    subfolders=("tiny-imagenet-200",),
)


def read_known(known: Known, root: Path | None, size: int | None) -> RawData:
    """Read a data set known by name from `root`, or from the places where it usually is.

    Without `root`: `$ROBUSTILL_DATA/<name>`, `./data/<name>`, `/usr/share/datasets/<name>`; the first folder that
    holds the data is used.

    Raises:
        DataNotFoundError: It is in none of them; the message says how to get it.
        DataError: What is there is malformed, or another data set.
    """
    places = [root] if root is not None else _default_places(known.name)
    for place in places:
        for folder in (place, *(place / name for name in known.subfolders)):
            found = detect.read_formats(folder, known.formats, size) if folder.is_dir() else None
            if found is not None:
                return _as_known(found, known, size)
    raise DataNotFoundError(f"{known.name} is not in {' or '.join(map(str, places))}", _ways(known))


def located(known: Known) -> tuple[Path | None, str]:
    """Return the first of the usual places that holds something like the data, unread, and the ways to get it."""
    folders = [place / name for place in _default_places(known.name) for name in ("", *known.subfolders)]
    found = (at for at in folders if at.is_dir() and any(form.recognised(at) for form in known.formats))
    return next(found, None), _ways(known)


def _default_places(name: str) -> list[Path]:
    own = os.environ.get("ROBUSTILL_DATA")
    return [*([Path(own) / name] if own else []), Path("data") / name, _SYSTEM / name]


def _ways(known: Known) -> str:
    package = [f"install the Debian package {known.package}"] if known.package else []
    folder = "name a folder that holds it (--root PATH, or root in the recipe's [data])"
    hub = f'or, with a network, pip install "robustill[hub]" and use the name hf-hub:{known.hub}'
    return "; ".join([*package, folder, hub])


def _as_known(found: RawData, known: Known, size: int | None) -> RawData:
    expected = known.shape if size is None else (known.shape[0], size, size)
    if found.train.shape != expected:
        raise DataError(
            f"{found.location}: images are {found.train.shape}, those of {known.name} are {expected}",
            "give the folder as a path to load it under its own name",
        )
    names = found.class_names or known.class_names
    if known.class_names and len(names) != len(known.class_names):
        raise DataError(f"{found.location}: {len(names)} classes, {known.name} has {len(known.class_names)}")
    return replace(found, name=known.name, class_names=names, augment=known.augment)
