"""Push an export to the Hugging Face hub: what `export.json` lists, as it was written, and never without a card."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robustill.errors import InputError, MissingExtraError, RobustillError
from robustill.export.formats import CARD, FILES, SUMMARY

_PREFIX = "hf-hub:"
_NAME = r"[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9_])?"
_REPOSITORY = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)


class PushError(RobustillError):
    """An export cannot be pushed."""


@dataclass(frozen=True)
class Pushed:
    """Where an export went.

    Attributes:
        url: Of the commit.
        private: Whether only its owner sees it.
        files: What was sent.
    """

    url: str
    private: bool
    files: tuple[str, ...]


def check_repository(target: str) -> str:
    """Return OWNER/NAME of "hf-hub:OWNER/NAME".

    Raises:
        InputError: It is not of that form.
    """
    repository = target.removeprefix(_PREFIX)
    bad = "--" in repository or ".." in repository or repository.endswith(".git") or len(repository) > 96
    if not target.startswith(_PREFIX) or not _REPOSITORY.fullmatch(repository) or bad:
        raise InputError(f"{target[:200]!r} is no repository", "write hf-hub:OWNER/NAME")
    return repository


def check_hub() -> Any:
    """Return a client of the hub.

    Raises:
        MissingExtraError: huggingface-hub is not installed.
        PushError: Nobody is logged in.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError(
            f"--push needs the package huggingface-hub: {error}", 'pip install "robustill[hub]"'
        ) from error
    if huggingface_hub.get_token() is None:
        raise PushError("nobody is logged in to the Hugging Face hub", "run hf auth login, or set HF_TOKEN")
    return huggingface_hub.HfApi()


def push_export(folder: str | Path, target: str, *, public: bool = False) -> Pushed:
    """Send an export to the hub in one commit; a repository that is not there yet is made.

    Only files that `export.json` lists are sent, if they still have the SHA-256 that stands there.

    Args:
        folder: Where `export_model` or `export_run` wrote.
        target: "hf-hub:OWNER/NAME".
        public: Everybody may see it. Otherwise a repository that everybody sees is refused.

    Raises:
        InputError: `target` is no repository.
        MissingExtraError: huggingface-hub is not installed.
        PushError: No card, a file that is missing or was changed, nobody logged in, no network, or a public repository.
    """
    repository = check_repository(target)
    contents = read_export(Path(folder))
    api = check_hub()
    try:
        return _send(api, repository, contents, public)
    except RobustillError:
        raise
    # Errors of the network stack and of the hub's client have no common base.
    except Exception as error:
        reason = (str(error).strip().splitlines() or ["no details"])[0][:300]
        raise PushError(
            f"{target} cannot be written ({type(error).__name__}: {reason})",
            "check the name, the rights of your token and the network; the export itself is whole",
        ) from error


def read_export(folder: Path) -> dict[str, bytes]:
    """Return the files of an export by name, `export.json` among them.

    Raises:
        PushError: There is no card, or a file is missing, was changed, or is none that an export writes.
    """
    try:
        packed = (folder / SUMMARY).read_bytes()
        listed = [(str(each["file"]), str(each["sha256"])) for each in json.loads(packed)["files"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PushError(f"{folder / SUMMARY} is not what robustill export writes", "export again") from error
    strange = [name for name, _ in listed if name not in (*FILES.values(), CARD)]
    if strange:
        raise PushError(f"{folder / SUMMARY} lists {strange[0][:100]!r}, which no export writes", "export again")
    if CARD not in dict(listed):
        raise PushError(f"{folder} has no card", "export again: without a card nothing is pushed")
    return {name: _whole(folder / name, sha256) for name, sha256 in listed} | {SUMMARY: packed}


def _whole(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PushError(f"{path} cannot be read: {error.strerror}", "export again") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise PushError(f"{path} is not the file that was exported: its SHA-256 differs", "export again")
    return content


def _send(api: Any, repository: str, contents: dict[str, bytes], public: bool) -> Pushed:
    from huggingface_hub import CommitOperationAdd

    api.create_repo(repository, private=not public, exist_ok=True)
    # One that was there before keeps its visibility.
    private = bool(api.repo_info(repository).private)
    if not private and not public:
        raise PushError(
            f"{repository} is public", "pass --public if everybody may see the model, or choose another name"
        )
    operations = [CommitOperationAdd(name, content) for name, content in contents.items()]
    commit = api.create_commit(repository, operations, commit_message="Export by robustill")
    return Pushed(str(commit.commit_url), private, tuple(contents))
