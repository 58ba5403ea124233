"""Tables of images as Hugging Face writes them: which column is which, and which split is the test set."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from robustill.errors import DataError

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label", "labels")
TEST_SPLITS = ("test", "validation", "valid", "val")


def pick(names: Collection[str], candidates: Iterable[str], what: str, where: str) -> str:
    """The first candidate among `names`.

    Raises:
        DataError: None of them is there.

    >>> pick(["img", "fine_label", "coarse_label"], LABEL_COLUMNS, "label", "train.parquet")
    'fine_label'
    """
    candidates = tuple(candidates)
    found = next((name for name in candidates if name in names), None)
    if found is None:
        raise DataError(
            f"{where}: no {what} column; looked for {', '.join(candidates)}, found {', '.join(sorted(names))}"
        )
    return found


def pick_test(names: Collection[str]) -> str | None:
    """The split used as test set: "test", else the validation split, else None."""
    return next((name for name in TEST_SPLITS if name in names), None)
