"""The report: what it says, what it leaves out, and that it is a whole page that loads nothing."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustill.errors import CheckpointError
from robustill.report import build_page, write_page
from tests.report import folders
from tests.report.parsed import Parsed, outside

PARTS = [
    "warnings", "summary", "threat", "selection", "attacks", "curve", "training", "adaptive", "overfitting",
    "calibration", "certified", "unlearnable", "examples", "teachers", "landscape", "gallery", "reproduction",
    "origins",
]  # fmt: skip


def page(*runs: Path) -> tuple[str, Parsed]:
    html = build_page(runs).to_html()
    return html, Parsed(html)


def checked(html: str) -> Parsed:
    """Check what holds for every page."""
    parsed = Parsed(html)
    assert parsed.mistakes == []
    assert outside(html) == []
    assert len(parsed.ids()) == len(set(parsed.ids()))
    for image in parsed.all("img"):
        assert image.attributes["alt"].strip()
    titles = {each.attributes["id"]: each.text for each in parsed.elements if each.tag in ("title", "desc", "h2", "h3")
              and "id" in each.attributes}  # fmt: skip
    assert parsed.all("svg")
    for svg in parsed.all("svg"):
        named = svg.attributes["aria-labelledby"].split()
        assert len(named) == 2
        assert all(titles[name].strip() for name in named)
    for table in parsed.all("table"):
        assert re.search(r"\S", table.text)
    assert len(parsed.all("caption")) == len(parsed.all("table"))
    assert all("scope" in each.attributes for each in parsed.all("th"))
    ids = set(parsed.ids())
    links = [each.attributes["href"] for each in parsed.all("a")]
    assert all(link[1:] in ids for link in links)
    for tag in ("main", "nav", "header", "footer", "h1"):
        assert len(parsed.all(tag)) == 1, tag
    return parsed


def test_a_run_with_everything_has_every_section_in_order(tmp_path: Path) -> None:
    html, parsed = page(folders.with_everything(tmp_path / "run"))
    assert parsed.sections() == PARTS
    checked(html)


@pytest.mark.parametrize(
    ("file", "part"),
    [("diagnostics", "overfitting"), ("calibration", "calibration"), ("certification", "certified"),
     ("unlearnable", "unlearnable"), ("examples", "examples"), ("teachers", "teachers"),
     ("landscape", "landscape"), ("gallery", "gallery")],
)  # fmt: skip
def test_a_section_is_there_where_its_file_is(file: str, part: str, tmp_path: Path) -> None:
    folder = folders.with_everything(tmp_path / "run")
    (folder / f"{file}.json").unlink()
    assert page(folder)[1].sections() == [each for each in PARTS if each != part]


def test_the_numbers_are_those_of_the_files(tmp_path: Path) -> None:
    folder = folders.with_everything(tmp_path / "run")
    html, parsed = page(folder)
    # 36 of 40 right, 22 under pgd20, indices 2 to 24 under cw: 20 under both.
    text = next(each.text for each in parsed.all("p") if each.text.startswith("Of 40"))
    for words in (
        "Of 40 test images, 36 are classified right", "20 (50.0%) stay right", "between 37.5% and 56.2%",
        "strongest single attack is pgd20, which leaves 55.0%", "upper bound",
    ):  # fmt: skip
        assert words in text
    assert parsed.cells("Accuracy in % on 40 images")[1:] == [
        ["no attack", "90.00", "77.5 to 96.2", "-"],
        ["pgd20", "55.00", "42.5 to 61.3", "50.00"],
        ["cw", "57.50", "45.0 to 63.7", "50.00"],
        ["worst case", "50.00", "37.5 to 56.2", "62.50"],
    ]
    assert parsed.cells("Accuracy on the validation split, %")[1:] == [
        ["selected", "2", "75.00", "50.00", "62.50"], ["last", "3", "87.50", "37.50", "62.50"],
    ]  # fmt: skip
    assert "epoch 2 of 3, the first with the best robust accuracy" in html
    assert parsed.cells("Worst case of pgd20 over the radius")[1:] == [
        ["0", "90.00", "77.5 to 96.2"], ["0.05", "75.00", "62.5 to 81.2"], ["0.2", "12.50", "0.0 to 18.8"],
    ]  # fmt: skip
    assert parsed.cells("Certified accuracy over the radius")[1][:4] == ["0.05", "20.00", "7.5 to 26.2", "70.00"]
    assert "within eps 0.05, 20.0% are proven right by crown and 70.0% stand up to the attacks that were tried" in html
    assert "mean is at least 0.125 and, certified by crown, at most 0.438" in html
    assert "Proven for any attack within eps 0.05: 20.0% stay right." in html
    assert parsed.cells("Relative calibration (mean)")[1] == ["0.05", "0.1250", "0.4375", "75.0", "75.0"]
    assert parsed.cells("Temperatures over")[1:] == [["1", "1"], ["2", "2"], ["3", "3"]]
    assert parsed.cells("Weights over")[3] == ["3", "0.75", "0.25"]
    assert [row[0] for row in parsed.cells("Teachers in the order")[1:]] == ["wide", "tiny"]
    assert "tiny is not ranked: knows nothing." in html
    assert parsed.cells("Predictions for cat, number 7")[1:] == [
        ["student", "cat, 75%", "dog, 50%"], ["teacher", "cat, 100%", "cat, 25%"],
    ]  # fmt: skip
    assert "a gap of 12.5 points; differences of up to 15.0 points are noise" in html
    assert "d" * 64 in html


def test_the_figures_show_the_same(tmp_path: Path) -> None:
    html, _ = page(folders.with_everything(tmp_path / "run"))
    chart = html[html.index('aria-labelledby="run-attacks-title') :]
    chart = chart[: chart.index("</svg>")]
    # The axis runs over 380 units from 0% to 100%.
    bars = re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', chart)
    assert [float(width) / 3.8 for _, width in bars] == pytest.approx([90, 55, 57.5, 50], abs=0.01)
    assert ">57.5%</text>" in chart
    start = float(bars[0][0])
    ends = [(float(low) - start) / 3.8 for low in re.findall(r'<line x1="([\d.]+)" x2="[\d.]+" y1="50"', chart)]
    assert ends[0] == pytest.approx(42.5, abs=0.01)


@pytest.mark.parametrize("count", [2, 4])
def test_several_runs(count: int, tmp_path: Path) -> None:
    runs = [folders.run(tmp_path / f"r{k}") for k in range(count)]
    html, parsed = page(*runs)
    checked(html)
    assert parsed.sections()[:3] == ["warnings", "summary", "comparison"]
    assert [each for each in parsed.sections() if re.fullmatch(r"run-\d", each)] == [
        f"run-{k + 1}" for k in range(count)
    ]
    rows = parsed.cells("Runs side by side")
    assert [row[0] for row in rows] == ["run", *(f"r{k}" for k in range(count))]
    assert rows[1][1:] == ["rslad", "Linf 0.1", "40", "90.00", "55.00", "57.50", "50.00", "37.5 to 56.2", "62.50"]
    assert len(parsed.cells("Paired differences")) == 1 + 2 * count * (count - 1) // 2


def test_folders_of_other_verbs_add_their_sections(tmp_path: Path) -> None:
    run = folders.run(tmp_path / "run")
    folders.write(tmp_path / "ranked" / "teachers.json", folders.teachers())
    folders.write(tmp_path / "around" / "landscape.json", folders.landscape())
    sections = page(run, tmp_path / "ranked", tmp_path / "around")[1].sections()
    assert [each for each in sections if each in ("comparison", "teachers", "landscape")] == ["teachers", "landscape"]
    html, parsed = page(run, folders.run(tmp_path / "b"), tmp_path / "ranked")
    assert "run-3-teachers" in parsed.ids()
    assert "Report on 2 runs" in html


def test_a_run_without_an_evaluation(tmp_path: Path) -> None:
    folder = folders.run(tmp_path / "run")
    (folder / "evaluation.json").unlink()
    html, parsed = page(folder)
    assert parsed.sections() == ["warnings", "summary", "selection", "training", "adaptive", "reproduction", "origins"]
    assert f"no evaluation.json. Get it with: robustill evaluate {folder}" in html
    assert "has not been evaluated on test images" in html
    assert "50.0%" in html


def test_only_an_evaluation(tmp_path: Path) -> None:
    folders.write(tmp_path / "m" / "evaluation.json", folders.evaluation())
    html, parsed = page(tmp_path / "m")
    checked(html)
    assert parsed.sections() == ["warnings", "summary", "threat", "attacks", "reproduction", "origins"]


def test_nothing_from_a_file_becomes_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    folder = folders.with_everything(tmp_path / evil.replace("/", "\u2215"))
    content = folders.evaluation(names=(evil, "</title></svg>dog"), **{evil: folders.PGD})
    content |= {"data": evil, "split": evil, "data_digest": evil, "versions": {evil: evil}}
    content["checks"]["x"] = {"name": evil, "fired": True, "value": {}, "says": evil}
    folders.write(folder / "evaluation.json", content)
    (folder / "recipe.toml").write_text(
        f"title = '''{evil}'''\n[method]\nname = '''{evil}'''\n" + "# </code></pre>" + evil
    )
    for file in ("teachers", "gallery", "landscape", "unlearnable", "examples"):
        text = (folder / f"{file}.json").read_text()
        for name in ("wide", "cat", '"run"', "knows nothing", "least learnable", "pets"):
            text = text.replace(name, json.dumps(evil) if name[0] == '"' else json.dumps(evil)[1:-1])
        (folder / f"{file}.json").write_text(text)
    folders.lines(folder / "metrics.jsonl", [{**line, f"w_{evil}": 1.0, evil: 0.5} for line in folders.epochs()])
    html, _ = page(folder)
    parsed = checked(html)
    assert len(parsed.all("script")) == 1
    assert all("onerror" not in each.attributes for each in parsed.elements)
    assert all(each.attributes["src"].startswith("data:image/png;base64,iVBOR") for each in parsed.all("img"))
    both, _ = page(folder, folders.run(tmp_path / "b"))
    assert len(checked(both).all("script")) == 1
    markdown = build_page([folder]).to_markdown()
    outside_code = re.sub(r"(?ms)^(`{3,})\n.*?^\1$", "", markdown)
    assert "<script" not in outside_code.replace("\\<script", "")
    assert "<img" not in outside_code.replace("\\<img", "")


def test_names_do_not_steer_a_terminal_or_break_the_page(tmp_path: Path) -> None:
    folder = folders.run(tmp_path / "a\u202e\x1bb")
    content = folders.evaluation(names=("\x1b[2J\u202ecat", "\udcff"))
    folders.write(folder / "evaluation.json", content)
    files = write_page(build_page([folder]), tmp_path / "out" / "p.html", markdown=True)
    assert [file.name for file in files] == ["p.html", "p.md"]
    for file in files:
        assert file.read_text(encoding="utf-8")
    assert "a\\u202e\\x1bb" in build_page([folder]).title


def test_only_its_own_script_may_run(tmp_path: Path) -> None:
    html, parsed = page(folders.run(tmp_path / "run"))
    digest = base64.b64encode(hashlib.sha256(parsed.all("script")[0].text.encode()).digest()).decode()
    policy = next(each.attributes["content"] for each in parsed.all("meta") if "http-equiv" in each.attributes)
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert html.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    "file",
    [
        "evaluation",
        "calibration",
        "certification",
        "diagnostics",
        "unlearnable",
        "examples",
        "teachers",
        "landscape",
        "gallery",
    ],
)
@pytest.mark.parametrize("content", ["{", "[1]", '{"schema": 1}', "\xff", "[" * 100_000])
def test_a_damaged_file_is_one_clear_error(file: str, content: str, tmp_path: Path) -> None:
    folder = folders.with_everything(tmp_path / "run")
    (folder / f"{file}.json").write_bytes(content.encode("latin-1"))
    if file == "diagnostics" and content == '{"schema": 1}':
        assert "overfitting" not in page(folder)[1].sections()
        return
    with pytest.raises(CheckpointError, match=rf"{file}\.json cannot be read") as told:
        page(folder)
    assert told.value.hint is not None
    assert "robustill" in told.value.hint


@pytest.mark.parametrize(
    ("path", "value"),
    [(("images",), "many"), (("clean", "accuracy"), None), (("robust", "interval"), []), (("attacks",), [1]),
     (("threat", "norm"), "L7"), (("classes",), [{}]), (("checks",), {"a": 3}), (("robust", "accuracy"), float("nan")),
     (("attacks", "cw", "accuracy"), float("inf"))],
)  # fmt: skip
def test_an_evaluation_of_another_form(path: tuple[str, ...], value: Any, tmp_path: Path) -> None:
    folder, content = folders.run(tmp_path / "run"), folders.evaluation()
    at: Any = content
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    folders.write(folder / "evaluation.json", content)
    with pytest.raises(CheckpointError, match=r"evaluation\.json cannot be read: not what robustill evaluate writes"):
        page(folder)
    with pytest.raises(CheckpointError, match=r"evaluation\.json"):
        page(folders.run(tmp_path / "b"), folder)


def test_a_picture_that_is_none(tmp_path: Path) -> None:
    folder = folders.with_everything(tmp_path / "run")
    for bad in ("javascript:alert(1)", "PHN2Zz4="):
        content = folders.gallery()
        content["images"][0]["clean"] = bad
        folders.write(folder / "gallery.json", content)
        with pytest.raises(CheckpointError, match=r"gallery\.json cannot be read"):
            page(folder)


def test_other_damage(tmp_path: Path) -> None:
    folder = folders.run(tmp_path / "run")
    (folder / "recipe.toml").write_text("title = ")
    with pytest.raises(CheckpointError, match=r"recipe\.toml cannot be read"):
        page(folder)
    (folder / "recipe.toml").write_text(folders.RECIPE)
    (folder / "metrics.jsonl").write_text('{"kind": "epoch"\n{"kind": "epoch", "epoch": 0}\n')
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl cannot be read"):
        page(folder)
    (folder / "metrics.jsonl").write_text('{"kind": "epoch", "epoch": "zero", "validation": {}}\n')
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl cannot be read"):
        page(folder)
    (tmp_path / "empty").mkdir()
    for wrong, words in ((tmp_path / "none", "no such folder"), (tmp_path / "empty", "is not a run folder")):
        with pytest.raises(CheckpointError, match=words):
            page(wrong)
    good = folders.run(tmp_path / "good")
    with pytest.raises(CheckpointError, match="is given twice"):
        page(good, tmp_path / "good" / ".." / "good")
    with pytest.raises(CheckpointError, match="no run"):
        build_page([])


def test_half_a_line_at_the_end_is_a_run_that_goes_on(tmp_path: Path) -> None:
    folder = folders.run(tmp_path / "run")
    text = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(text[:2]) + text[2][:40])
    told = build_page([folder])
    assert any("not finished: 2 of 3 epochs" in each for each in told.warnings)


def test_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [folders.run(tmp_path / where / "run") for where in "ab"]
    names = [row[0] for row in page(*runs)[1].cells("Runs side by side")[1:]]
    assert names == [str(run) for run in runs]


def test_markdown_has_the_same_numbers(tmp_path: Path) -> None:
    markdown = build_page([folders.with_everything(tmp_path / "run")]).to_markdown()
    assert "| worst case | 50.00 | 37.5 to 56.2 | 62.50 |" in markdown
    assert markdown.startswith("# run: Pets: RSLAD student\n\n## Warnings\n\n- ")
    assert [line for line in markdown.splitlines() if line.startswith("## ")][2] == "## Threat model"
    assert "```\nrobustill train " in markdown
    assert "<svg" not in markdown


def test_what_the_caller_says_is_a_warning(tmp_path: Path) -> None:
    folder = folders.run(tmp_path / "run")
    assert build_page([folder], {folder: ["No gallery: no data."]}).warnings[-1] == "No gallery: no data."


def test_many_runs_are_compared_with_the_best(tmp_path: Path) -> None:
    runs = [folders.run(tmp_path / f"r{k}", pgd20=np.arange(40) < 20 + k) for k in (0, 3, 1, 2, 4)]
    rows = page(*runs)[1].cells("Paired differences")[1:]
    assert [row[0] for row in rows if row[1] == "worst case"] == [f"r4 less r{k}" for k in (0, 3, 1, 2)]
    assert [row[2] for row in rows if row[1] == "worst case"] == ["+10.00", "+2.50", "+7.50", "+5.00"]


def test_without_certificates_or_by_smoothing(tmp_path: Path) -> None:
    folder = folders.run(tmp_path / "run")
    radius = {"eps": 0.05, "certified": None, "attacked": folders.entry(28, 40)}
    folders.write(folder / "certification.json", folders.certification() | {"bounds": None, "radii": [radius]})
    calibration = folders.calibration() | {"bounds": None}
    for part, key in (("calibration", "upper"), ("agreement", "certified")):
        calibration["radii"][0][part][key] = {"mean": None, "share": None, "interval": None}
    folders.write(folder / "calibration.json", calibration)
    html, parsed = page(folder)
    checked(html)
    assert "within eps 0.05, 70.0% stand up to the attacks that were tried." in html
    assert "The truth may lie anywhere above the line" in html
    assert parsed.cells("Relative calibration (mean)")[1] == ["0.05", "0.1250", "-", "75.0", "-"]
    radius = {"eps": 0.05, "certified": folders.entry(8, 40), "attacked": None}
    smoothed = {"sigma": 0.25, "samples": 100, "right_radii": [0.02] * 22 + [0.06] * 8}
    content = folders.certification() | {"bounds": "smoothing", "radii": [radius], "smoothed": smoothed}
    folders.write(folder / "certification.json", content)
    html, parsed = page(folder)
    checked(html)
    assert "20.0% are proven right by smoothing (the network smoothed with sigma 0.25)." in html
    assert "within eps 0.05, of the smoothed network: 20.0%" in html
    assert parsed.cells("Certified accuracy over the radius")[1] == ["0.05", "20.00", "7.5 to 26.2", "-", "-"]
