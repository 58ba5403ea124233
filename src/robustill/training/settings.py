"""Everything that decides a training run besides its method and data; recipes read and write these tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from robustill.errors import InputError, nearest


def as_number(value: Any) -> Any:
    """Read "8/255" as a number; leave anything else to the validator."""
    if isinstance(value, str) and value.count("/") == 1:
        over, under = (float(part) for part in value.split("/"))
        if under == 0:
            raise ValueError("a fraction over zero")
        return over / under
    return value


Number = Annotated[float, BeforeValidator(as_number)]
"""A number, or a fraction written as text: `"8/255"`."""


class Table(BaseModel):
    """Base of all recipe tables: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)


class OptimizerSettings(Table):
    """How weights move."""

    name: Literal["sgd", "adamw"] = Field(default="sgd", description="SGD with momentum, or AdamW")
    lr: float = Field(default=0.1, gt=0, description="peak learning rate")
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="SGD only: share of the last step that goes into the next"
    )
    nesterov: bool = Field(default=False, description="SGD only: Nesterov's momentum")
    weight_decay: float = Field(default=2e-4, ge=0, description="decay of all weights, biases and batch norms included")


class ScheduleSettings(Table):
    """How the learning rate moves, as a share of `optimizer.lr`."""

    name: Literal["piecewise", "cosine", "one_cycle", "constant"] = Field(
        default="piecewise",
        description="drops at milestones, a cosine down to zero, a climb to the peak and a fall, or always the peak",
    )
    milestones: tuple[float, ...] = Field(default=(), description="piecewise: epochs completed before each drop")
    factor: float = Field(default=0.1, gt=0, le=1, description="piecewise: multiplier at each milestone")
    warmup: float = Field(default=0.3, ge=0, lt=1, description="one_cycle: share of the run that climbs to the peak")
    drops: Literal["all", "first"] = Field(
        default="all", description="piecewise: first: no drop after the first milestone, as in ARD's released code"
    )
    start: float = Field(default=0.0, ge=0, description="cosine: epochs at the full rate before the fall")
    damping: float = Field(default=0.0, ge=0, description="cosine: extra factor exp(-damping (share of the fall)^2)")
    warmup_epochs: float = Field(
        default=0.0, ge=0, description="epochs that climb to the peak before anything falls; one_cycle has `warmup`"
    )

    @model_validator(mode="after")
    def _one_warm_up(self) -> ScheduleSettings:
        if self.name == "one_cycle" and self.warmup_epochs:
            raise ValueError("one_cycle climbs for a share of the run: set warmup instead of warmup_epochs")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what runs of before did not know where it is off, so that they go on and are found again."""
        found: dict[str, Any] = dump(self)
        return found if self.warmup_epochs else {key: found[key] for key in found if key != "warmup_epochs"}


class AverageSettings(Table):
    """Weight averaging; the averaged student is then the one that is selected and saved."""

    name: Literal["none", "ema", "swa"] = Field(
        default="none", description="exponential average over steps, or the mean of the weights at the ends of epochs"
    )
    decay: float = Field(
        default=0.999, gt=0, lt=1, description="ema: share of the old average in the new one, per optimizer step"
    )
    start: int = Field(
        default=0, ge=0, description="0-based epoch whose end first enters the average (ema: start of it)"
    )
    batch_norm: Literal["auto", "average", "reestimate"] = Field(
        default="auto",
        description="average: of the statistics, as of the weights; reestimate: a pass over the training data; auto: "
        "average for ema, reestimate for swa",
    )


class AWPSettings(Table):
    """Adversarial weight perturbation around any method with an adversary; gamma 0 switches it off."""

    gamma: float = Field(default=0.0, ge=0, lt=1, description="size of the perturbation relative to each weight's norm")
    warmup: int = Field(default=0, ge=0, description="epochs without it")


class SelectionSettings(Table):
    """Which epoch's student is kept, judged on the validation split (never on the test set)."""

    metric: Literal["auto", "robust", "clean", "wra", "last"] = Field(
        default="auto",
        description="accuracy that chooses the epoch (wra: mean of clean and robust), or the last one; auto: robust "
        "for methods with an adversary, clean for others, and the last epoch where the loss changes during the run "
        "(certified training)",
    )
    every: int = Field(default=1, ge=1, description="epochs between judgements; the last epoch is always judged")
    steps: int = Field(default=10, ge=1, description="PGD steps of the judging attack, each of a quarter of eps")
    eps: Number | None = Field(
        default=None, ge=0, description="radius of the judging attack; the training one's when left out"
    )


class OverfittingSettings(Table):
    """Robust accuracy on training images, judged whenever the validation split is; 0 images switch it off."""

    images: int = Field(
        default=0,
        ge=0,
        description="training images, drawn by the seed and not augmented; each costs what a validation image does",
    )
    subset: str | None = Field(
        default=None,
        description="file of `robustill unlearnable`: half of the images are unlearnable ones, half learnable, and "
        "each half is reported by itself",
    )


class GuideSettings(Table):
    """A network that is trained beside the student (a peer, a guide): its own optimizer and schedule."""

    optimizer: OptimizerSettings | None = Field(
        default=None, description="as `[training.optimizer]`; the student's when left out"
    )
    schedule: ScheduleSettings | None = Field(
        default=None, description="as `[training.schedule]`; the student's when left out"
    )


class Settings(Table):
    """One training run.

    >>> Settings(epochs=5, batch_size=32, optimizer={"lr": 0.05}).optimizer.lr
    0.05
    """

    epochs: int = Field(default=30, ge=1, description="passes over the training images")
    batch_size: int = Field(default=128, ge=1, description="images per optimizer step, of all processes together")
    seed: int = Field(
        default=0, ge=0, lt=2**63, description="seed of fresh weights, order, augmentation and random starts"
    )
    device: str = Field(
        default="auto", description="`auto`, `cpu`, `cuda`, `cuda:1` or `mps`; auto: a GPU where there is one"
    )
    mixed_precision: Literal["no", "bf16", "auto"] = Field(
        default="no",
        description="type that networks compute in besides float32; auto: bf16 where the device is faster in it (CPUs "
        "with AMX, GPUs from Ampere on), else no. A run that is resumed elsewhere goes on as it began",
    )
    channels_last: bool = Field(
        default=False, description="store images pixel by pixel, which some GPUs are faster in; equal up to rounding"
    )
    micro_batches: int = Field(
        default=1,
        ge=1,
        description="parts of a batch, attacked and learned one after the other with their gradients added: the "
        "memory of one part. Not the same to the last digit: random starts differ, and batch norm normalises and "
        "counts each part by itself. Methods whose loss or state looks at the whole batch refuse it",
    )
    sync_batch_norm: bool = Field(
        default=True,
        description="with several processes, batch norm normalises by the statistics of the whole batch, as one "
        "process does; false: each process by those of its own share, and the running statistics are averaged",
    )
    spread_teachers: bool = Field(
        default=False,
        description="with several processes, each holds a part of every frozen teacher (FSDP) and gets the rest when "
        "needed: for teachers that do not fit beside the student; slower",
    )
    attack_view: bool = Field(
        default=True,
        description="attack copies with folded batch norms, in the training precision; equal up to rounding",
    )
    compile: bool = Field(
        default=False,
        description="compile these copies by torch.compile, in the first step: seconds that pay in long runs of "
        "residual networks; equal up to rounding. Needs a C++ compiler, on a GPU Triton",
    )
    first_attack_steps: int | None = Field(
        default=None,
        ge=1,
        description="steps of the training attack in the first epoch, growing to attack.steps in equal shares of the "
        "epochs; fewer steps are as much longer, up to eps. All of them from the start when left out, or in the only "
        "epoch",
    )
    remember_teachers: bool = Field(
        default=True,
        description="ask frozen teachers about the training images once per run where nothing augments them; equal "
        "up to rounding",
    )
    threads: int = Field(
        default=0, ge=0, description="CPU threads; 0 is PyTorch's choice, 1 is fastest for the small CNNs"
    )
    deterministic: bool = Field(default=True, description="deterministic kernels on a GPU; the CPU always is")
    loss_scale: float = Field(default=1.0, gt=0, description="factor of the loss; 0.1 is the RSLAD family's KL scale")
    clip_norm: float | None = Field(default=None, gt=0, description="largest norm of the gradient; longer ones are cut")
    workers: int = Field(default=0, ge=0, description="loader processes, for data that streams from disk")
    checkpoint_steps: int = Field(default=0, ge=0, description="also save every N steps; each epoch's end always is")
    log_steps: int = Field(default=50, ge=1, description="steps between lines of metrics.jsonl")
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    guides: dict[str, GuideSettings] = Field(
        default={}, description="for networks trained beside the student, by the method's name for them"
    )
    average: AverageSettings = AverageSettings()
    awp: AWPSettings = AWPSettings()
    selection: SelectionSettings = SelectionSettings()
    overfitting: OverfittingSettings = OverfittingSettings()


def changed(settings: Settings | None, changes: Mapping[str, Any]) -> Settings:
    """Return `settings`, or all defaults, with some fields replaced.

    Raises:
        InputError: There is no such setting, or a value is impossible.
    """
    for name in changes.keys() - Settings.model_fields.keys():
        raise InputError(f"there is no setting {name!r}", nearest(name, Settings.model_fields))
    try:
        return Settings.model_validate({**(settings or Settings()).model_dump(), **changes})
    except ValidationError as error:
        found = error.errors(include_url=False)
        said = [f"{'.'.join(map(str, each['loc']))} = {each['input']!r}: {each['msg']}" for each in found]
        raise InputError("; ".join(said), "robustill.training.Settings lists the settings and their ranges") from error
