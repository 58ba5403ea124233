"""Export a network or a run: files, their robustness, the card, and `export.json`."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robustill.attacks.threat import Norm
from robustill.data import Data
from robustill.errors import InputError, ModelError
from robustill.export.card import card
from robustill.export.contents import Calibration, Content, any_images, calibrated, make_contents
from robustill.export.findings import findings
from robustill.export.formats import CARD, FILES, SUMMARY, check_formats, check_packages, versions
from robustill.export.int8 import check_quantization
from robustill.export.measurement import Examples, Measurement, examples, measure
from robustill.export.origin import Origin, check_license
from robustill.export.places import last_name
from robustill.export.result import Exported, Written
from robustill.models import Classifier, model_digest
from robustill.terminal import printable
from robustill.training.lock import hold
from robustill.training.networks import check_network
from robustill.writing import make_folder, write_json, write_whole

USUAL = Measurement()
_COMPARED = 256


@dataclass(frozen=True)
class _Plan:
    """What is asked for, checked."""

    formats: tuple[str, ...]
    quantization: Any
    calibration: int
    how: Measurement | None
    eps: float | None
    norm: Norm
    origin: Origin
    progress: bool


def export_model(
    model: Classifier,
    out: str | Path,
    *,
    formats: Sequence[str] = ("safetensors", "onnx"),
    data: Data | None = None,
    eps: float | None = None,
    norm: Norm = "Linf",
    measurement: Measurement | None = USUAL,
    quantization: str = "static",
    calibration: int = 512,
    name: str | None = None,
    origin: Origin | None = None,
    progress: bool = True,
) -> Exported:
    """Write a network to a folder in several formats, attack the files again, and write a card and `export.json`.

    Nothing is written before every file has been compared with the network.

    Args:
        model: A network of `build_model` or `load_model`; a copy on the CPU, in eval mode, is exported.
        out: The folder. Files of an earlier export that are asked for again are replaced.
        formats: Keys of `FILES`.
        data: For the comparison, the calibration of int8 and the attacks; None: logits are compared on noise.
        eps: Radius of the attacks, in pixel units of [0, 1].
        norm: `"Linf"` or `"L2"`.
        measurement: How to attack; None: not at all.
        quantization: Of int8: `"static"` or `"dynamic"`; see `quantised`.
        calibration: Images of a static quantisation, from the validation split (from training where there is none).
        name: What the model is called; its architecture when None.
        origin: What else the card says.
        progress: Show bars.

    Raises:
        InputError: An unknown format, or attacks without data or radius.
        ModelError: A format cannot hold the network, or a file does not compute what it does.
        MissingExtraError: The packages of ONNX are not installed.
        WriteError: The folder cannot be written.

    >>> import tempfile
    >>> from robustill.models import build_model
    >>> model = build_model("cnn_small", num_classes=3, shape=(1, 8, 8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = export_model(model, folder, formats=["safetensors"], measurement=None, progress=False)
    ...     print(list(found.files))
    ['safetensors', 'card']
    """
    plan = _Plan(
        check_formats(formats), check_quantization(quantization), calibration, measurement, eps, norm,
        origin or Origin(), progress,
    )  # fmt: skip
    check_license(plan.origin.license)
    check_packages(plan.formats)
    if plan.how is not None and (data is None or eps is None):
        raise InputError("attacks on the files need data and a radius", "give both, or measurement=None")
    began, folder = time.monotonic(), Path(out)
    network = _exportable(model)
    with hold(folder, "export"):
        return _export(network, data, folder, printable(name or model.spec.name), plan, began)


def _export(model: Classifier, data: Data | None, folder: Path, name: str, plan: _Plan, began: float) -> Exported:
    how = plan.how or Measurement()
    chosen = None if data is None else examples(data, how)
    if chosen is not None and data is not None:
        check_network("the network", model, chosen.x[:2], data)
    images: Calibration | None = None
    if data is not None and "int8" in plan.formats and plan.quantization == "static":
        images = calibrated(data, plan.calibration, how.seed)
    contents = make_contents(
        model, plan.formats, any_images(model, how.seed) if chosen is None else chosen.x[:_COMPARED],
        quantization=plan.quantization, calibration=images, progress=plan.progress,
    )  # fmt: skip
    make_folder(folder)
    # Until the new one is whole, nothing must vouch for the files.
    (folder / SUMMARY).unlink(missing_ok=True)
    files = {format_: _write(folder, format_, content) for format_, content in contents.items()}
    exported = Exported(
        name, files, _about(model), {}, {}, {}, versions(plan.formats),
        (*plan.origin.notes, *_stale(folder, plan.formats)),
    )  # fmt: skip
    if plan.how is not None and chosen is not None and data is not None and plan.eps is not None:
        exported = _measured(exported, model, contents, chosen, data, plan.eps, plan)
    exported = replace(exported, seconds=time.monotonic() - began)
    text = card(exported, plan.origin).encode("utf-8", "backslashreplace")
    digest = write_whole(folder / CARD, [text])
    exported = replace(exported, files={**files, "card": Written(CARD, digest, len(text))})
    write_json(exported.to_json(), folder / SUMMARY)
    return exported


def _measured(
    exported: Exported,
    model: Classifier,
    contents: dict[str, Content],
    chosen: Examples,
    data: Data,
    eps: float,
    plan: _Plan,
) -> Exported:
    how = plan.how
    assert how is not None
    networks = {name: content.network for name, content in contents.items() if content.network is not None}
    found = measure(model, networks, chosen, eps=eps, norm=plan.norm, how=how, progress=plan.progress)
    network, *_ = found.values()
    checks = {name: findings(network, found[name]) for name in networks}
    about = {
        "data": last_name(data.name), "data_digest": data.digest, "split": how.split, "images": len(chosen.y),
        "seed": how.seed, "threat": {"norm": plan.norm, "eps": eps}, "transfer": list(how.attacks),
        "queries": how.queries,
    }  # fmt: skip
    notes = exported.notes if how.queries else (*exported.notes, "No attack was made on the files' own logits.")
    return replace(exported, evaluations=found, checks=checks, measured=about, notes=notes)


def _write(folder: Path, format_: str, content: Content) -> Written:
    name = FILES[format_]
    digest = write_whole(folder / name, [content.content])
    assert digest == hashlib.sha256(content.content).hexdigest()
    return Written(name, digest, len(content.content), content.parity, content.details)


def _about(model: Classifier) -> dict[str, Any]:
    spec = model.spec
    return {
        "architecture": last_name(spec.name), "arguments": dict(spec.arguments), "num_classes": spec.num_classes,
        "shape": list(spec.shape), "class_names": None if model.class_names is None else list(model.class_names),
        "mean": spec.mean, "std": spec.std, "parameters": sum(each.numel() for each in model.parameters()),
        "model_digest": model_digest(model),
    }  # fmt: skip


def _stale(folder: Path, formats: Sequence[str]) -> tuple[str, ...]:
    """Return a note of files that an earlier export left and this one does not replace."""
    left = [file for format_, file in FILES.items() if format_ not in formats and (folder / file).exists()]
    return (f"{', '.join(left)} beside these files: of an earlier export, not of this one.",) if left else ()


def _exportable(model: object) -> Classifier:
    """Return a copy of `model` on the CPU in eval mode, if it is a network of this library."""
    if not isinstance(model, Classifier) or not hasattr(model, "spec"):
        raise ModelError(
            f"{type(model).__name__} was not made by build_model or load_model, so the shape of its input is not known",
            "load it through robustill.load_model",
        )
    return copy.deepcopy(model).cpu().eval()
