"""Where as many images of each class are taken of unbalanced data, the numbers say so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from robustill.cli.evaluate import _print_evaluation
from robustill.data import Data
from robustill.evaluation import evaluate
from robustill.evaluation.subset import balance_note
from robustill.models import build_model
from robustill.report.page.attacks import _table

NOTE = "as many images of each class as there can be, of 10 to 40: an accuracy on all images weighs large classes more"


def two_classes(small: int) -> Data:
    """Return data whose test split has 40 images of one class and `small` of the other."""
    labels = np.repeat([0, 1], [40, small])
    images = np.random.default_rng(0).random((len(labels), 1, 8, 8), dtype=np.float32)
    return Data.from_arrays((images, labels), (images, labels), class_names=["many", "few"])


@pytest.mark.parametrize(("small", "count", "told"), [(10, 20, NOTE), (10, None, None), (10, 50, None), (35, 20, None)])
def test_the_note_is_where_classes_are_evened_out(
    small: int, count: int | None, told: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    model = build_model("cnn_small", num_classes=2, shape=(1, 8, 8))
    found = evaluate(
        model, two_classes(small), eps=0.05, attacks=["fgsm"], images=count, checks=False, progress=False, out=tmp_path
    )
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written.get("drawn") == told
    _print_evaluation("runs/a", "test", found)
    printed = " ".join(capsys.readouterr().out.split())
    caption = _table(written, []).caption
    for text in (printed, caption):
        assert (NOTE in text) is (told is not None)
    if count == 20:
        assert [row["images"] for row in written["classes"]] == [10, 10]


def test_classes_of_about_one_size_need_no_note() -> None:
    assert balance_note(torch.repeat_interleave(torch.arange(2), torch.tensor([14, 10])), 5) is None
    assert balance_note(torch.repeat_interleave(torch.arange(2), torch.tensor([15, 10])), 5) is not None
