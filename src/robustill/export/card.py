"""The model card: what the files are, how robust they are and against whom, and how they were made."""

from __future__ import annotations

from collections.abc import Sequence

from robustill.export.card_code import command, snippets
from robustill.export.card_head import head
from robustill.export.formats import FILES
from robustill.export.measurement import SQUARE
from robustill.export.origin import Origin
from robustill.export.result import Exported
from robustill.report.page.attacks import accuracies
from robustill.report.page.content import Block, Code, Figure, Points, Section, Table, Words
from robustill.report.page.folder import reading
from robustill.report.page.markdown import to_markdown
from robustill.report.page.numbers import count
from robustill.report.page.origin import origins, reproduction
from robustill.report.page.summary import selection, summary, threat_model
from robustill.report.page.warnings import warnings

_KINDS = {
    "safetensors": "weights and architecture, for robustill",
    "onnx": "ONNX, float32, any batch size",
    "int8": "ONNX, eight bits, any batch size",
    "torch-export": "torch.export program, any batch size",
}


def card(exported: Exported, origin: Origin) -> str:
    """Return the card as Markdown with a YAML head, as the Hugging Face hub reads it.

    Text that comes from files cannot become markup, nor keys of the head.

    Raises:
        CheckpointError: A file of the run has another form than robustill writes.
    """
    sections = [
        Section("use", "Use", _use(exported, origin)),
        Section("threat", "Threat model", _threat(exported, origin)),
        Section("accuracy", "Accuracy of the network", _accuracy(origin)),
        Section("files", "Accuracy of the files, measured again", _measured(exported)),
        Section("training", "Training", _training(origin)),
        Section("limits", "Limits", [Points(list(_limits(exported, origin)))]),
        Section("reproduction", "Reproduction", _reproduction(exported, origin)),
    ]
    body = to_markdown(exported.name, [each for each in sections if each.blocks])
    return head(exported, origin) + "\n" + body


def _use(exported: Exported, origin: Origin) -> list[Block]:
    model = exported.model
    shape = " x ".join(map(str, model["shape"]))
    names = model["class_names"]
    words = f"{model['architecture']} with {count(model['parameters'])} parameters: images of {shape} in [0, 1], " \
        f"not normalised, to the logits of {model['num_classes']} classes."  # fmt: skip
    found: list[Block] = [Words(words)]
    if names:
        found.append(Words("Classes in the order of the logits: " + ", ".join(names) + "."))
    rows = [
        (each.file, _KINDS[name], count(each.bytes), f"{each.parity.largest_difference:.2g}", each.sha256)
        for name, each in exported.files.items()
        if name in FILES and each.parity is not None
    ]
    columns = ("file", "what", "bytes", "largest logit difference", "SHA-256")
    images = max((each.parity.images for each in exported.files.values() if each.parity is not None), default=0)
    found.append(Table(f"Files; logits compared with the network's on {images} images", columns, rows))
    return [*found, *(Code(label, text) for label, text in snippets(exported, origin.repository))]


def _threat(exported: Exported, origin: Origin) -> list[Block]:
    if origin.run is not None and origin.run.content("evaluation") is not None:
        with reading(origin.run, "evaluation"):
            return threat_model(origin.run)
    if not exported.evaluations:
        return [Words("No robustness was measured, so nothing is promised against any attacker.")]
    threat = exported.measured["threat"]
    words = (
        f"The attacker knows the network and its weights and may move each image by up to {threat['eps']:.4g} in the "
        f"{threat['norm']} norm, with pixels in [0, 1], towards any wrong class."
    )
    return [Words(words)]


def _accuracy(origin: Origin) -> list[Block]:
    run = origin.run
    if run is None or run.content("evaluation") is None:
        return []
    with reading(run, "evaluation"):
        first = accuracies(run, "card")[0]
        return [*summary(run), first.table if isinstance(first, Figure) else first]


def _measured(exported: Exported) -> list[Block]:
    if not exported.evaluations:
        return [Words("The files were not attacked.")]
    about = exported.measured
    words = (
        f"Each file was attacked again, on {count(about['images'])} {about['split']} images: by the examples that the "
        "attacks found with the gradients of the network"
    )
    if about["queries"]:
        words += f", and by {SQUARE} with {count(about['queries'])} queries of the logits of the file itself"
    words += ". An attacker who has the file can do at least that; the figures are upper bounds."
    table = Table("Accuracy in %, with 95% intervals", ("", *exported.evaluations), exported.rows())
    return [Words(words), table]


def _training(origin: Origin) -> list[Block]:
    run = origin.run
    if run is None or not run.recipe:
        return []
    teachers = run.recipe.get("teachers") or {}
    words = f"Trained with robustill by the method {run.setting('method', 'name')} on {run.setting('data', 'name')}"
    words += f", guided by {', '.join(f'{key}: {value}' for key, value in teachers.items())}." if teachers else "."
    with reading(run, "metrics"):
        return [Words(words), *selection(run)]


def _limits(exported: Exported, origin: Origin) -> Sequence[str]:
    found = list(exported.warnings)
    if origin.run is not None:
        found += warnings(origin.run)
    found += [
        "Attacks bound robust accuracy from above: a stronger one may find more.",
        "Nothing is known of other perturbations than those of the threat model (other norms, larger radii, rotations, "
        "noise, weather), nor of images unlike those it was trained on.",
        "It gives one of its classes to any image at all.",
    ]
    if "torch-export" in exported.files:
        found.append("Loading a .pt2 file may execute code. Load this one only from where you trust its digest.")
    if origin.license is None:
        found.append("No licence was given: ask the owner before you use it.")
    return found


def _reproduction(exported: Exported, origin: Origin) -> list[Block]:
    found: list[Block] = []
    if origin.run is not None:
        found.append(Words("Of absolute paths only the last name is shown: put your own in their places."))
        with reading(origin.run, "evaluation"):
            found += reproduction(origin.run)
    found.append(Code("Export", command(origin.options)))
    rows: list[tuple[str, str, str]] = [("network", "SHA-256 of the model", str(exported.model["model_digest"]))]
    rows += [("export.json", f"version of {what}", which) for what, which in exported.versions.items()]
    found.append(Table("Versions and digests", ("file", "what", "value"), rows))
    if origin.run is not None:
        with reading(origin.run, "evaluation"):
            found += origins(origin.run)
    return found
