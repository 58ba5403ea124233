"""`robustill evaluate`: curves, borrowed examples, precision, stages and what the checks say."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from robustill import __version__, cli
from robustill.attacks import APGD, AutoAttack, Search
from robustill.models import load_model, save_model
from tests.cli.command import Robustill, refused, teacher

QUICK = ["--attacks", "fgsm,pgd3", "--images", 50, "--out", "found"]


@pytest.fixture(scope="module")
def able(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder whose student is right on nine digits of ten, and on one or two under attack."""
    folder = tmp_path_factory.mktemp("able") / "run"
    changes = ("training.epochs=3", "training.optimizer.lr=0.1", "training.batch_size=32")
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["train", "digits_standard_cnn-small", "--out", str(folder), *(f"--set={change}" for change in changes)]
        )
    assert not ended.value.code
    return folder


def line_of(text: str, start: str) -> str:
    """Return the one line of the output that starts so, without the frame of a table."""
    lines = [line.strip("│┃ ") for line in text.splitlines()]
    (found,) = [line for line in lines if line.startswith(start)]
    return found


def test_a_grid_is_a_table_and_a_figure(robustill: Robustill, able: Path) -> None:
    outcome = robustill("evaluate", able, *QUICK, "--eps-grid", "0.3, 8/255,0.02")
    assert outcome.code == 0
    written = json.loads(Path("found/evaluation.json").read_text())
    points = written["curve"]["points"]
    assert [point["eps"] for point in points] == [0.02, 8 / 255, 0.3]
    accuracies = [point["accuracy"] for point in points]
    assert written["clean"]["accuracy"] >= accuracies[0] >= accuracies[1] > accuracies[2]
    assert "worst case of fgsm, pgd3 by Linf eps" in outcome.out
    for eps, point in zip(("0.02", "0.03137", "0.3"), points, strict=True):
        low, high = (100 * end for end in point["interval"])
        line = re.sub(r"\s*│\s*", " | ", line_of(outcome.out, f"{eps} "))
        assert line == f"{eps} | {100 * point['accuracy']:.2f} | {low:.1f} to {high:.1f}"
    figure = ElementTree.parse("found/curve.svg").getroot()
    assert figure.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(figure.iter("{http://www.w3.org/2000/svg}path"))) > 5


def test_without_a_grid_there_is_no_figure(robustill: Robustill, able: Path) -> None:
    outcome = robustill("evaluate", able, *QUICK)
    assert "by Linf eps" not in outcome.out
    assert not Path("found/curve.svg").exists()
    assert "curve" not in json.loads(Path("found/evaluation.json").read_text())


def test_a_curve_of_a_run_lies_in_its_folder(robustill: Robustill, able: Path, tmp_path: Path) -> None:
    file = teacher(tmp_path / "t.safetensors")
    target = ["evaluate", file, "--data", "digits", "--eps", "0.1", "--attacks", "fgsm", "--images", 20]
    assert "curve" in robustill(*target, "--eps-grid", "0.05", "--json").json
    assert [path.name for path in tmp_path.iterdir()] == ["t.safetensors"], "nothing is written without --out"
    robustill("evaluate", able, "--attacks", "fgsm", "--images", 20, "--eps-grid", "0.05")
    assert (able / "curve.svg").exists()


@pytest.mark.parametrize(
    ("grid", "part"), [("0.1,large", "--eps-grid 'large' is not a number"), ("0.1,-0.2", "impossible attack")]
)
def test_a_grid_of_something_else(grid: str, part: str, robustill: Robustill, able: Path) -> None:
    refused(robustill("evaluate", able, *QUICK, f"--eps-grid={grid}"), part)
    assert not Path("found/evaluation.json").exists()


def test_examples_made_on_another_network(robustill: Robustill, able: Path, tmp_path: Path) -> None:
    file = teacher(tmp_path / "t.safetensors")
    values = robustill("evaluate", able, *QUICK, "--transfer-from", file, "--json").json
    assert list(values["attacks"]) == ["fgsm", "pgd3", "transfer-fgsm", "transfer-pgd3"]
    assert "transfer-beats-white-box" in values["checks"]
    attacks = {name: entry["accuracy"] for name, entry in values["attacks"].items()}
    assert attacks["transfer-fgsm"] > attacks["fgsm"], "an untrained network says little about a trained one"
    # On the network itself, they are the attack.
    itself = robustill("evaluate", able, *QUICK, "--transfer-from", able, "--json").json["attacks"]
    assert itself["transfer-fgsm"]["accuracy"] == itself["fgsm"]["accuracy"] == attacks["fgsm"]
    text = robustill("evaluate", able, *QUICK, "--transfer-from", file).out
    assert f"{100 * attacks['transfer-fgsm']:.2f}" in line_of(text, "transfer-fgsm")


def test_a_surrogate_that_is_not_there_or_does_not_fit(robustill: Robustill, able: Path, tmp_path: Path) -> None:
    refused(robustill("evaluate", able, *QUICK, "--transfer-from", "nowhere"), "nowhere")
    other = teacher(tmp_path / "seven.safetensors", classes=7)
    refused(robustill("evaluate", able, *QUICK, "--transfer-from", other), "7 classes")


def test_checks_can_be_left_out(robustill: Robustill, able: Path) -> None:
    assert "checks" not in robustill("evaluate", able, *QUICK, "--no-checks", "--json").json
    assert "finding" not in robustill("evaluate", able, *QUICK, "--no-checks").out
    assert set(robustill("evaluate", able, *QUICK, "--json").json["checks"]) >= {"randomised", "steps-sweep"}


def test_silent_checks_are_named(robustill: Robustill, able: Path) -> None:
    arguments = ["evaluate", able, "--attacks", "pgd20", "--eps", "0.02", "--images", 50, "--out", "found"]
    checks = robustill(*arguments, "--json").json["checks"]
    assert not any(check["fired"] for check in checks.values())
    assert f"checks without a finding: {', '.join(checks)}" in robustill(*arguments).out


def test_a_check_that_fired_is_said_in_words(robustill: Robustill, able: Path, tmp_path: Path) -> None:
    net = load_model(str(able), num_classes=10, shape=(1, 8, 8))
    with torch.no_grad():
        for weight in list(net.parameters())[-2:]:
            weight.mul_(1e4)
    save_model(net, tmp_path / "sure.safetensors")
    arguments = ["evaluate", tmp_path / "sure.safetensors", "--data", "digits", "--eps", "0.15", *QUICK]
    checks = robustill(*arguments, "--json").json["checks"]
    text = robustill(*arguments).out
    fired = [name for name, check in checks.items() if check["fired"]]
    assert {"zero-gradients", "overflow", "upper-bound-only"} <= set(fired)
    for name in fired:
        assert line_of(text, f"{name}: ") == f"{name}: {checks[name]['says']}"
    assert "Do not believe the robust accuracy" in text
    assert "without a finding" not in text
    assert not [name for name in checks if name not in fired and f"{name}: " in text]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoAttack's first two stages, of which the first is weak."""

    def stages(self: AutoAttack, classes: int) -> dict[str, list[Search]]:
        return {
            "apgd-ce": [APGD(eps=self.eps / 3, steps=3)],
            "apgd-t": [APGD(eps=self.eps, steps=5, loss="dlr-targeted", target=k) for k in (1, 2)],
        }

    monkeypatch.setattr(AutoAttack, "stages", stages)


@pytest.mark.usefixtures("short")
def test_the_table_shows_the_stages(robustill: Robustill, able: Path) -> None:
    arguments = ["evaluate", able, "--attacks", "autoattack-fast", "--images", 50, "--out", "found"]
    entry = robustill(*arguments, "--json").json["attacks"]["autoattack-fast"]
    stages = {name: stage["accuracy"] for name, stage in entry["stages"].items()}
    assert stages["apgd-ce"] > stages["apgd-t"] == entry["accuracy"]
    text = robustill(*arguments).out
    order = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    assert order == ["clean", "after apgd-ce", "after apgd-t", "autoattack-fast (not the standard)"]
    for name, accuracy in stages.items():
        assert re.split(r"\s*│\s*", line_of(text, f"after {name}"))[1] == f"{100 * accuracy:.2f}"
    name, accuracy = robustill(*arguments, "--json").json["worst_class"].values()
    assert f"weakest class: {name}, {100 * accuracy:.2f} under all attacks" in text


def test_precision_does_not_change_what_counts(robustill: Robustill, able: Path) -> None:
    def found(precision: str) -> Any:
        given = ["--attacks", "apgd-ce", "--eps", "0.05", "--images", 40, "--no-checks", "--out", precision]
        values = robustill("evaluate", able, *given, "--precision", precision, "--json").json
        assert values.pop("precision") == precision
        del values["seconds"]
        return values

    one = found("float32")
    assert 0 < one["robust"]["accuracy"] < one["clean"]["accuracy"]
    assert found("auto") == one


def test_an_unknown_precision(robustill: Robustill, able: Path) -> None:
    refused(
        robustill("evaluate", able, *QUICK, "--precision", "float16"),
        "unknown precision 'float16'",
        "choose one of auto, float32, bfloat16",
    )
    assert not Path("found/evaluation.json").exists()


def test_a_subset_has_as_many_of_each_class(robustill: Robustill, able: Path) -> None:
    classes = robustill("evaluate", able, *QUICK, "--json").json["classes"]
    assert [row["images"] for row in classes] == [5] * 10
    assert [row["name"] for row in classes] == [str(k) for k in range(10)]


def test_two_folders_of_a_seed_agree(robustill: Robustill, able: Path) -> None:
    drawn = [
        robustill("evaluate", able, *QUICK[:-1], f"out{k}", "--seed", seed, "--json").json
        for k, seed in enumerate((0, 0, 1))
    ]
    for values in drawn:
        del values["seconds"]
    assert drawn[0] == drawn[1]
    assert drawn[0]["seed"] == 0
    assert drawn[0]["classes"] != drawn[2]["classes"], "another subset, other starts"


def test_python_dash_m() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "robustill", "--version"], capture_output=True, text=True, check=True, timeout=120
    )
    assert found.stdout == f"robustill {__version__}\n"
    assert found.stderr == ""


def test_python_dash_m_ends_with_the_code_of_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "robustill", "evaluate", str(tmp_path / "nowhere")]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.startswith("error: ")
    assert "Traceback" not in found.stderr
