"""Pushing: only what was exported, as it was exported, privately, with a card, and with one error where it fails."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest

from robustill.errors import InputError, MissingExtraError
from robustill.export import Exported, PushError, push_export
from robustill.export.push import check_repository

TARGET = "hf-hub:me/net"


class FakeApi:
    """A hub with one repository, which is there already if it has a visibility."""

    def __init__(self, private: bool | None = None, fails: Exception | None = None) -> None:
        self.private, self.fails = private, fails
        self.calls: list[str] = []
        self.sent: dict[str, bytes] = {}

    def create_repo(self, repository: str, *, private: bool, exist_ok: bool) -> None:
        self.calls.append(f"create {repository} private={private}")
        if self.fails is not None:
            raise self.fails
        assert exist_ok
        self.private = private if self.private is None else self.private

    def repo_info(self, repository: str) -> Any:
        return SimpleNamespace(private=self.private)

    def create_commit(self, repository: str, operations: list[Any], *, commit_message: str) -> Any:
        self.calls.append(f"commit {repository}")
        self.sent = {each.path_in_repo: each.path_or_fileobj for each in operations}
        return SimpleNamespace(commit_url=f"https://hub/{repository}/commit/1")


@pytest.fixture
def folder(whole: tuple[Path, Exported], tmp_path: Path) -> Path:
    return shutil.copytree(whole[0], tmp_path / "out")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that puts a fake hub in the place of the true one, with somebody logged in."""

    def use(api: FakeApi, token: str | None = "hf_secret") -> FakeApi:
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
        return api

    return use


def test_everything_is_sent_in_one_commit_and_private(folder: Path, hub: Any) -> None:
    api = hub(FakeApi())
    (folder / "secret.txt").write_text("not of the export")
    pushed = push_export(folder, TARGET)
    assert api.calls == ["create me/net private=True", "commit me/net"]
    names = {path.name for path in folder.iterdir()} - {"secret.txt"}
    assert set(api.sent) == names == set(pushed.files)
    assert {"README.md", "export.json"} < names
    assert all(content == (folder / name).read_bytes() for name, content in api.sent.items())
    assert (pushed.url, pushed.private) == ("https://hub/me/net/commit/1", True)


def test_public_only_if_asked_for(folder: Path, hub: Any) -> None:
    api = hub(FakeApi())
    assert not push_export(folder, TARGET, public=True).private
    assert api.calls[0] == "create me/net private=False"


def test_a_repository_that_everybody_sees_is_refused(folder: Path, hub: Any) -> None:
    api = hub(FakeApi(private=False))
    with pytest.raises(PushError, match="me/net is public\n  hint: pass --public"):
        push_export(folder, TARGET)
    assert api.sent == {}


def test_never_without_a_card(folder: Path, hub: Any) -> None:
    api = hub(FakeApi())
    about = json.loads((folder / "export.json").read_text())
    card = about["files"].pop("card")
    (folder / "export.json").write_text(json.dumps(about))
    with pytest.raises(PushError, match="has no card"):
        push_export(folder, TARGET)
    about["files"]["card"] = card
    (folder / "export.json").write_text(json.dumps(about))
    (folder / "README.md").unlink()
    with pytest.raises(PushError, match=r"README\.md cannot be read: No such file"):
        push_export(folder, TARGET)
    assert api.calls == []


@pytest.mark.parametrize("name", ["README.md", "model.onnx", "model.safetensors"])
def test_a_changed_file_is_refused(name: str, folder: Path, hub: Any) -> None:
    api = hub(FakeApi())
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(PushError, match=f"{name} is not the file that was exported"):
        push_export(folder, TARGET)
    assert api.calls == []


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "secret.txt", "sub/model.onnx", ""])
def test_a_name_that_no_export_writes_is_refused(name: str, folder: Path, hub: Any) -> None:
    api = hub(FakeApi())
    about = json.loads((folder / "export.json").read_text())
    about["files"]["onnx"]["file"] = name
    (folder / "export.json").write_text(json.dumps(about))
    with pytest.raises(PushError, match="which no export writes"):
        push_export(folder, TARGET)
    assert api.calls == []


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"files": []}', '{"files": {"onnx": 1}}', '{"files": null}', "[" * 99999]
)
def test_what_is_no_export_is_refused(text: str, tmp_path: Path, hub: Any) -> None:
    api = hub(FakeApi())
    (tmp_path / "export.json").write_text(text)
    with pytest.raises(PushError, match=r"export\.json is not what robustill export writes|has no card"):
        push_export(tmp_path, TARGET)
    assert api.calls == []


def test_without_a_login_a_network_or_the_package(folder: Path, hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api = hub(FakeApi(), token=None)
    with pytest.raises(PushError, match="nobody is logged in to the Hugging Face hub\n  hint: run hf auth login"):
        push_export(folder, TARGET)
    assert api.calls == []
    hub(FakeApi(fails=ConnectionError("no route to huggingface.co\nmore")))
    with pytest.raises(PushError, match=r"cannot be written \(ConnectionError: no route to huggingface.co\)"):
        push_export(folder, TARGET)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r'hint: pip install "robustill\[hub\]"'):
        push_export(folder, TARGET)


@pytest.mark.parametrize(
    "target",
    ["me/net", "hf-hub:net", "hf-hub:me/net/more", "hf-hub:me/../net", "hf-hub:me/net.git", "hf-hub:-me/net",
     "hf-hub:me/", "hf-hub:me/a--b", "hf-hub:me/n t", "hf-hub:me/net\n", "https://hf.co/me/net",
     f"hf-hub:me/{'n' * 99}"],
)  # fmt: skip
def test_names_that_are_no_repository(target: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no repository\n  hint: write hf-hub:OWNER/NAME"):
        push_export(tmp_path, target)


def test_names_that_are_a_repository() -> None:
    for name in ("me/net", "a/b", "Me-1/net_2.0-x"):
        assert check_repository(f"hf-hub:{name}") == name
        huggingface_hub.utils.validate_repo_id(name)
