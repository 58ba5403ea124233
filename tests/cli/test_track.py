"""`robustill train --track`, and what a log file gets to see of training."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli.command import QUICK, Robustill, refused

TRAIN = ("train", "digits_standard_cnn-small", *QUICK)


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs tensorboard")
def test_tracking_is_no_part_of_the_recipe(robustill: Robustill) -> None:
    assert robustill(*TRAIN, "--out", "plain").code == 0
    assert robustill(*TRAIN, "--out", "tracked", "--track", "tensorboard").code == 0
    for name in ("recipe.toml", "student.safetensors"):
        assert (Path("plain") / name).read_bytes() == (Path("tracked") / name).read_bytes()
    assert list(Path("tracked/tensorboard").glob("events.out.tfevents.*"))
    assert not Path("plain/tensorboard").exists()
    assert robustill(*TRAIN, "--out", "plain", "--resume", "--track", "tensorboard").code == 0
    assert list(Path("plain/tensorboard").glob("events.out.tfevents.*"))
    assert robustill(*TRAIN, "--out", "tracked", "--resume").code == 0


def test_an_unknown_tracker_is_refused_before_the_run_folder_is_made(robustill: Robustill) -> None:
    refused(robustill(*TRAIN, "--out", "run", "--track", "tensorbord"), "'tensorbord'", "did you mean 'tensorboard'?")
    assert not Path("run").exists()


def test_a_log_gets_a_line_an_epoch_and_json_stays_clean(robustill: Robustill) -> None:
    outcome = robustill(*TRAIN, "--out", "run", "--json")
    first, second = [line for line in outcome.err.splitlines() if "validation:" in line]
    pattern = r"Standard on digits \d+/\d+ epoch {}/2 loss \d+\.\d+, validation: clean \d+\.\d% \({}\)"
    assert re.fullmatch(pattern.format(1, r"ETA \d+ s"), first)
    assert re.fullmatch(pattern.format(2, "done"), second)
    assert f"clean {100 * outcome.json['last']['validation']['clean']:.1f}%" in second
