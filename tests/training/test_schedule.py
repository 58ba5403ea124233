"""The learning rate at every epoch of the published schedules."""

import math

import pytest
import torch
from pydantic import ValidationError

from robustill.data import Data
from robustill.methods import Standard
from robustill.models import build_model
from robustill.training import Settings, train
from robustill.training.schedule import decay, lr_scale
from robustill.training.settings import ScheduleSettings


def rates(schedule: ScheduleSettings, epochs: int, peak: float = 0.1) -> list[float]:
    return [peak * lr_scale(schedule, epoch, epochs) for epoch in range(epochs)]


def test_rslad_drops_in_the_0_based_epochs_215_260_285() -> None:
    found = rates(ScheduleSettings(milestones=(215, 260, 285)), 300)
    expected = [0.1] * 215 + [0.01] * 45 + [0.001] * 25 + [0.0001] * 15
    assert found == pytest.approx(expected, rel=1e-12)
    assert found[214] == 0.1
    assert found[215] == pytest.approx(0.01)


def test_a_drop_waits_for_the_end_of_its_epoch() -> None:
    schedule = ScheduleSettings(milestones=(215,))
    assert lr_scale(schedule, 215 - 1 / 391, 300) == 1.0
    assert lr_scale(schedule, 215.0, 300) == pytest.approx(0.1)


@pytest.mark.parametrize(("drops", "last"), [("all", 0.001), ("first", 0.01)])
def test_ard_as_published_and_as_released(drops: str, last: float) -> None:
    schedule = ScheduleSettings.model_validate({"milestones": (100, 150), "drops": drops})
    assert rates(schedule, 200) == pytest.approx([0.1] * 100 + [0.01] * 50 + [last] * 50, rel=1e-12)


def test_another_factor() -> None:
    assert rates(ScheduleSettings(milestones=(1, 2), factor=0.5), 3, 1.0) == [1.0, 0.5, 0.25]


def test_cosine() -> None:
    schedule = ScheduleSettings(name="cosine")
    found = [lr_scale(schedule, epoch, 8) for epoch in range(9)]
    assert [found[0], found[4], found[8]] == pytest.approx([1, 0.5, 0], abs=1e-12)
    assert found[2] == pytest.approx((1 + 2**-0.5) / 2)
    assert found == sorted(found, reverse=True)


def test_one_cycle_climbs_and_falls_in_straight_lines() -> None:
    schedule = ScheduleSettings(name="one_cycle", warmup=0.25)
    found = [lr_scale(schedule, epoch, 8) for epoch in range(9)]
    assert found == pytest.approx([0, 1 / 2, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0])
    assert lr_scale(ScheduleSettings(name="one_cycle", warmup=0), 0, 8) == 1.0


def test_a_warm_up_in_epochs_before_any_fall() -> None:
    drops = ScheduleSettings(milestones=(3,), warmup_epochs=2)
    assert [lr_scale(drops, position, 4) for position in (0, 0.5, 1, 2, 3)] == pytest.approx([0, 0.25, 0.5, 1, 0.1])
    cosine = ScheduleSettings(name="cosine", warmup_epochs=2)
    assert [lr_scale(cosine, epoch, 6) for epoch in range(7)] == pytest.approx(
        [0, 0.5, *(lr_scale(ScheduleSettings(name="cosine"), epoch, 4) for epoch in range(5))], abs=1e-12
    )
    late = ScheduleSettings(name="cosine", warmup_epochs=2, start=4)
    assert [lr_scale(late, epoch, 6) for epoch in (2, 4, 5)] == pytest.approx([1, 1, 0.5])
    assert [decay(drops, epoch, 4) for epoch in range(4)] == pytest.approx([1, 1, 1, 0.1])
    assert rates(ScheduleSettings(name="constant", warmup_epochs=4), 4, 1.0) == pytest.approx([0, 0.25, 0.5, 0.75])


def test_a_warm_up_in_epochs_is_not_for_one_cycle_and_not_written_where_it_is_off() -> None:
    with pytest.raises(ValidationError, match="set warmup instead of warmup_epochs"):
        ScheduleSettings(name="one_cycle", warmup_epochs=1)
    assert "warmup_epochs" not in ScheduleSettings().model_dump()
    warm = ScheduleSettings(warmup_epochs=1.5)
    assert ScheduleSettings.model_validate(warm.model_dump(mode="json")) == warm


def test_constant() -> None:
    assert rates(ScheduleSettings(name="constant"), 5, 0.3) == [0.3] * 5


def test_a_method_sees_a_warm_up_as_the_full_rate() -> None:
    schedule = ScheduleSettings(name="one_cycle", warmup=0.25)
    assert [decay(schedule, epoch, 8) for epoch in range(8)] == pytest.approx(
        [1, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    )
    drops = ScheduleSettings(milestones=(2,))
    assert [decay(drops, epoch, 4) for epoch in range(4)] == pytest.approx([1, 1, 0.1, 0.1])


class Listening(Standard):
    """Notes the rate of every epoch and step."""

    def __init__(self, student: torch.nn.Module) -> None:
        super().__init__(student)
        self.heard: list[float] = []

    def begin_epoch(self, epoch: int, lr_scale: float, epochs: int) -> None:
        self.heard.append(lr_scale)


def test_the_loop_follows_the_schedule(tiny_data: Data) -> None:
    method = Listening(build_model("cnn_small", num_classes=3, shape=(1, 8, 8)))
    used: list[float] = []
    step = torch.optim.SGD.step

    def noting(self: torch.optim.SGD, closure: None = None) -> None:
        used.append(self.param_groups[0]["lr"])
        step(self, closure)

    settings = Settings.model_validate(
        {"epochs": 4, "batch_size": 48, "optimizer": {"lr": 0.02}, "schedule": {"milestones": [1, 3]}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", noting)
        train(method, tiny_data, settings, progress=False)
    assert method.heard == pytest.approx([1, 0.1, 0.1, 0.01])
    assert used == pytest.approx([0.02] * 2 + [0.002] * 4 + [0.0002] * 2)


def test_cosine_can_wait_and_be_damped() -> None:
    schedule = ScheduleSettings(name="cosine", start=150, damping=0.01)
    found = rates(schedule, 300)
    assert found[:151] == [0.1] * 151
    assert found[225] == pytest.approx(0.1 * 0.5 * math.exp(-0.01 * 0.25), rel=1e-12)
    assert lr_scale(schedule, 300, 300) == pytest.approx(0, abs=1e-12)
    assert lr_scale(ScheduleSettings(name="cosine", start=9), 5, 3) == 1.0
