"""What the report says of the unlearnable set and of the plane of a landscape."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest

from robustill.errors import CheckpointError
from robustill.report import build_page
from tests.report import folders
from tests.report.parsed import Parsed
from tests.report.test_page import checked


def page(*runs: Path) -> tuple[str, Parsed]:
    html = build_page(runs).to_html()
    return html, Parsed(html)


def chart(html: str, id_: str) -> str:
    found = html[html.index(f'aria-labelledby="{id_}-title') :]
    return found[: found.index("</svg>")]


def test_the_unlearnable_set(tmp_path: Path) -> None:
    html, parsed = page(folders.with_everything(tmp_path / "run"))
    assert "10 (25.0%) are wrong under pgd10 (Linf eps 0.1) for all 3 references" in html
    assert "20 (50.0%) are right for all 3 references" in html
    assert parsed.cells("Images by the number of references")[1:] == [
        ["0", "10", "25.00"], ["1", "4", "10.00"], ["2", "6", "15.00"], ["3", "20", "50.00"],
    ]  # fmt: skip
    assert parsed.cells("Images in both sets by references")[2] == ["2", "12.5", "22.0"]
    assert "Unlearnable: 40.0% with one reference, 25.0% with 3." in html
    assert "overlaps by 0.50 to 0.75 (Jaccard)" in html
    # The weakest class first.
    assert parsed.cells("Both sets by class")[1:] == [
        ["dog", "24", "8", "33.3", "8", "33.3"], ["cat", "16", "2", "12.5", "12", "75.0"],
    ]  # fmt: skip
    bars = re.findall(r'width="([\d.]+)" height="16"', chart(html, "run-unlearnable-classes"))
    assert [float(width) / 3.8 for width in bars] == pytest.approx([33.33, 33.33, 12.5, 75.0], abs=0.01)
    assert parsed.cells("Labels to look at")[1:] == [["5", "cat", "dog"]]
    assert parsed.cells("Least learnable of 10 images")[1:] == [["1", "cat", "dog"], ["2", "dog", "not one class"]]
    alts = [each.attributes["alt"] for each in parsed.all("img")]
    assert "least learnable, number 1: labelled cat, seen as dog" in alts


def test_one_reference_has_no_stability(tmp_path: Path) -> None:
    folder, content = folders.with_everything(tmp_path / "run"), folders.unlearnable()
    content |= {"references": ["pgd_at/0"], "histogram": [15, 25], "jaccard": [[1.0]],
                "stability": content["stability"][:1], "label_errors": []}  # fmt: skip
    folders.write(folder / "unlearnable.json", content)
    html, _ = page(folder)
    checked(html)
    assert "for the one reference" in html
    assert "run-stability" not in html
    assert "Labels to look at" not in html


def test_a_folder_of_its_own_among_several_runs(tmp_path: Path) -> None:
    folders.write(tmp_path / "set" / "unlearnable.json", folders.unlearnable())
    folders.write(tmp_path / "set" / "examples.json", folders.examples())
    runs = folders.run(tmp_path / "a"), folders.run(tmp_path / "b")
    html, parsed = page(*runs, tmp_path / "set")
    checked(html)
    assert {"run-3-unlearnable", "run-3-examples"} <= set(parsed.ids())
    one, parsed = page(runs[0], tmp_path / "set")
    checked(one)
    assert {"unlearnable", "examples"} <= set(parsed.ids())


def test_thumbnails_have_the_pixels_of_the_file(tmp_path: Path) -> None:
    from PIL import Image

    _, parsed = page(folders.with_everything(tmp_path / "run"))
    sources = [each.attributes["src"].split(",")[1] for each in parsed.all("img")]
    grey, colours = (Image.open(io.BytesIO(base64.b64decode(source))) for source in sources[:2])
    assert (grey.mode, grey.size, list(grey.tobytes())) == ("L", (2, 2), [0, 255, 10, 20])
    assert (colours.mode, colours.size, list(colours.tobytes())) == ("RGB", (2, 1), [0, 255, 3, 1, 2, 3])


@pytest.mark.parametrize("pixels", [[[0, 256]], [[0.5]], [[0, 1], [2]], [], [["<"]], [[[0, 1]]]])
def test_pixels_that_are_no_image(pixels: Any, tmp_path: Path) -> None:
    folder, content = folders.with_everything(tmp_path / "run"), folders.examples()
    content["rows"][0]["images"][0]["pixels"] = pixels
    folders.write(folder / "examples.json", content)
    with pytest.raises(CheckpointError, match=r"examples\.json cannot be read"):
        page(folder)


def test_the_plane_has_the_shade_of_each_point(tmp_path: Path) -> None:
    html, parsed = page(folders.with_everything(tmp_path / "run"))
    assert parsed.cells("Rise of the loss in the plane")[1:] == [
        ["run", "-1", "0.500", "0.250", "2.000"], ["run", "0", "0.000", "0.000", "0.000"],
        ["run", "1", "-0.250", "0.125", "4.000"],
    ]  # fmt: skip
    assert "run rises by up to 4, at (1, 1), and falls by up to 0.25." in html
    plane = chart(html, "run-plane")
    assert re.findall(r'class="tick">([^<]* (?:to|up)[^<]*)<', plane)[::-1] == [
        "-0.25 to 0.05", "0.05 to 0.1", "0.1 to 0.2", "0.2 to 0.5", "0.5 to 1", "1 to 2", "2 up",
    ]  # fmt: skip
    cells = re.findall(r'<rect x="[\d.]+" y="([\d.]+)" width="(\d+)" [^>]*var\(--h(\d)\)" class="shade"', plane)
    # Three rows from the bottom; the middle one is of one shade.
    assert [shade for *_, shade in cells] == ["4", "3", "6", "0", "0", "2", "6"]
    assert [float(y) for y, _, _ in cells] == [272, 272, 272, 172, 72, 72, 72]
    assert [int(width) for _, width, _ in cells] == [100, 100, 100, 300, 100, 100, 100]


@pytest.mark.parametrize("change", [{"radii": [0.0]}, {"losses": [[1.0]]}, {"losses": [[float("nan")] * 3] * 3}])
def test_a_plane_of_another_form(change: dict[str, Any], tmp_path: Path) -> None:
    folder, content = folders.with_everything(tmp_path / "run"), folders.landscape()
    content["runs"]["run"]["plane"] |= change
    folders.write(folder / "landscape.json", content)
    with pytest.raises(CheckpointError, match=r"landscape\.json cannot be read"):
        page(folder)


def test_networks_of_a_landscape_lie_over_each_other(tmp_path: Path) -> None:
    folder, content = folders.with_everything(tmp_path / "run"), folders.landscape()
    content["runs"]["other"] = {**content["runs"]["run"], "plane": None}
    folders.write(folder / "landscape.json", content)
    html, parsed = page(folder)
    checked(html)
    assert parsed.cells("Robust accuracy around the weights")[1:] == [
        ["-1", "31.2", "31.2"], ["0", "50.0", "50.0"], ["1", "18.8", "18.8"],
    ]  # fmt: skip
    assert parsed.cells("Highest rise of the loss along each direction")[1:] == [
        ["run", "1.000", "1.500"], ["other", "1.000", "1.500"],
    ]  # fmt: skip
    assert {row[0] for row in parsed.cells("Rise of the loss in the plane")[1:]} == {"run"}
