"""Images, what an attack adds to them, and what student and teachers see."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from robustill.report.page.content import Block, Exhibit, Gallery, Picture, Points, Table, Words
from robustill.report.page.folder import Run
from robustill.report.page.numbers import percent, radius

_VIEWS = (("clean", "image"), ("perturbation", "perturbation"), ("adversarial", "attacked"))
_PNG = b"\x89PNG\r\n\x1a\n"


def gallery(run: Run) -> list[Block]:
    """Return examples.

    Raises:
        ValueError: What should be a picture is none.
    """
    found = run.content("gallery")
    if found is None or not found["images"]:
        return []
    fell = sum(bool(each["fell"]) for each in found["images"])
    words = (
        f"{len(found['images'])} {found['split']} images that the student classifies right without an attack: under "
        f"{found['attack']} ({found['norm']} eps {radius(found['eps'])}) {fell} of them fall and "
        f"{len(found['images']) - fell} stand. They are chosen to show both, and say nothing of how often either "
        "happens. In a perturbation, grey is no change."
    )
    absent = [f"{name} is not shown: {reason}" for name, reason in found.get("missing", {}).items()]
    blocks: list[Block] = [Words(words), *([Points(absent)] if absent else [])]
    return [*blocks, Gallery([_exhibit(each) for each in found["images"]])]


def _exhibit(image: dict[str, Any]) -> Exhibit:
    name = f"{image['label']}, number {int(image['position'])}"
    seen = image["predictions"]["student"]["adversarial"]["class"]
    title = f"{name}: {'falls, seen as ' + seen if image['fell'] else 'stands'}"
    alts = {
        "clean": f"The image, a {image['label']}",
        "perturbation": "What the attack adds to each pixel",
        "adversarial": f"The image after the attack, seen as {seen} by the student",
    }
    pictures = [Picture(_checked(image[key]), label, alts[key]) for key, label in _VIEWS]
    rows = []
    for network, sees in image["predictions"].items():
        rows.append((network, _cell(sees["clean"]), _cell(sees["adversarial"])))
    table = Table(f"Predictions for {name}", ("network", "sees in the image", "in the attacked one"), rows)
    return Exhibit(title, pictures, table)


def _cell(prediction: dict[str, Any]) -> str:
    return f"{prediction['class']}, {percent(prediction['probability'], 0)}"


def _checked(png: str) -> str:
    """Return base64 in its one plain form."""
    try:
        raw = base64.b64decode(png, validate=True)
    except binascii.Error as error:
        raise ValueError(f"a picture is no base64: {error}") from error
    if not raw.startswith(_PNG):
        raise ValueError("a picture is no PNG")
    return base64.b64encode(raw).decode("ascii")
