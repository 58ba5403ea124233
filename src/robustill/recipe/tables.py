"""The tables of a recipe, except `[training]`, which is `robustill.training.Settings`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from robustill.training.settings import Number, Table


class DataTable(Table):
    """Which data, and how much of it validates."""

    name: str
    root: str | None = None
    validation: float | int = Field(
        default=0.1, ge=0, description="share or number of training images that select the epoch"
    )
    seed: int = Field(default=0, ge=0, description="seed of the validation split")
    size: int | None = Field(default=None, ge=1)
    limit: int | None = Field(default=None, ge=1, description="cap on training and on test images, for quick looks")
    stream: bool | None = None
    crop: int | None = Field(default=None, ge=0, description="padding of the random crop; the data set's when left out")
    flip: bool | None = Field(default=None, description="random mirroring; the data set's when left out")


class StudentTable(Table):
    """The network that is trained, from fresh weights or from `weights`."""

    architecture: str
    normalize: bool = Field(
        default=False, description="subtract the data's mean and divide by its deviation, inside the network"
    )
    arguments: dict[str, Any] = {}
    weights: str | None = Field(default=None, description="file or run folder to start from")


class TeacherTable(Table):
    """A teacher that needs more than its source; otherwise its source alone will do."""

    source: str = Field(description="run folder, file, ARCH@file.pt, robustbench:NAME, timm:NAME or hf-hub:ID")
    mean: tuple[float, ...] | None = Field(default=None, description="per channel; for an ARCH@file that lacks them")
    std: tuple[float, ...] | None = None
    arguments: dict[str, Any] = Field(default={}, description="arguments of the architecture")


class MethodTable(Table):
    """A method by name; every other key is one of its keyword arguments, `base` the method that a wrapper wraps."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str
    base: MethodTable | None = Field(default=None, description="igdm, fair_ard, vfd_adv, soften: the method inside")


class AttackTable(Table):
    """The training attack; what is left out keeps the method's default."""

    eps: Number | None = Field(default=None, ge=0)
    step_size: Number | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=0)
    norm: Literal["Linf", "L2"] | None = None
    init: Literal["uniform", "gaussian", "none"] | None = None
    sigma: float | None = Field(default=None, gt=0)
    restarts: int | None = Field(default=None, ge=1)
    large_step: bool | None = None


class EvaluationTable(Table):
    """What `robustill evaluate RUN` does unless told otherwise."""

    eps: Number | None = Field(default=None, ge=0, description="radius; the training attack's when left out")
    norm: Literal["Linf", "L2"] | None = Field(default=None, description="the training attack's when left out")
    attacks: tuple[str, ...] = ("fgsm", "pgd20", "cw")
