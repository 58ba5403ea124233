"""`robustill --import MODULE`: methods and networks of one's own in every verb, and in the processes it starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import Robustill, refused
from tests.own import own

__all__ = ["own"]

QUICK = ("--set", "training.epochs=1", "--set", "data.limit=100", "--set", "student.architecture=narrow")
STUDY = """
seeds = 1

[base]
data = { name = "digits", limit = 100 }
training = { epochs = 1, optimizer.lr = 0.01 }
student.architecture = "narrow"
evaluation.eps = 0.05

[runs.mine]
set = { method.name = "labelled" }

[evaluate]
attacks = ["fgsm"]
images = 20
checks = false
"""


def test_a_verb_knows_what_the_module_registers(robustill: Robustill, own: Path, tmp_path: Path) -> None:
    words = ("train", "digits_pgd-at_cnn-small", "--set", "method.name=labelled", *QUICK, "--out", tmp_path / "run")
    refused(robustill(*words), "unknown method 'labelled'", "robustill --import MODULE")
    found = robustill("--import", "my_own", *words)
    assert found.code == 0, found.err
    found = robustill("--import", "my_own", "evaluate", tmp_path / "run", "--attacks", "fgsm", "--images", 20, "--json")
    assert found.json["images"] == 20


def test_one_that_is_not_there_is_one_error(robustill: Robustill) -> None:
    refused(robustill("--import", "my_absent", "list"), "--import my_absent: no module 'my_absent'", "hint: run the")


@pytest.mark.slow
@pytest.mark.parametrize("place", [".", "scripts"])
def test_a_cells_process_imports_it(place: str, robustill: Robustill, own: Path, tmp_path: Path) -> None:
    # A script finds what lies beside it, whatever the working folder; a cell is no such script.
    (tmp_path / place).mkdir(exist_ok=True)
    own.rename(tmp_path / place / own.name)
    sys.path.append(str(tmp_path / place))
    (tmp_path / "st.toml").write_text(STUDY)
    found = robustill("--import", "my_own", "study", "st.toml", "--jobs", 1)
    assert found.code == 0, found.err
    assert json.loads((tmp_path / "runs" / "st" / "summary.json").read_text())["runs"]["mine"]["best"]["fgsm"]["n"] == 1


@pytest.mark.slow
def test_processes_of_an_evaluation_import_it(robustill: Robustill, own: Path, tmp_path: Path) -> None:
    # The class that is sent lies in another module: unpickling alone would not import the one that was named.
    (tmp_path / "my_marks.py").write_text("import my_own, os\nopen(f'mark-{os.getpid()}', 'w').close()\n")
    robustill("--import", "my_marks", "train", "digits_standard_cnn-small", *QUICK, "--out", "run")
    words = ["evaluate", "run", "--attacks", "apgd-ce", "--images", "8", "--processes", "2", "--no-checks"]
    subprocess.run(
        [sys.executable, "-m", "robustill", "--import", "my_marks", *words],
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    # This process, the command's, and that of its helper.
    assert len(list(tmp_path.glob("mark-*"))) == 3


def test_no_file_names_a_module(robustill: Robustill, own: Path, tmp_path: Path) -> None:
    own.write_text("open('ran', 'w')")
    for line in ('import = ["my_own"]', 'modules = ["my_own"]'):
        (tmp_path / "st.toml").write_text(f'{line}\nruns.a.recipe = "digits_standard_cnn-small"\n')
        assert robustill("study", "st.toml", "--dry-run").code == 1
        (tmp_path / "recipe.toml").write_text(
            f'{line}\nmethod.name = "my_own"\ndata.name = "digits"\nstudent.architecture = "my_own.narrow"\n'
        )
        assert robustill("train", "recipe.toml").code == 1
    assert not (tmp_path / "ran").exists()
