"""`robustill report` on a run of digits: files, gallery, Markdown, JSON, mistakes."""

import json
from pathlib import Path

import pytest

from robustill.models import build_model, save_model
from robustill.recipe import parse_recipe
from robustill.runs import write_gallery
from tests.cli.command import Robustill, refused
from tests.cli.command import teacher as save_teacher
from tests.recipe.tables import PLAIN
from tests.report import folders
from tests.report.parsed import Parsed, outside


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run folder of an untrained student of digits with a teacher, evaluated by hand."""
    folder = tmp_path / "runs" / "rslad"
    source = save_teacher(tmp_path / "teacher.safetensors")
    tables = {"method": {"name": "rslad"}, "teachers": {"teacher": str(source)}, "attack": {"eps": 0.1}}
    recipe = parse_recipe({**PLAIN, **tables})
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe.to_toml())
    folders.write(folder / "evaluation.json", folders.evaluation())
    folders.verdicts(folder / "verdicts.safetensors")
    save_model(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)), folder / "student.safetensors")
    return folder


def test_a_page_with_a_gallery(run: Path, robustill: Robustill) -> None:
    outcome = robustill("report", run)
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1] == f"wrote {run / 'report.html'}"
    assert "warning: Only an upper bound" in outcome.out
    html = (run / "report.html").read_text()
    assert outside(html) == []
    parsed = Parsed(html)
    assert "gallery" in parsed.sections()
    found = json.loads((run / "gallery.json").read_text())
    assert len(parsed.all("img")) == 3 * len(found["images"]) > 0
    assert set(found["images"][0]["predictions"]) == {"student", "teacher"}
    assert "evaluation.json is of other weights" in html
    assert not (run / "report.md").exists()


def test_the_gallery_is_kept_and_made_anew(run: Path) -> None:
    assert write_gallery(run) is None
    path = run / "gallery.json"
    marked = json.loads(path.read_text()) | {"mark": 1}
    folders.write(path, marked)
    assert write_gallery(run) is None
    assert "mark" in json.loads(path.read_text())
    save_model(build_model("cnn_small", num_classes=10, shape=(1, 8, 8)), run / "student.safetensors")
    assert write_gallery(run) is None
    assert "mark" not in json.loads(path.read_text())


def test_without_a_teacher_or_without_data(run: Path, tmp_path: Path, robustill: Robustill) -> None:
    (tmp_path / "teacher.safetensors").unlink()
    robustill("report", run)
    html = (run / "report.html").read_text()
    assert "teacher is not shown: " in html
    assert "teacher.safetensors" in html
    recipe = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(recipe.replace('name = "digits"', 'name = "nowhere/data"'))
    (run / "gallery.json").unlink()
    outcome = robustill("report", run)
    assert outcome.code == 0
    assert "warning: No gallery of images: " in outcome.out
    (run / "student.safetensors").unlink()
    assert "No gallery of images: there is no" in robustill("report", run).out


def test_options(run: Path, tmp_path: Path, robustill: Robustill) -> None:
    other = folders.run(tmp_path / "runs" / "other")
    outcome = robustill("report", run, other, "--no-gallery", "--markdown", "--json")
    assert outcome.json["files"] == ["report.html", "report.md"]
    assert outcome.json["title"] == "Report on 2 runs"
    assert all("gallery" not in each.lower() for each in outcome.json["warnings"])
    assert not (run / "gallery.json").exists()
    assert "| other |" in (tmp_path / "report.md").read_text()
    outcome = robustill("report", other, "--no-gallery", "--out", tmp_path / "deep" / "er" / "page.html")
    assert outcome.out.splitlines()[-1] == f"wrote {tmp_path / 'deep' / 'er' / 'page.html'}"
    assert (tmp_path / "deep" / "er" / "page.html").stat().st_size > 10_000


def test_mistakes(run: Path, tmp_path: Path, robustill: Robustill) -> None:
    refused(robustill("report", "runs/none"), "no such folder: runs/none", "hint: give the folder of a run")
    refused(robustill("report", run, run), "is given twice")
    (run / "evaluation.json").write_text("{}")
    refused(robustill("report", run), str(run / "evaluation.json"), "robustill evaluate")
    assert robustill("report").code == 2
    folders.run(tmp_path / "good")
    (tmp_path / "file").write_text("")
    refused(robustill("report", "good", "--no-gallery", "--out", "file/x.html"), "file")


def test_a_file_or_nothing_instead_of_a_folder(robustill: Robustill) -> None:
    Path("runs/student").mkdir(parents=True)
    Path("runs/student/student.safetensors").write_bytes(b"")
    file = "runs/student/student.safetensors"
    refused(robustill("report", file), f"{file} is a file", "hint: give its folder: runs/student")
    refused(robustill("report", "runs/stud"), "no such folder: runs/stud", "did you mean 'runs/student'?")
