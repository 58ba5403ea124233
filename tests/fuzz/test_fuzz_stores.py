"""Weights, verdicts, brackets and checkpoints: damaged or absurd files are one error, or are put aside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from robustill.diagnostics.bracket.kept import Kept
from robustill.diagnostics.learnability.store import load_learnability
from robustill.diagnostics.overfitting import record_overfitting
from robustill.errors import RobustillError
from robustill.evaluation.store import VerdictStore
from robustill.methods.soften_rows import read_rows
from robustill.models import Classifier, build_model, load_model, save_model
from robustill.models.foreign_file import read_foreign
from robustill.models.seal import SEAL
from robustill.training.checkpoint import read_checkpoint, save_checkpoint
from tests.fuzz.examples import damaged, fuzzed, ours, written

SETTINGS = {"eps": 0.1}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def weights(place: Path) -> bytes:
    torch.manual_seed(0)
    model = build_model("resnet18", num_classes=3, shape=(1, 8, 8), width=1)
    save_model(model, place / "good.safetensors", class_names=["a", "b", "c"])
    return (place / "good.safetensors").read_bytes()


def unsealed(path: Path, changes: dict[str, str]) -> bytes:
    """Return a file with other metadata and without its checksum, as someone who means harm would write it."""
    with safetensors.safe_open(path, "pt") as file:
        metadata = {key: value for key, value in file.metadata().items() if key != SEAL}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return safetensors.torch.save(tensors, metadata={**metadata, **changes})


@fuzzed(80)
@given(data=st.data())
def test_a_damaged_weights_file(place: Path, weights: bytes, data: st.DataObject) -> None:
    content = data.draw(damaged(weights))
    found = ours(lambda: load_model(written(place, "model.safetensors", content)))
    # The checksum leaves no way through.
    assert isinstance(found, RobustillError) or content == weights


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
KEYS = ("architecture", "arguments", "num_classes", "shape", "class_names", "input_range", "mean", "std", "format", "x")


@fuzzed(150)
@given(
    st.dictionaries(
        st.sampled_from(KEYS), st.one_of(JSON.map(json.dumps), st.text(max_size=20)), min_size=1, max_size=3
    )
)
def test_metadata_of_a_weights_file(place: Path, weights: bytes, changes: dict[str, str]) -> None:
    content = unsealed(written(place, "source.safetensors", weights), changes)
    found = ours(lambda: load_model(written(place, "changed.safetensors", content)))
    assert isinstance(found, Classifier | RobustillError)


@fuzzed(60)
@given(data=st.data())
def test_a_foreign_checkpoint(place: Path, data: st.DataObject) -> None:
    torch.save({"state_dict": {"module.fc.weight": torch.ones(2, 3)}}, place / "valid.pt")
    content = data.draw(damaged((place / "valid.pt").read_bytes()))
    ours(lambda: read_foreign(written(place, "other.pt", content)))


@fuzzed(60)
@given(data=st.data())
def test_a_checkpoint(place: Path, data: st.DataObject) -> None:
    save_checkpoint({"epoch": 1, "method": {"w": torch.ones(40)}}, place / "last.pt")
    valid = (place / "last.pt").read_bytes()
    content = data.draw(damaged(valid))
    found = ours(lambda: read_checkpoint(written(place, "newest.pt", content)))
    assert isinstance(found, RobustillError) or found["epoch"] == 1


TENSOR = st.sampled_from(
    [
        torch.zeros(6, dtype=torch.int16), torch.full((6,), -1, dtype=torch.int16), torch.tensor(1), torch.zeros(0),
        torch.zeros(5, dtype=torch.int16), torch.zeros(6, 2), torch.tensor([9, -7, 3]), torch.zeros(3),
        torch.ones(3).bool(), torch.tensor([0, 1, 2]), torch.tensor([[0], [1], [2]]), torch.full((3,), torch.nan),
        torch.full((6,), 2, dtype=torch.int16),
    ]
)  # fmt: skip
STATE = ("index", "number", "x", "y", "x_adv", "fallen", "left")
NAMES = ["level/clean", "level/pgd", "level", "", "rows/s#0", "odd/name", *(f"rows/s#0/{key}" for key in STATE)]
ABOUT = {
    "settings": st.one_of(st.just(json.dumps(SETTINGS)), st.text(max_size=9)),
    "seconds": st.one_of(JSON.map(json.dumps), st.text(max_size=9), st.just("[" * 5000)),
}


def stored(tensors: dict[str, torch.Tensor], about: dict[str, str]) -> bytes:
    return safetensors.torch.save({name: value.clone() for name, value in tensors.items()}, metadata=about)


@fuzzed(200)
@given(st.dictionaries(st.sampled_from(NAMES), TENSOR, max_size=9), st.fixed_dictionaries({}, optional=ABOUT))
def test_a_store_of_verdicts(tmp_path_factory: pytest.TempPathFactory, tensors: Any, about: Any) -> None:
    folder = tmp_path_factory.mktemp("store")
    written(folder, "verdicts.safetensors", stored(tensors, about))
    store = VerdictStore(folder, SETTINGS, 6)
    assert all(level.shape == (6,) for level in store.levels.values())
    check_rows(store)


def check_rows(store: VerdictStore) -> None:
    """Rows in flight that a store hands out have all that a search reads."""
    taken = store.rows_of("s#0", torch.arange(6), torch.device("cpu"))
    if taken is not None:
        assert set(STATE) <= taken.keys()
        assert int(taken["index"].max()) < 6
        assert int(taken["left"].min()) >= 0


ROWS = st.sampled_from([torch.tensor([0, 1, 2]), torch.tensor([9, -7, 3]), torch.ones(3), torch.zeros(3, 2)])


@fuzzed(120)
@given(st.sets(st.sampled_from(STATE), max_size=1), st.fixed_dictionaries(dict.fromkeys(STATE, ROWS)))
def test_rows_in_flight(tmp_path_factory: pytest.TempPathFactory, without: set[str], state: Any) -> None:
    folder = tmp_path_factory.mktemp("store")
    tensors = {f"rows/s#0/{key}": value for key, value in state.items() if key not in without}
    tensors["level/clean"] = torch.zeros(6, dtype=torch.int16)
    written(folder, "verdicts.safetensors", stored(tensors, {"settings": json.dumps(SETTINGS), "seconds": "{}"}))
    check_rows(VerdictStore(folder, SETTINGS, 6))


@fuzzed(40)
@given(data=st.data())
def test_a_damaged_store_of_verdicts(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("store")
    store = VerdictStore(folder, SETTINGS, 6)
    store.level("clean").fill_(1)
    store.save()
    valid = (folder / "verdicts.safetensors").read_bytes()
    content = data.draw(damaged(valid))
    written(folder, "verdicts.safetensors", content)
    again = VerdictStore(folder, SETTINGS, 6)
    assert not again.levels or content == valid
    assert content == valid or (folder / "verdicts.old.safetensors").exists()


@fuzzed(120)
@given(
    st.dictionaries(st.sampled_from(["a/done", "a/x", "a"]), TENSOR, max_size=3),
    st.fixed_dictionaries({}, optional=ABOUT),
)
def test_a_bracket_that_is_found(place: Path, tensors: Any, about: Any) -> None:
    path = written(place, "kept.safetensors", stored(tensors, about))
    found = ours(lambda: Kept(path, SETTINGS, 6))
    if isinstance(found, Kept):
        found.missing("a")


@fuzzed(80)
@given(
    st.dictionaries(
        st.sampled_from(["rows", "labels", "right", "index", "agreed", "belief", "unlearnable"]), TENSOR, max_size=7
    ),
    st.one_of(JSON.map(json.dumps), st.just('{"references": ["a"], "about": {}}')),
)
def test_an_unlearnable_set(place: Path, tensors: Any, about: str) -> None:
    content = stored(tensors, {"format": "robustill-learnability/1", "about": about})
    path = written(place, "rows.safetensors", content)
    ours(lambda: load_learnability(path))
    ours(lambda: read_rows(path))


LINE = st.fixed_dictionaries(
    {"kind": st.sampled_from(["epoch", "step"])},
    optional={"epoch": JSON, "validation": JSON, "overfitting": JSON, "seconds": JSON},
)


@fuzzed(100)
@given(st.lists(st.one_of(LINE, JSON), max_size=4), JSON)
def test_what_a_run_says_of_itself(place: Path, lines: list[Any], diagnostics: Any) -> None:
    folder = place / "run"
    written(folder, "metrics.jsonl", "\n".join(json.dumps(line) for line in lines).encode())
    written(folder, "diagnostics.json", json.dumps(diagnostics).encode())
    ours(lambda: record_overfitting(folder))
