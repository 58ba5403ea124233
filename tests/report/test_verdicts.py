"""Which of the verdicts in a file an evaluation counts."""

import json
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
