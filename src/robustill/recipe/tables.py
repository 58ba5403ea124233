"""The tables of a recipe, except `[training]`, which is `robustill.training.Settings`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from robustill.training.settings import Number, Table


class DataTable(Table):
    """Which data, and how much of it validates."""

    name: str = Field(description="a name of `robustill list data`, or a path: a folder of images, an `.npz` file")
    root: str | None = Field(default=None, description="folder of a data set known by name, where it is not found")
    validation: float | int = Field(
        default=0.1, ge=0, description="share (below 1) or number of training images that select the epoch; 0: none"
    )
    seed: int = Field(default=0, ge=0, description="seed of the validation split and of `limit`")
    size: int | None = Field(
        default=None, ge=1, description="pixels that image files are resized to, for those of several sizes"
    )
    limit: int | None = Field(default=None, ge=1, description="cap on training and on test images, for quick looks")
    stream: bool | None = Field(
        default=None,
        description="read image files when they are due instead of at the start; from 2 GB of pixels on when left out",
    )
    crop: int | None = Field(
        default=None, ge=0, description="pixels of padding of the random crop; the data set's when left out"
    )
    flip: bool | None = Field(default=None, description="random mirroring; the data set's when left out")


class StudentTable(Table):
    """The network that is trained, from fresh weights or from `weights`."""

    architecture: str = Field(description="a name of `robustill list models`, or of a network of your own")
    normalize: bool = Field(
        default=False, description="subtract the data's mean and divide by its deviation, inside the network"
    )
    arguments: dict[str, Any] = Field(default={}, description="arguments of the architecture, such as `width`")
    weights: str | None = Field(
        default=None, description="file or run folder to start from, its network as it is; fresh weights when left out"
    )


class TeacherTable(Table):
    """A teacher that needs more than its source; otherwise its source alone will do."""

    source: str = Field(
        description="run folder, file, `ARCH@file.pt`, `robustbench:NAME`, `timm:NAME` or `hf-hub:ID`; an architecture "
        "for a network that starts from fresh weights"
    )
    mean: tuple[float, ...] | None = Field(
        default=None, description="input mean per channel; for an `ARCH@file.pt` that does not normalise inside"
    )
    std: tuple[float, ...] | None = Field(default=None, description="input deviation per channel, with `mean`")
    arguments: dict[str, Any] = Field(default={}, description="arguments of the architecture")


class MethodTable(Table):
    """A method by name; every other key is one of its keyword arguments, `base` the method that a wrapper wraps."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = Field(description="a name of `robustill list methods`, or of a method of your own")
    base: MethodTable | None = Field(
        default=None, description="the method inside igdm, fair_ard, vfd_adv or soften; the same keys again"
    )


class AttackTable(Table):
    """The training attack; what is left out keeps the method's default."""

    eps: Number | None = Field(default=None, ge=0, description="radius, in units of pixels in [0, 1]")
    step_size: Number | None = Field(default=None, gt=0, description="length of one step, in the unit of `eps`")
    steps: int | None = Field(default=None, ge=0, description="steps per batch; each costs a forward and backward pass")
    norm: Literal["Linf", "L2"] | None = Field(
        default=None, description="norm of the ball; another one than the method's needs `eps` and `step_size` too"
    )
    init: Literal["uniform", "gaussian", "none"] | None = Field(
        default=None, description="start: uniform in the ball, the image with Gaussian noise, or the image itself"
    )
    sigma: float | None = Field(default=None, gt=0, description="deviation of the gaussian start, in the unit of `eps`")
    restarts: int | None = Field(
        default=None, ge=1, description="independent attacks; the best one of each image counts"
    )
    large_step: bool | None = Field(default=None, description="allow a `step_size` larger than `eps`")


class EvaluationTable(Table):
    """What `robustill evaluate RUN` does unless told otherwise."""

    eps: Number | None = Field(
        default=None, ge=0, description="radius, in units of pixels in [0, 1]; the training attack's when left out"
    )
    norm: Literal["Linf", "L2"] | None = Field(default=None, description="the training attack's when left out")
    attacks: tuple[str, ...] = Field(
        default=("fgsm", "pgd20", "cw"), description="attacks by name, as `robustill evaluate --attacks` takes them"
    )
