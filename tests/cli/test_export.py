"""`robustill export` on a run of digits: files, table, JSON, card, pushes that ask first, mistakes."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from robustill.models import file_digest
from tests.cli.command import Robustill, refused

QUICK = ["--images", 20, "--attacks", "pgd3", "--queries", 5, "--eps", 0.1]
PLAIN = ["--formats", "safetensors", "--no-measure"]


class FakeApi:
    """A hub that keeps the names of what it is sent."""

    sent: tuple[str, ...] = ()

    def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> None:
        self.private = private

    def repo_info(self, repository: str) -> Any:
        return SimpleNamespace(private=self.private)

    def create_commit(self, repository: str, operations: list[Any], *, commit_message: str) -> Any:
        self.sent = tuple(each.path_in_repo for each in operations)
        return SimpleNamespace(commit_url=f"https://hub/{repository}")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    api = FakeApi()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_secret")
    return api


def test_files_table_and_card(trained: Path, robustill: Robustill, tmp_path: Path) -> None:
    outcome = robustill("export", trained, "--out", "out", "--formats", "onnx,safetensors,int8", *QUICK)
    assert outcome.code == 0
    names = {"model.safetensors", "model.onnx", "model_int8.onnx", "README.md", "export.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert file_digest("out/model.safetensors") == file_digest(trained / "student.safetensors")
    assert "accuracy in % on 20 test images, Linf eps 0.1" in outcome.out
    assert "pgd3, made on the network" in outcome.out
    assert all(f" {name} " in outcome.out for name in ("network", "onnx", "int8", "square", "worst case"))
    found = json.loads((tmp_path / "out" / "export.json").read_text())
    assert list(found["robustness"]["networks"]) == ["network", "onnx", "int8"]
    assert found["files"]["int8"]["quantization"]["split"] == "validation"
    text = (tmp_path / "out" / "README.md").read_text()
    assert "Trained with robustill by the method standard on digits." in text
    assert "--formats safetensors,onnx,int8 --quantization static --calibration 512 --attacks pgd3" in text


def test_json_and_the_folder_of_the_run(trained: Path, robustill: Robustill) -> None:
    outcome = robustill("export", trained, *PLAIN, "--last", "--license", "mit", "--json")
    assert outcome.json == json.loads((trained / "export" / "export.json").read_text())
    assert file_digest(trained / "export" / "model.safetensors") == file_digest(trained / "student_last.safetensors")
    assert (trained / "export" / "README.md").read_text().startswith('---\nlicense: "mit"\n')


def test_a_file_instead_of_a_run(trained: Path, robustill: Robustill) -> None:
    source = trained / "student.safetensors"
    assert robustill("export", source, "--out", "out", *PLAIN).code == 0
    assert "robustill export student.safetensors --out export --formats" in Path("out/README.md").read_text()
    refused(robustill("export", source, "--formats", "onnx"), "nothing says where to write", "give --out DIR")
    refused(robustill("export", source, "--out", "out"), "nothing says which data", "--data and --eps, or --no-measure")


def test_mistakes_leave_nothing(trained: Path, robustill: Robustill, tmp_path: Path) -> None:
    for options, says in (
        (["--formats", "tflite"], "unknown format 'tflite'"),
        (["--formats", "int8", "--quantization", "dynamc"], "did you mean 'dynamic'?"),
        (["--attacks", "square"], "square needs no network to be made on"),
        (["--eps", "much"], "--eps 'much' is not a number"),
        (["--norm", "L1"], "unknown norm 'L1'"),
        (["--license", "a b"], "'a b' is no identifier of a licence"),
        (["--calibration", 0, "--formats", "int8", *QUICK], "images is 0"),
        (["--yes"], "--yes and --public are about --push"),
        (["--push", "me/net"], "'me/net' is no repository"),
    ):
        refused(robustill("export", trained, "--out", "out", *options), says)
        assert not (tmp_path / "out").exists(), options


def test_a_push_with_yes(trained: Path, robustill: Robustill, hub: FakeApi) -> None:
    outcome = robustill("export", trained, "--out", "out", *PLAIN, "--push", "hf-hub:me/net", "--yes")
    assert outcome.code == 0
    assert hub.private
    assert hub.sent == ("model.safetensors", "README.md", "export.json")
    assert outcome.out.splitlines()[-1] == "pushed to https://hub/me/net (private)"
    assert "hf_secret" not in outcome.out + outcome.err + Path("out/export.json").read_text()
    assert 'robustill.load_model("hf-hub:me/net")' in Path("out/README.md").read_text()
    outcome = robustill(
        "export", trained, "--out", "out", *PLAIN, "--push", "hf-hub:me/net", "--yes", "--public", "--json"
    )
    assert outcome.json["pushed"] == {"url": "https://hub/me/net", "private": False}


def test_nobody_is_there_to_agree(trained: Path, robustill: Robustill, hub: FakeApi, tmp_path: Path) -> None:
    outcome = robustill("export", trained, "--out", "out", *PLAIN, "--push", "hf-hub:me/net")
    refused(outcome, "nobody is there to agree to a push to hf-hub:me/net", "pass --yes")
    assert hub.sent == ()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("answer", "sent"), [("y\n", True), ("n\n", False), ("", False)])
def test_somebody_is_asked(
    answer: str, sent: bool, trained: Path, robustill: Robustill, hub: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    outcome = robustill("export", trained, "--out", "out", *PLAIN, "--push", "hf-hub:me/net")
    assert "Send the export to me/net, where nobody but its owner will see it?" in outcome.err
    assert (bool(hub.sent), outcome.code == 0) == (sent, sent)
    assert Path("out").exists() is sent


def test_without_a_login_nothing_is_computed(
    trained: Path, robustill: Robustill, hub: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    outcome = robustill("export", trained, "--out", "out", *PLAIN, "--push", "hf-hub:me/net", "--yes")
    refused(outcome, "nobody is logged in", "hf auth login")
    assert not (tmp_path / "out").exists()
