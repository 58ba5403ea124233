"""Export what a run folder or a model source holds; what is left out comes from the run's recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import tomli_w

from robustill.data import Data
from robustill.data.known import CIFAR10, CIFAR100, FASHION_MNIST, MNIST, TINY_IMAGENET
from robustill.errors import InputError
from robustill.export.formats import check_formats, check_packages
from robustill.export.int8 import check_quantization
from robustill.export.measurement import Measurement
from robustill.export.origin import Origin, check_license
from robustill.export.places import last_name, without_places
from robustill.export.result import Exported
from robustill.export.run import USUAL, export_model
from robustill.models import Classifier, load_model, model_digest
from robustill.models.load import check_source
from robustill.recipe import Recipe, load_recipe
from robustill.report.page.folder import Found, Run, read_run
from robustill.runs.evaluate import run_data, run_norm
from robustill.terminal import printable

_LAST = "student_last.safetensors"
_HUB = {known.name: known.hub for known in (FASHION_MNIST, MNIST, CIFAR10, CIFAR100, TINY_IMAGENET)}


def export_run(
    target: str | Path,
    out: str | Path | None = None,
    *,
    formats: Sequence[str] = ("safetensors", "onnx"),
    data: str | None = None,
    root: str | None = None,
    eps: float | None = None,
    norm: str | None = None,
    measurement: Measurement | None = USUAL,
    quantization: str = "static",
    calibration: int = 512,
    last: bool = False,
    license: str | None = None,
    repository: str | None = None,
    progress: bool = True,
) -> Exported:
    """Export a run's student, or any model source; see `export_model`.

    Args:
        target: Run folder, file, or another source that `load_model` takes.
        out: The folder; `export` in the run folder when None.
        formats: Keys of `FILES`.
        data: Data set; the run's own when None. With `root`.
        root: Folder of the data set.
        eps: Radius of the attacks; the run's own when None.
        norm: `"Linf"` or `"L2"`; the run's own when None.
        measurement: How to attack the files; None: not at all.
        quantization: Of int8: `"static"` or `"dynamic"`.
        calibration: Images of a static quantisation.
        last: Take the run's last student instead of the selected one.
        license: Identifier for the card.
        repository: OWNER/NAME on the Hugging Face hub, for the card.
        progress: Show bars.

    Raises:
        InputError: Neither the run nor the arguments say which data or radius, or where to write.
        RobustillError: As `export_model`, `load_model` and `load_data`.
    """
    # What is wrong with the call comes to light before the data is read.
    chosen = check_formats(formats)
    check_packages(chosen)
    kind = check_quantization(quantization)
    check_license(license)
    folder = Path(target)
    check_source(target)
    recipe = load_recipe(folder) if (folder / "recipe.toml").is_file() else None
    if out is None and not folder.is_dir():
        raise InputError(f"{target} is not a run folder, so nothing says where to write", "give --out DIR")
    needs_images = "int8" in chosen and kind == "static"
    found = _data(recipe, data, root, str(target), needed=measurement is not None or needs_images)
    if measurement is not None and eps is None and recipe is None:
        raise InputError(f"{target} is not a run folder, so nothing says which radius", "give --eps, or --no-measure")
    model = _model(folder, target, found, last=last)
    run, why_not = _described(folder, model, last) if recipe is not None else (None, ())
    name = printable((run.name if run is not None else "") or _stem(target))
    threat = run_norm(norm, recipe)
    radius = eps if eps is not None or recipe is None or measurement is None else recipe.eps(threat)
    again = _named(str(target), run, last, {"data": data, "eps": eps, "norm": norm})
    origin = Origin(
        run, license, _dataset(recipe, data), _options(again, chosen, quantization, calibration, measurement),
        repository, why_not,
    )  # fmt: skip
    return export_model(
        model, Path(out) if out is not None else folder / "export", formats=chosen, data=found, eps=radius,
        norm=threat, measurement=measurement, quantization=quantization, calibration=calibration,
        name=name, origin=origin, progress=progress,
    )  # fmt: skip


def _data(recipe: Recipe | None, data: str | None, root: str | None, target: str, *, needed: bool) -> Data | None:
    if data is None and not needed:
        return None
    if data is None and recipe is None:
        raise InputError(
            f"{target} is not a run folder, so nothing says which data", "give --data and --eps, or --no-measure"
        )
    return run_data(recipe, data, root)


def _model(folder: Path, target: str | Path, data: Data | None, *, last: bool) -> Classifier:
    source = folder / _LAST if last and folder.is_dir() else target
    if data is None:
        return load_model(source)
    return load_model(source, num_classes=data.num_classes, shape=data.shape)


def _described(folder: Path, model: Classifier, last: bool) -> tuple[Run, tuple[str, ...]]:
    """Return what the run says of itself, without paths of this machine, and what is left out with the reason."""
    run = read_run(folder, printable(folder.resolve().name))
    files: Mapping[str, Found] = run.files
    why_not: tuple[str, ...] = ()
    if last:
        # The selected student's numbers are not the last one's.
        files = read_run(folder / "last", "last").files if (folder / "last" / "evaluation.json").is_file() else {}
    evaluation = files.get("evaluation")
    if evaluation is not None and evaluation.content.get("model_digest") != model_digest(model):
        files, why_not = {}, ("evaluation.json is of other weights, so its figures are left out.",)
    kept = {"evaluation": _public(files["evaluation"])} if "evaluation" in files else {}
    recipe = without_places(dict(run.recipe))
    name = last_name(run.name)
    return replace(
        run, name=name, folder=Path("runs") / name, recipe=recipe, recipe_text=tomli_w.dumps(recipe), files=kept
    ), why_not


def _public(found: Found) -> Found:
    return Found(found.path, without_places(found.content))


def _dataset(recipe: Recipe | None, data: str | None) -> str | None:
    """Return the identifier of the data set on the hub, if it is known."""
    name = data if data is not None else (recipe.data.name if recipe is not None else "")
    return name.removeprefix("hf-hub:") if name.startswith("hf-hub:") else _HUB.get(name)


def _options(
    target: Sequence[str], formats: Sequence[str], quantization: str, calibration: int, how: Measurement | None
) -> tuple[str, ...]:
    found = [*target, "--formats", ",".join(formats)]
    if "int8" in formats:
        found += ["--quantization", quantization, "--calibration", str(calibration)]
    if how is None:
        return (*found, "--no-measure")
    found += ["--attacks", ",".join(how.attacks) or "none", "--queries", str(how.queries), "--images", str(how.images)]
    return (*found, "--split", how.split, "--seed", str(how.seed))


def _named(target: str, run: Run | None, last: bool, given: Mapping[str, str | float | None]) -> list[str]:
    """Return the target of the command that makes this export again, and what was said of data and threat."""
    found = (
        [last_name(target), "--out", "export"] if run is None else [f"runs/{run.name}", *(["--last"] if last else [])]
    )
    for name, value in given.items():
        found += [] if value is None else [f"--{name}", last_name(str(value))]
    return found


def _stem(target: str | Path) -> str:
    name = last_name(str(Path(target).expanduser())) or str(target)
    return Path(name).stem
