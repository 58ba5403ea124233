"""`mixed_precision = "auto"`: the arithmetic that the machine is fast in, and the same one to the end of a run."""

from pathlib import Path

import pytest
import torch

from robustill.data import Data
from robustill.errors import CheckpointError, InputError
from robustill.models.arithmetic import fast_bfloat16
from robustill.training import Settings, train
from robustill.training.checkpoint import settings_then
from robustill.training.device import settled
from tests.training.test_resume import Killed, cut, method, settings


def machine(patch: pytest.MonkeyPatch, *, amx: bool) -> None:
    patch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)


def student(folder: Path) -> bytes:
    return (folder / "student_last.safetensors").read_bytes()


def test_bfloat16_is_fast_with_amx_not_with_avx512_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    for amx in (True, False):
        machine(monkeypatch, amx=amx)
        assert fast_bfloat16(torch.device("cpu")) is amx


@pytest.mark.parametrize("ampere", [True, False])
def test_emulated_bfloat16_on_a_gpu_is_not_fast(ampere: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or ampere)
    assert fast_bfloat16(torch.device("cuda")) is ampere


def test_auto_trains_the_student_of_what_it_comes_to(
    tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for amx, name in ((True, "bf16"), (False, "no")):
        machine(monkeypatch, amx=amx)
        for precision in (name, "auto"):
            changed = settings(mixed_precision=precision, epochs=1)
            train(method("rslad"), tiny_data, changed, out=tmp_path / f"{name}-{precision}", progress=False)
        assert student(tmp_path / f"{name}-auto") == student(tmp_path / f"{name}-{name}")
    assert student(tmp_path / "bf16-auto") != student(tmp_path / "no-auto")


@pytest.mark.parametrize("began", [True, False])
def test_a_run_that_goes_on_elsewhere_computes_as_it_began(
    began: bool, tiny_data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    auto, whole = settings(mixed_precision="auto"), settings(mixed_precision="bf16" if began else "no")
    train(method("rslad"), tiny_data, whole, out=tmp_path / "whole", progress=False)
    machine(monkeypatch, amx=began)
    with monkeypatch.context() as patch:
        cut(patch, 9)
        with pytest.raises(Killed):
            train(method("rslad"), tiny_data, auto, out=tmp_path / "cut", progress=False)
    machine(monkeypatch, amx=not began)
    train(method("rslad"), tiny_data, auto, out=tmp_path / "cut", resume=True, progress=False)
    assert student(tmp_path / "cut") == student(tmp_path / "whole")


def test_the_settings_of_a_damaged_checkpoint_are_those_of_the_one_before(tiny_data: Data, tmp_path: Path) -> None:
    train(method("rslad"), tiny_data, settings(mixed_precision="bf16"), out=tmp_path, progress=False)
    newest = tmp_path / "last.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    then = settings_then(tmp_path)
    assert then is not None
    assert then["mixed_precision"] == "bf16"
    # It was looked at, not mended.
    assert newest.exists()
    for path in tmp_path.glob("*.pt"):
        path.unlink()
    assert settings_then(tmp_path) is None
    with pytest.raises(CheckpointError, match=r"last\.pt"):
        train(method("rslad"), tiny_data, settings(mixed_precision="auto"), out=tmp_path, resume=True, progress=False)


def test_what_a_checkpoint_says_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, amx=False)
    auto = Settings(mixed_precision="auto", device="cpu")
    assert settled(auto, {"mixed_precision": "bf16"}).mixed_precision == "bf16"
    for then in ({"mixed_precision": "fp64"}, {"mixed_precision": ["bf16"]}, {}):
        assert settled(auto, then).mixed_precision == "no"
    assert settled(Settings(mixed_precision="bf16"), {"mixed_precision": "no"}).mixed_precision == "bf16"
    with pytest.raises(InputError, match="unknown device 'tpu'"):
        settled(Settings(mixed_precision="auto", device="tpu"))
