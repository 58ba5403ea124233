"""`Data`: training, validation and test images of one data set, and the batches of an epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor

from robustill.data.arrays import array_source
from robustill.data.augment import Augment
from robustill.data.order import Purpose, epoch_order, random_stream
from robustill.data.partition import make_splits
from robustill.data.sources import RawData, Shape
from robustill.data.splits import Split, TensorSplit, batches_of, to_unit
from robustill.errors import DataError, InputError
from robustill.inputs import check_kind

_DIGEST_IMAGES = 64


@final
class Data:
    """A data set, split.

    Args:
        name: What to call it.
        class_names: One per class.
        train: Training images.
        validation: Held-out training images, on which models are chosen; None: none were held out.
        test: Test images.
        augment: What `batches` does to training images by default.

    Raises:
        DataError: A label without a class, or splits whose images differ in shape.

    >>> import torch
    >>> images, labels = torch.zeros(20, 8, 8, dtype=torch.uint8), torch.arange(20) % 2
    >>> data = Data.from_arrays((images, labels), (images, labels), class_names=("a", "b"))
    >>> data
    Data('arrays', 2 classes, 1x8x8: train 18, validation 2, test 20; in memory on cpu, augment none)
    >>> [x.shape[0] for x, y in data.batches(0, batch_size=8)]
    [8, 8, 2]
    """

    def __init__(
        self,
        name: str,
        class_names: Sequence[str],
        train: Split,
        validation: Split | None,
        test: Split,
        augment: Augment | None = None,
    ) -> None:
        self.name = name
        self.class_names = tuple(class_names)
        self.train, self.validation, self.test = train, validation, test
        self.augment = augment or Augment()
        self.shape: Shape = train.shape
        self._check()
        self.augment.check(self.shape)

    def _check(self) -> None:
        for part, split in self._splits():
            if split.shape != self.shape:
                raise DataError(f"{self.name}: {part} images are {split.shape}, training images {self.shape}")
            if not len(split):
                raise DataError(f"{self.name}: there are no {part} images")
            for label in (int(split.labels.min()), int(split.labels.max())):
                if not 0 <= label < self.num_classes:
                    raise DataError(
                        f"{self.name}: {part} label {label} is outside 0..{self.num_classes - 1} "
                        f"({self.num_classes} classes)"
                    )

    def _splits(self) -> list[tuple[str, Split]]:
        parts = (("train", self.train), ("validation", self.validation), ("test", self.test))
        return [(part, split) for part, split in parts if split is not None]

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part} {len(split)}" for part, split in self._splits())
        where = "in memory on" if isinstance(self.train, TensorSplit) else "streamed to"
        return (
            f"Data({self.name!r}, {self.num_classes} classes, {'x'.join(map(str, self.shape))}: {sizes}; "
            f"{where} {self.train.device}, augment {self.augment})"
        )

    @cached_property
    def digest(self) -> str:
        """64 hexadecimal digits that identify content and split, the same on every device and for a stream.

        Made of the class names, every label, every row number and 64 evenly spaced images of each split.
        """
        return self._digest({part for part, _ in self._splits()})

    def split_digest(self, name: str) -> str:
        """64 hexadecimal digits that identify the content of one split, `"train"`, `"validation"` or `"test"`.

        Made as `digest` is: data sets that hold out other validation images have the same test images.
        """
        return self._digest({name})

    def _digest(self, names: set[str]) -> str:
        found = hashlib.sha256(repr((self.class_names, self.shape)).encode())
        for part, split in self._splits():
            if part not in names:
                continue
            rows = torch.linspace(0, len(split) - 1, min(_DIGEST_IMAGES, len(split))).round().long()
            found.update(f"{part} {len(split)}".encode())
            for tensor in (split.labels, split.indices, split.images(rows).cpu()):
                found.update(tensor.contiguous().numpy().tobytes())
        return found.hexdigest()

    def to(self, device: torch.device | str) -> Data:
        """This data set with batches that come out on `device`; what is in memory is moved there once, as uint8."""
        validation = None if self.validation is None else self.validation.to(device)
        parts = (self.train.to(device), validation, self.test.to(device))
        return Data(self.name, self.class_names, *parts, augment=self.augment)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Batches of one epoch, a last, smaller one included."""
        return len(batches_of(torch.arange(len(self.train)), batch_size))

    def batches(
        self,
        epoch: int,
        *,
        batch_size: int,
        seed: int = 0,
        start: int = 0,
        device: torch.device | str | None = None,
        workers: int = 0,
        augment: Augment | None = None,
        own: Callable[[int], Tensor] | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The training batches of one epoch.

        The order is a function of `(seed, epoch)`, the augmentation of batch i of `(seed, epoch, i)`: no global
        random state is read or changed, and `start=k` gives exactly the batches k, k+1, ... of the full epoch
        without loading the ones before.

        Args:
            epoch: Number of the epoch, from 0.
            batch_size: Images per batch; the last batch may be smaller.
            seed: Seed of order and augmentation.
            start: Number of batches to leave out.
            device: Where the batches go (default: where `to` put the data).
            workers: Processes that read images ahead, for data that is streamed.
            augment: Used instead of the data set's own; `Augment()` switches it off.
            own: For one of several processes: the positions, int64, that it takes of a batch of so many images. The
                others are not loaded, and those it takes are what they are in the whole batch.

        Returns:
            Pairs of x float32 [B, C, H, W] in [0, 1] and y int64 [B].

        Raises:
            InputError: An argument is out of range.
            DataError: An image cannot be read.
        """
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
            raise InputError(f"epoch is {epoch!r}; it must be an integer of 0 or more")
        augment = self.augment if augment is None else augment
        augment.check(self.shape)
        batches = batches_of(epoch_order(len(self.train), seed, epoch), batch_size, start, workers)
        place = self.train.device if device is None else torch.device(device)
        return self._epoch(batches, start, seed, epoch, augment, place, workers, own)

    def _epoch(
        self,
        batches: Sequence[Tensor],
        start: int,
        seed: int,
        epoch: int,
        augment: Augment,
        device: torch.device,
        workers: int,
        own: Callable[[int], Tensor] | None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        mine = None if own is None else [(own(len(batch)), len(batch)) for batch in batches]
        if mine is not None:
            batches = [batch[at] for batch, (at, _) in zip(batches, mine, strict=True)]
        loaded = zip(batches, self.train.fetch(batches, device, workers), strict=True)
        for number, (batch, images) in enumerate(loaded):
            random = random_stream(seed, Purpose.AUGMENT, epoch, start + number)
            changed = augment.apply(images, random, None if mine is None else mine[number])
            yield to_unit(changed), self.train.labels[batch].to(device)

    @classmethod
    def from_arrays(
        cls,
        train: tuple[Any, Any],
        test: tuple[Any, Any],
        *,
        name: str = "arrays",
        class_names: Sequence[str] | None = None,
        validation: float | int = 0.1,
        seed: int = 0,
        augment: Augment | None = None,
    ) -> Data:
        """Data from arrays in memory.

        Args:
            train: `(images, labels)`, numpy or torch. Images are uint8, or float in [0, 1] (then rounded to
                multiples of 1/255), of shape [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels;
                labels are integers from 0.
            test: The same for the test images.
            name: What to call the data.
            class_names: One per class; default: the numbers up to the largest training label.
            validation: Share or number of training images to hold out, stratified; 0: none.
            seed: Decides which.
            augment: What is done to training images (default: nothing).

        Raises:
            InputError: Wrong type, shape or range, NaN, or as many labels as there are not images.
        """
        names = tuple(class_names) if class_names is not None else None
        source = array_source(*train, f"{name}, training set", names)
        names = names or tuple(str(label) for label in range(int(source.labels.max()) + 1))
        test_source = array_source(*test, f"{name}, test set", names)
        raw = RawData(name, "arrays", source, test_source, names)
        return cls(name, names, *make_splits(raw, validation=validation, seed=seed, stream=False), augment=augment)


def check_data(data: object) -> None:
    """Check that something is a `Data`, and not its name or a loader.

    Raises:
        InputError: It is something else.
    """
    check_kind("data", data, Data, "load it: robustill.load_data({}); for arrays, robustill.data.Data.from_arrays")
