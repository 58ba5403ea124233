"""Networks that are trained beside the student: their own optimizer and schedule, their files, their verdicts."""

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from robustill.attacks import PGD
from robustill.data import Data
from robustill.errors import InputError, ModelError
from robustill.methods import AKD, CIARD, IGDM, PGDAT, RSLAD, FairARD, PeerAiD, Standard, VFDAdv
from robustill.models import Frozen, build_model, load_model
from robustill.training import AWP, Settings, train
from robustill.training.networks import check_networks, guides, method_name, pretrained
from robustill.training.run import Run

ATTACK = PGD(eps=0.1, step_size=0.05, steps=2)


def net(seed: int = 0, classes: int = 3, name: str = "cnn_small") -> nn.Module:
    torch.manual_seed(seed)
    return build_model(name, num_classes=classes, shape=(1, 8, 8))


def peeraid() -> PeerAiD:
    return PeerAiD(net(0), net(1), gamma2=0.5, attack=ATTACK)


def settings(**changes: object) -> Settings:
    plain = {"epochs": 2, "batch_size": 32, "optimizer": {"lr": 0.05, "momentum": 0.9}}
    return Settings.model_validate({**plain, **changes})


def test_peer_and_student_follow_their_own_optimizers(tiny_data: Data) -> None:
    own = {"optimizer": {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.1}, "schedule": {"milestones": [1]}}
    method = peeraid()
    twin = copy.deepcopy(method)
    train(method, tiny_data, settings(guides={"peer": own}), progress=False)

    student = torch.optim.SGD(twin.student.parameters(), lr=0.05, momentum=0.9, weight_decay=2e-4)
    peer = torch.optim.SGD(twin.peer.parameters(), lr=0.01, momentum=0.5, weight_decay=0.1)
    torch.manual_seed(0)
    for epoch in range(2):
        peer.param_groups[0]["lr"] = 0.01 * 0.1**epoch
        twin.train()
        for x, y in tiny_data.batches(epoch, batch_size=32):
            student.zero_grad()
            peer.zero_grad()
            twin(x, y).total.backward()
            student.step()
            peer.step()
    for trained, expected in ((method.student, twin.student), (method.peer, twin.peer)):
        for a, b in zip(trained.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_a_guide_has_the_students_settings_when_left_out(tiny_data: Data) -> None:
    run = Run(peeraid(), tiny_data, settings(guides={"peer": {"schedule": {"name": "cosine"}}}), None)
    assert list(run.learners) == ["student", "peer"]
    assert run.learners["peer"].lr == 0.05
    assert run.learners["peer"].schedule.name == "cosine"
    assert run.learners["student"].schedule.name == "piecewise"


@pytest.mark.parametrize(
    ("method", "hint"),
    [(peeraid(), "peer"), (PGDAT(net(), attack=ATTACK), "it trains the student alone")],
)
def test_an_unknown_guide_is_named_with_the_nearest(method: PeerAiD | PGDAT, hint: str, tiny_data: Data) -> None:
    with pytest.raises(InputError, match=r"training\.guides\.pear: the method trains no such network") as caught:
        train(method, tiny_data, settings(guides={"pear": {}}), progress=False)
    assert hint in (caught.value.hint or "")


def test_clipping_is_per_network(tiny_data: Data) -> None:
    method = peeraid()
    method.gamma1 = 1e4
    before = [w.detach().clone() for w in method.student.parameters()]
    plain = {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}
    train(method, tiny_data, settings(epochs=1, batch_size=96, clip_norm=0.5, optimizer=plain), progress=False)
    moved = torch.cat([(w - b).flatten() for w, b in zip(method.student.parameters(), before, strict=True)])
    # The peer's huge gradient must not eat the student's share of the norm.
    assert moved.norm() > 0.01


def test_the_peer_is_saved_and_its_verdicts_are_logged(tiny_data: Data, tmp_path: Path) -> None:
    method = peeraid()
    result = train(method, tiny_data, settings(), out=tmp_path, progress=False)
    peer = load_model(tmp_path / "peer_last.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(peer.parameters(), method.peer.parameters(), strict=True))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    probes = [line["probe"] for line in lines if line["kind"] == "epoch"]
    assert [line["probe"] for line in result.history] == probes
    assert len(probes) == 2
    for probe in probes:
        assert set(probe) == {"peer_clean", "peer_on_its_own", "peer_on_the_students"}
        assert all(0 <= share <= 1 for share in probe.values())
        assert probe["peer_on_its_own"] <= probe["peer_clean"]


def test_a_probe_does_not_change_the_run(tiny_data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    loud, silent = peeraid(), peeraid()
    train(loud, tiny_data, settings(), progress=False)
    monkeypatch.setattr(PeerAiD, "probe", lambda *arguments: {})
    result = train(silent, tiny_data, settings(), progress=False)
    assert "probe" not in result.history[-1]
    assert all(torch.equal(a, b) for a, b in zip(loud.parameters(), silent.parameters(), strict=True))


def test_a_peer_of_other_classes_is_refused(tiny_data: Data) -> None:
    with pytest.raises(ModelError, match=r"^peer: the model has 5 classes, the data set 3"):
        check_networks(PeerAiD(net(), net(1, classes=5), attack=ATTACK), tiny_data, torch.device("cpu"))


def test_a_projection_is_trained_but_no_classifier() -> None:
    method = VFDAdv(PGDAT(net(), attack=ATTACK), net(1, name="cnn_wide"))
    assert list(method.trained()) == ["student", "projection"]
    assert guides(method) == {}
    assert guides(AWP(peeraid(), gamma=0.1)).keys() == {"peer"}


def test_only_fresh_networks_may_know_nothing_at_the_start() -> None:
    assert pretrained(FairARD(peeraid())) == {}
    taught = CIARD(net(), net(1), net(2), attack=ATTACK)
    assert set(pretrained(taught)) == {"teacher_adv", "teacher_nat"}


def test_a_wrapped_method_is_called_by_all_its_names() -> None:
    inside = RSLAD(net(), net(1), attack=ATTACK)
    assert method_name(AWP(IGDM(FairARD(inside)), gamma=0.1)) == "IGDM(FairARD(RSLAD))"
    assert method_name(Standard(net())) == "Standard"


def test_wrappers_forward_what_they_do_not_change() -> None:
    inside = PeerAiD(net(), net(1), attack=ATTACK)
    outside = FairARD(inside)
    outside.attack = PGD(eps=0.2, step_size=0.1)
    assert inside.attack.eps == outside.attack.eps == 0.2
    assert outside.student is inside.student
    assert outside.trained().keys() == {"student", "peer"}
    x, y = torch.rand(4, 1, 8, 8), torch.tensor([0, 1, 2, 0])
    verdicts = outside.probe(x, y, ATTACK, torch.Generator().manual_seed(0))
    assert set(verdicts) == {"peer_clean", "peer_on_its_own", "peer_on_the_students"}
    calls: list[str] = []
    for hook in ("after_step", "end_epoch"):
        object.__setattr__(inside, hook, lambda hook=hook: calls.append(hook))
        getattr(outside, hook)()
    assert calls == ["after_step", "end_epoch"]


def test_every_epoch_ends_once_for_the_method(tiny_data: Data) -> None:
    method, ends = peeraid(), []
    object.__setattr__(method, "end_epoch", lambda: ends.append(1))
    train(method, tiny_data, settings(epochs=3), progress=False)
    assert len(ends) == 3


def test_igdm_takes_no_teacher_of_several() -> None:
    with pytest.raises(InputError, match=r"AKD has no single frozen one to take over\n.*teacher="):
        IGDM(AKD(net(), net(1), attack=ATTACK))


def test_teachers_shared_by_wrapper_and_base_are_held_once() -> None:
    base = RSLAD(net(), net(1), attack=ATTACK)
    method = IGDM(base)
    assert method.teacher is base.teacher
    assert sum(isinstance(module, Frozen) for module in method.modules()) == 1
