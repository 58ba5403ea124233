"""Which of the verdicts in a file an evaluation counts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from robustill.data import load_data
from robustill.evaluation import evaluate
from robustill.report.page.folder import Found, Run
from robustill.report.page.verdicts import Verdicts, read_verdicts


def linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_of_two_surrogates_the_last_one_counts(order: tuple[int, int], tmp_path: Path) -> None:
    data, model = load_data("digits", limit=200), linear(0)
    for seed in order:
        found = evaluate(
            model, data, eps=0.3, attacks=["fgsm"], transfer_from=linear(seed), out=tmp_path, checks=False,
            progress=False,
        )  # fmt: skip
    content = json.loads((tmp_path / "evaluation.json").read_text())
    own = read_verdicts(Run("run", tmp_path, files={"evaluation": Found(tmp_path / "evaluation.json", content)}))
    assert isinstance(own, Verdicts), own
    assert own.right["transfer-fgsm"].tolist() == found.verdicts["transfer-fgsm"].tolist()


def test_runs_that_held_out_other_validation_images_are_compared_on_the_same_test_images(tmp_path: Path) -> None:
    found = []
    for share in (0.1, 0.2):
        out = tmp_path / str(share)
        evaluate(
            linear(0), load_data("digits", validation=share), eps=0.1, attacks=["fgsm"], images=50, out=out,
            checks=False, progress=False,
        )  # fmt: skip
        content = json.loads((out / "evaluation.json").read_text())
        own = read_verdicts(Run("run", out, files={"evaluation": Found(out / "evaluation.json", content)}))
        assert isinstance(own, Verdicts)
        found.append(own)
    assert found[0].images != found[1].images
    assert found[0].of_same_images(found[1])
    early = [replace(each, split=None) for each in found]
    assert not early[0].of_same_images(early[1])
    assert early[0].of_same_images(replace(found[0], images=early[0].images))
    other = replace(found[1], images=(*found[1].images[:3], "others"))
    assert not found[0].of_same_images(other)
