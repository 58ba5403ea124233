"""The file: nothing is lost, and nothing that is no such file is believed."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from robustill.diagnostics.learnability import Learnability, load_learnability, save_learnability
from robustill.errors import DataError
from tests.diagnostics.learnability.test_scores import drawn, made


@pytest.mark.parametrize("n", [1, 7, 8, 9, 1000])
def test_round_trip(n: int, tmp_path: Path) -> None:
    found = drawn(3, n)
    save_learnability(found, tmp_path / "a.safetensors")
    again = load_learnability(tmp_path / "a.safetensors")
    for name in ("right", "agreed", "labels", "index", "rows"):
        assert torch.equal(getattr(again, name), getattr(found, name)), name
        assert getattr(again, name).dtype == getattr(found, name).dtype
    assert torch.equal(again.belief, found.belief)
    assert (again.references, again.about) == (found.references, found.about)


def test_a_verdict_takes_a_bit(tmp_path: Path) -> None:
    sizes = []
    for references in (8, 108):
        save_learnability(drawn(references, 8000), tmp_path / "a.safetensors")
        sizes.append((tmp_path / "a.safetensors").stat().st_size)
    assert 100 * 1000 <= sizes[1] - sizes[0] <= 100 * 1000 + 4000


class Evil:
    def __reduce__(self) -> Any:
        return eval, ("__import__('pathlib').Path('ran').touch()",)


def changed(found: Learnability, path: Path, about: Any = None, **tensors: Any) -> Path:
    """Save `found` with other tensors or another description."""
    save_learnability(found, path)
    description = {"references": list(found.references), "about": found.about} if about is None else about
    text = description if isinstance(description, str) else json.dumps(description)
    kept = {k: v for k, v in {**load_file(path), **tensors}.items() if v is not None}
    save_file(kept, path, metadata={"format": "robustill-learnability/1", "about": text})
    return path


HOSTILE: dict[str, dict[str, Any]] = {
    "fewer bits": {"right": torch.zeros(3, 1, dtype=torch.uint8)},
    "more references than bits": {"about": {"references": list("abcd"), "about": {}}},
    "a name twice": {"about": {"references": list("aab"), "about": {}}},
    "names that are none": {"about": {"references": [1, 2, 3], "about": {}}},
    "no references": {"about": {"references": [], "about": {}}},
    "no description": {"about": "{}"},
    "no JSON": {"about": "{"},
    "a list": {"about": "[]"},
    "deep": {"about": "[" * 100_000},
    "wrong type": {"labels": torch.zeros(40)},
    "wrong length": {"rows": torch.arange(39)},
    "a class below 0": {"labels": torch.full((40,), -1, dtype=torch.int32)},
    "descending": {"index": torch.arange(40, 0, -1, dtype=torch.int32)},
    "no number": {"belief": torch.full((40,), torch.nan)},
    "a tensor less": {"rows": None},
    "no images": {name: torch.zeros(0, dtype=torch.int32) for name in ("labels", "index", "agreed")}
    | {"belief": torch.zeros(0), "rows": torch.zeros(0, dtype=torch.int64), "right": torch.zeros(3, 0).byte()},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_contradictions(name: str, tmp_path: Path) -> None:
    path = changed(drawn(3, 40), tmp_path / "a.safetensors", **HOSTILE[name])
    with pytest.raises(DataError, match="contradicts itself"):
        load_learnability(path)


def test_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("a.safetensors")
    with pytest.raises(DataError, match="no such file"):
        load_learnability(path)
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match="not a complete safetensors file"):
        load_learnability(path)
    assert not Path("ran").exists()
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(DataError, match="no unlearnable set"):
        load_learnability(path)
    save_learnability(made([[1, 0]]), path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="not a complete"):
        load_learnability(path)
    assert {each.name for each in Path().iterdir()} == {"a.safetensors"}
