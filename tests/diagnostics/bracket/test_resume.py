"""A call that was cut off goes on where it was, with the results of one that was not."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from robustill.data import Data
from robustill.diagnostics.bracket import calibrate, certify, kept, pair_stages
from robustill.errors import CheckpointError, RobustillError
from robustill.models.seal import read_sealed, save_sealed
from robustill.training.lock import BusyError, hold
from tests.diagnostics.bracket.networks import Divided, random_network

QUICK: dict[str, Any] = {"steps": 4, "restarts": 2, "targets": 1, "batch_size": 16, "progress": False}


def tensors(folder: Path, name: str = "calibration") -> dict[str, Tensor]:
    with safe_open(folder / f"{name}.safetensors", framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def written(folder: Path, name: str = "calibration") -> dict[str, Any]:
    values = json.loads((folder / f"{name}.json").read_text())
    del values["seconds"]
    return values  # type: ignore[no-any-return]


def same(one: Path, other: Path, name: str = "calibration") -> None:
    first, second = tensors(one, name), tensors(other, name)
    assert set(first) == set(second)
    for key, value in first.items():
        # To the last bit, also where it is not a number.
        assert value.numpy().tobytes() == second[key].numpy().tobytes(), key
    assert written(one, name) == written(other, name)


@pytest.mark.parametrize("after", [1, 4])
def test_an_interrupt(
    after: int, pair: tuple[nn.Module, nn.Module], tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = pair_stages.attack_pair, list[int]()
    stop_at = 0

    def counted(search: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        calls.append(len(search.x))
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return real(search, *args, **kwargs)

    monkeypatch.setattr(pair_stages, "attack_pair", counted)
    calibrate(*pair, tiny_data, [0.02, 0.05], **QUICK, out=tmp_path / "whole")
    assert calls == [16, 16, 16, 16, 8, 8]
    calls.clear()
    stop_at = after
    with pytest.raises(KeyboardInterrupt, match=r"calibration.safetensors holds what is finished, the same call"):
        calibrate(*pair, tiny_data, [0.02, 0.05], **QUICK, out=tmp_path / "cut")
    assert not (tmp_path / "cut" / "calibration.json").exists()
    stop_at = 0
    calibrate(*pair, tiny_data, [0.02, 0.05], **QUICK, out=tmp_path / "cut")
    assert len(calls) == 7, "only the attack that was cut off is made again"
    same(tmp_path / "whole", tmp_path / "cut")


def test_a_kill_between_any_two_writes(
    pair: tuple[nn.Module, nn.Module], tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, copies = kept.Kept.save, list[Path]()

    def copied(self: kept.Kept) -> None:
        real(self)
        assert self.path is not None
        copies.append(tmp_path / str(len(copies)))
        copies[-1].mkdir()
        shutil.copy(self.path, copies[-1])

    monkeypatch.setattr(kept, "_REST", 0)
    with monkeypatch.context() as patch:
        patch.setattr(kept.Kept, "save", copied)
        calibrate(*pair, tiny_data, 0.03, **QUICK, out=tmp_path / "whole")
    assert len(copies) == 10, "three stages of three batches, and the end"
    for copy in copies[::3]:
        calibrate(*pair, tiny_data, 0.03, **QUICK, out=copy)
        same(tmp_path / "whole", copy)


def test_further_radii_and_other_bounds_are_added(
    pair: tuple[nn.Module, nn.Module], tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = calibrate(*pair, tiny_data, [0.02, 0.05], **QUICK, out=tmp_path)
    real, radii = pair_stages.attack_pair, list[float]()

    def counted(search: Any, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        radii.append(search.eps)
        return real(search, *args, **kwargs)

    monkeypatch.setattr(pair_stages, "attack_pair", counted)
    loose = calibrate(*pair, tiny_data, [0.02, 0.05], **QUICK, bounds="ibp", points="both", out=tmp_path)
    assert radii == []
    assert torch.equal(loose.over.lower.nan_to_num(), once.over.lower.nan_to_num())
    chosen = once.chosen()
    assert (loose.calibration.upper > once.calibration.upper + 0.01)[:, chosen].float().mean() > 0.5
    more = calibrate(*pair, tiny_data, [0.02, 0.03, 0.05], **QUICK, out=tmp_path)
    assert set(radii) == {0.03}
    assert torch.equal(more.over.lower[[0, 2]][:, chosen], once.over.lower[:, chosen])


def test_other_settings_are_named(pair: tuple[nn.Module, nn.Module], tiny_data: Data, tmp_path: Path) -> None:
    calibrate(*pair, tiny_data, 0.02, **QUICK, images=9, out=tmp_path)
    before = (tmp_path / "calibration.safetensors").read_bytes()
    other = (random_network(5), pair[1])
    with pytest.raises(CheckpointError) as refused:
        calibrate(*other, tiny_data, 0.02, **{**QUICK, "steps": 5}, seed=2, images=9, out=tmp_path)
    for part in ("holds results of other settings", "student_digest: ", "steps: 4 then, 5 now", "seed: 0 then, 2 now"):
        assert part in str(refused.value)
    assert "teacher_digest" not in str(refused.value)
    assert "choose another --out" in str(refused.value)
    assert (tmp_path / "calibration.safetensors").read_bytes() == before


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_files_whose_confidences_did_not_heed_the_temperature(
    temperature: float, pair: tuple[nn.Module, nn.Module], tiny_data: Data, tmp_path: Path
) -> None:
    options = {**QUICK, "images": 9, "temperature": temperature, "out": tmp_path}
    calibrate(*pair, tiny_data, 0.02, **options)
    path = tmp_path / "calibration.safetensors"
    values, about = read_sealed(path)
    settings = json.loads(about["settings"])
    save_sealed(values, path, about | {"settings": json.dumps(settings | {"format": 1})})
    if temperature == 1:
        calibrate(*pair, tiny_data, 0.02, **options)
        return
    with pytest.raises(CheckpointError, match="format: 1 then, 2 now"):
        calibrate(*pair, tiny_data, 0.02, **options)


def test_another_network_with_equal_tensors_is_named(
    pair: tuple[nn.Module, nn.Module], tiny_data: Data, tmp_path: Path
) -> None:
    once, again = (Divided(pair[0], by).eval() for by in (1.0, 4.0))
    calibrate(once, pair[1], tiny_data, 0.02, **QUICK, images=9, out=tmp_path)
    with pytest.raises(CheckpointError, match="student_digest: "):
        calibrate(again, pair[1], tiny_data, 0.02, **QUICK, images=9, out=tmp_path)


@pytest.mark.parametrize("content", [b"", b"no tensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_file(content: bytes, pair: tuple[nn.Module, nn.Module], tiny_data: Data, tmp_path: Path) -> None:
    (tmp_path / "calibration.safetensors").write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"calibration.safetensors (is not a complete safetensors file|cannot be read)"
    ):
        calibrate(*pair, tiny_data, 0.02, **QUICK, out=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RobustillError, match="cannot create the folder"):
        calibrate(*pair, tiny_data, 0.02, **QUICK, out=tmp_path / "file" / "deeper")


def test_certify_goes_on(
    pair: tuple[nn.Module, nn.Module], tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {name: value for name, value in QUICK.items() if name != "targets"}
    certify(pair[0], tiny_data, [0.02, 0.06], **options, out=tmp_path / "whole")
    real, saved = kept.Kept.put, list[str]()

    def stopping(self: kept.Kept, stage: str, *arguments: Any) -> None:
        real(self, stage, *arguments)
        saved.append(stage)
        if len(saved) == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(kept.Kept, "put", stopping)
        with pytest.raises(KeyboardInterrupt):
            certify(pair[0], tiny_data, [0.02, 0.06], **options, out=tmp_path / "cut")
    assert saved[:5] == ["clean", "attack@0.02", "crown@0.02", "attack@0.06", "crown@0.06"], "batch by batch"
    certify(pair[0], tiny_data, [0.02, 0.06], **options, out=tmp_path / "cut")
    same(tmp_path / "whole", tmp_path / "cut", "certification")


@pytest.mark.parametrize("what", ["calibration", "certification"])
def test_one_call_at_a_time(what: str, pair: tuple[nn.Module, nn.Module], tiny_data: Data, tmp_path: Path) -> None:
    options = {name: value for name, value in QUICK.items() if name != "targets"}
    with ThreadPoolExecutor(1) as other:
        holder = hold(tmp_path, what)
        other.submit(holder.__enter__).result()
        call = partial(calibrate, *pair, targets=1) if what == "calibration" else partial(certify, pair[0])
        with pytest.raises(BusyError, match=f"{what} is under way"):
            call(tiny_data, 0.02, **options, out=tmp_path)
        assert not list(tmp_path.glob("*.safetensors"))
        other.submit(holder.__exit__, None, None, None).result()
