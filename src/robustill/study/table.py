"""The study file: its tables, checked; unknown keys are errors that name the nearest known one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from robustill.training.settings import Number, Table


class Resources(Table):
    """What one cell takes of the machine it runs on."""

    cpus: int = Field(default=1, ge=1, description="CPU threads; also training.threads where a recipe leaves it at 0")
    gpus: float = Field(default=0, ge=0, description="GPUs; 0.5 lets two cells share one, 0 hides them from the cell")
    memory_gb: float = Field(default=0, ge=0, description="memory; 0 is not counted")


class RunTable(Table):
    """One row of the table: a recipe, what is changed in it, and how often it is run."""

    recipe: str | None = Field(default=None, description="a shipped name or a file; without one, `base` says it all")
    set: dict[str, Any] = Field(default={}, description="changes to the recipe, as in --set")
    teachers: dict[str, Any] = Field(default={}, description='"cell:NAME", "cell:NAME:last", or a run folder or file')
    seeds: int | tuple[int, ...] | None = Field(default=None, description="the study's when left out")
    grid: dict[str, Any] = Field(default={}, description="key -> list of values; every combination is a row")
    baseline: str | None = Field(
        default=None, description="row that this one is compared with; the study's if left out"
    )
    resources: Resources | None = Field(default=None, description="the study's when left out")


class EvaluateTable(Table):
    """How every cell's students are attacked; what is left out is the recipe's."""

    attacks: tuple[str, ...] | None = None
    images: int | None = Field(default=None, ge=1, description="only so many, as many of each class")
    eps: Number | None = Field(default=None, ge=0)
    norm: Literal["Linf", "L2"] | None = None
    split: Literal["test", "validation"] = "test"
    last: bool = Field(default=True, description="the last epoch's student too, beside the selected one")
    checks: bool = Field(default=True, description="look for signs that the attacks were fooled")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    seed: int = Field(default=0, ge=0)


class CalibrateTable(Table):
    """Relative calibration and agreement of every student with its teacher, as `robustill calibrate` finds them."""

    eps: tuple[Number, ...] = Field(min_length=1)
    images: int | None = Field(default=200, ge=1)
    bounds: Literal["crown", "crown-ibp", "ibp", "none"] = "crown"
    points: Literal["teacher", "student", "both"] = "teacher"
    steps: int = Field(default=40, ge=1)
    restarts: int = Field(default=5, ge=1)
    teacher: str | None = Field(default=None, description="teacher or teacher_adv when left out; others are skipped")
    seed: int = Field(default=0, ge=0)


class LandscapeTable(Table):
    """How the adversarial loss rises around the selected students, as `robustill landscape` finds it."""

    runs: tuple[str, ...] = Field(default=(), description="entries that are looked at; all when empty")
    radius: float = Field(default=0.4, gt=0)
    points: int = Field(default=5, ge=3)
    directions: int = Field(default=8, ge=1)
    flatness_at: float = Field(default=0.2, gt=0)
    images: int = Field(default=300, ge=1)
    steps: int = Field(default=10, ge=1)
    split: Literal["train", "validation", "test"] = "train"
    seed: int = Field(default=0, ge=0)


class CurvesTable(Table):
    """What journals say about training, as curves over epochs."""

    panels: tuple[tuple[str, ...], ...] = Field(
        min_length=1, description="terms of each panel as metrics.jsonl calls them; probe.NAME and validation.NAME too"
    )
    runs: tuple[str, ...] = Field(default=(), description="entries that are drawn; all that log a term when empty")


class RankingTable(Table):
    """Whether the entropy of teachers where no reference is right foretells their students."""

    references: str = Field(
        description="entry whose selected students are the references, of the students' architecture"
    )
    students: str = Field(description="entry whose rows differ by their teacher")
    teacher: str = Field(default="teacher", description="the method's name for it")
    surface: Literal["clean", "student", "teacher"] = Field(default="clean", description="what the method shows it")
    attack: str = "pgd10"
    seed: int = Field(default=0, ge=0)


class Range(Table):
    """Values between two ends; whole numbers if both ends are."""

    low: float | int
    high: float | int
    log: bool = False
    step: float | int | None = Field(default=None, gt=0)


class SearchTable(Table):
    """A search over hyperparameters, judged on the validation split alone."""

    run: str = Field(description="the entry whose hyperparameters are searched")
    space: dict[str, Any] = Field(description="key -> list of choices, or {low, high, log, step}")
    trials: int = Field(default=20, ge=1)
    batch: int = Field(default=1, ge=1, description="trials that are drawn before the results of any of them are known")
    seed: int = Field(default=0, ge=0)
    metric: Literal["robust", "clean", "wra"] = "robust"


class StudyTable(Table):
    """A grid of runs.

    >>> StudyTable(runs={"plain": {"recipe": "digits_standard_cnn-small"}}).seeds
    3
    """

    name: str = Field(default="", description="the file's name when left out")
    title: str = ""
    seeds: int | tuple[int, ...] = Field(default=3, description="3 is 0, 1, 2; or a list")
    baseline: str | None = Field(default=None, description="the row that every other one is compared with, by seed")
    retries: int = Field(default=1, ge=0, description="further tries of a cell that crashed")
    names: dict[str, Annotated[str, Field(coerce_numbers_to_str=True)]] = Field(
        default={}, description="what {NAME} in a recipe's name or an entry stands for"
    )
    base: dict[str, Any] = Field(default={}, description="changes to every recipe; entries go before it")
    set: dict[str, Any] = Field(default={}, description="changes to every recipe that go before all else; --set")
    runs: dict[str, RunTable] = Field(min_length=1)
    evaluate: EvaluateTable = EvaluateTable()
    calibrate: CalibrateTable | None = None
    landscape: LandscapeTable | None = None
    curves: CurvesTable | None = None
    ranking: RankingTable | None = None
    resources: Resources = Resources()
    search: SearchTable | None = None
