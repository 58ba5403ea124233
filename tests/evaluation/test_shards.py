"""Several processes share the images of one evaluation, and one goes on where several were cut off."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from robustill.attacks import adversarial_points
from robustill.data import Data
from robustill.evaluation import Evaluation, evaluate, is_first, part, runner
from robustill.evaluation.store import FALLEN, VerdictStore
from robustill.runs import evaluate_target
from tests.evaluation.digits import digits_model, levels, same_levels, start

ATTACKS = ("fgsm", "cw")


@pytest.mark.slow
def test_two_processes_find_what_one_does(tmp_path: Path) -> None:
    file = digits_model(tmp_path / "net.safetensors")
    launched = start(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "robustill", "evaluate"),
        *(str(file), "--data", "digits", "--eps", "0.1", "--attacks", "fgsm,apgd-ce", "--images", "60"),
        *("--out", str(tmp_path / "two"), "--no-checks", "--json"),
    )
    evaluate_target(
        str(file), data="digits", eps=0.1, attacks="fgsm,apgd-ce", images=60, checks=False, out=tmp_path / "one"
    )
    out, err = launched.communicate(timeout=120)
    assert launched.returncode == 0, err
    two, one = json.loads(out), json.loads((tmp_path / "one" / "evaluation.json").read_text())
    assert two == json.loads((tmp_path / "two" / "evaluation.json").read_text()), "one process prints, and once"
    assert "Traceback" not in err
    for values in (one, two):
        values.pop("seconds")
    assert two == one
    assert 0 < one["robust"]["accuracy"] < one["clean"]["accuracy"], "some fall and some stand"
    assert set(levels(tmp_path / "two")) == {"level/clean", "level/fgsm", "level/apgd-ce"}
    assert same_levels(tmp_path / "one", tmp_path / "two")
    assert {path.name for path in (tmp_path / "two").iterdir()} == {"evaluation.json", "verdicts.safetensors"}


def run(model: nn.Module, data: Data, out: Path | None, **changes: Any) -> Evaluation:
    given = {"eps": 0.1, "attacks": ATTACKS, "progress": False, "checks": False, **changes}
    return evaluate(model, data, out=out, **given)


def settings_in(folder: Path) -> dict[str, Any]:
    with safe_open(folder / "verdicts.safetensors", framework="pt") as file:
        found: dict[str, Any] = json.loads(file.metadata()["settings"])
    return found


class Attacked:
    """Notes which brightness was attacked; this tells images apart, since each is of one grey."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.greys: list[int] = []

        def points(model: nn.Module, x: Tensor, *rest: Any, **named: Any) -> Tensor:
            self.greys += (255 * x[:, 0, 0, 0]).round().int().tolist()
            return adversarial_points(model, x, *rest, **named)

        monkeypatch.setattr(runner, "adversarial_points", points)


def grey(data: Data, at: Tensor) -> list[int]:
    return sorted(int(image[0, 0, 0]) for image in data.test.images(at))


def left_by(folder: Path, settings: dict[str, Any], process: int, known: dict[str, Tensor], total: int) -> None:
    """Write the file that one of two processes leaves when it is killed: what it knows of its own images."""
    store, own = VerdictStore(folder, settings, total, (process, 2)), torch.arange(total)[process::2]
    for stage, level in known.items():
        store.level(stage).zero_()
        store.level(stage)[own] = level[own]
    store.seconds = dict.fromkeys(known, 1.0 + process)
    store.save()


def test_one_process_goes_on_with_what_several_found(
    model: nn.Module, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(model, data, tmp_path / "whole")
    known = {name.removeprefix("level/"): level for name, level in levels(tmp_path / "whole").items()}
    settings, right = settings_in(tmp_path / "whole"), whole.verdicts["clean"]
    cut, total = tmp_path / "cut", len(right)
    left_by(cut, settings, 0, known, total)
    left_by(cut, settings, 1, {"clean": known["clean"]}, total)
    assert {path.name for path in cut.iterdir()} == {f"verdicts-{k}of2.safetensors" for k in range(2)}
    attacked = Attacked(monkeypatch)
    found = run(model, data, cut)
    for name in ("clean", *ATTACKS):
        assert torch.equal(found.verdicts[name], whole.verdicts[name]), name
    odd = torch.arange(total)[1::2]
    assert sorted(attacked.greys) == sorted(2 * grey(data, odd[right[odd]])), "each attack, on what the second had"
    assert 2.0 <= found.seconds["clean"] < 3.0, "processes work side by side"
    assert 1.0 <= found.seconds["fgsm"] < 2.0
    assert {path.name for path in cut.iterdir()} == {"evaluation.json", "verdicts.safetensors"}
    assert same_levels(cut, tmp_path / "whole")


def test_verdicts_of_a_part_are_believed(model: nn.Module, data: Data, tmp_path: Path) -> None:
    whole = run(model, data, tmp_path / "whole")
    known, settings = levels(tmp_path / "whole"), settings_in(tmp_path / "whole")
    claimed = torch.full_like(known["level/fgsm"], FALLEN)
    left_by(tmp_path / "cut", settings, 0, {"fgsm": claimed}, len(claimed))
    found = run(model, data, tmp_path / "cut").verdicts["fgsm"]
    assert not found[0::2].any()
    assert torch.equal(found[1::2], whole.verdicts["fgsm"][1::2])


def test_a_part_of_another_evaluation_is_not_used(model: nn.Module, data: Data, tmp_path: Path) -> None:
    whole = run(model, data, tmp_path / "whole")
    known, settings = levels(tmp_path / "whole"), settings_in(tmp_path / "whole")
    claimed = torch.full_like(known["level/fgsm"], FALLEN)
    left_by(tmp_path / "cut", {**settings, "eps": 0.2}, 0, {"fgsm": claimed}, len(claimed))
    found = run(model, data, tmp_path / "cut")
    assert torch.equal(found.verdicts["fgsm"], whole.verdicts["fgsm"])


def test_fallen_in_one_file_is_fallen(tmp_path: Path) -> None:
    levels_of = [torch.tensor([0, 1, 2, FALLEN, 3], dtype=torch.int16), torch.tensor([0, 2, 1, 4, FALLEN])]
    for process, level in enumerate(levels_of):
        store = VerdictStore(tmp_path, {"a": 1}, 5, (process, 2))
        store.level("s").copy_(level)
        store.save()
    assert VerdictStore(tmp_path, {"a": 1}, 5).level("s").tolist() == [0, 2, 2, FALLEN, FALLEN]


def test_rows_in_flight_of_all_files_go_on(tmp_path: Path) -> None:
    for process in range(2):
        store = VerdictStore(tmp_path, {"a": 1}, 8, (process, 2))
        own = torch.arange(8)[process::2][1:3]
        store.level("s")[process::2] = 1
        others = dict.fromkeys(("number", "y", "x_adv", "fallen", "left"), own)
        store.flying = {"s#0": {**others, "index": own, "x": 10 * own.float()}}
        store.save()
    one = VerdictStore(tmp_path, {"a": 1}, 8)
    state = one.rows_of("s#0", torch.tensor([2, 3, 4, 7]), torch.device("cpu"))
    assert state is not None
    assert sorted(state["index"].tolist()) == [2, 3, 4], "not 5, which has a verdict"
    assert torch.equal(state["x"], 10 * state["index"].float())
    assert one.rows_of("s#0", torch.arange(8), torch.device("cpu")) is None, "given once"


def test_one_process_is_the_first_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert part(torch.device("cpu")) == (0, 1)
    assert is_first()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert part(torch.device("cpu")) == (0, 1)
    monkeypatch.setenv("RANK", "1")
    assert not is_first()


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_one_of_several_processes(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def state(*, cpu: bool) -> SimpleNamespace:
        asked.append(cpu)
        return SimpleNamespace(process_index=2, num_processes=3)

    monkeypatch.setattr("accelerate.PartialState", state)
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert part(torch.device(kind)) == (2, 3)
    assert asked == [kind == "cpu"], "with a GPU, each is bound to one of its own"


def test_a_process_attacks_its_share_only(
    model: nn.Module, data: Data, truth: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of three processes, without the others: it neither reports nor tidies up."""
    monkeypatch.setattr("robustill.evaluation.run.part", lambda place: (1, 3))
    monkeypatch.setattr("robustill.evaluation.run.gather", lambda store, processes: None)
    attacked = Attacked(monkeypatch)
    found, own = run(model, data, tmp_path), torch.arange(len(truth["clean"]))[1::3]
    assert sorted(attacked.greys) == sorted(2 * grey(data, own[truth["clean"][own]]))
    assert torch.equal(found.robust[own], truth["robust"][own])
    assert {path.name for path in tmp_path.iterdir()} == {"verdicts-1of3.safetensors"}
