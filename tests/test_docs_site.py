"""The documentation site: every page is in the menu, nothing is loaded from the network, results are the files'."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def helper(name: str) -> ModuleType:
    """Import a module that stands beside the pages."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def reference() -> dict[str, str]:
    """Return the pages that are made when the site is built."""
    pages: dict[str, str] = helper("reference_pages").pages()
    return pages


def test_every_page_is_in_the_menu_once() -> None:
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    listed = re.findall(r"([\w/-]+\.md)$", menu, flags=re.MULTILINE)
    written = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    assert sorted(listed) == sorted([*written, *reference()])


def test_links_between_pages_lead_to_pages() -> None:
    for page in DOCS.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+\.(?:md|png|svg))", page.read_text(encoding="utf-8")):
            made = os.path.relpath(page.parent / link, DOCS) in reference()
            assert made or (page.parent / link).is_file(), f"{page.relative_to(DOCS)}: {link}"


def test_links_into_the_repository_lead_to_files() -> None:
    for page in (*DOCS.rglob("*.md"), ROOT / "README.md"):
        for link in re.findall(r"robustill/blob/main/([^)#\s]+)\)", page.read_text(encoding="utf-8")):
            assert (ROOT / link).is_file(), f"{page.relative_to(ROOT)}: {link}"


@pytest.mark.parametrize(
    ("page", "loads"),
    [
        ('<script src="https://cdn.example/x.js"></script>', True),
        ("<script src=//cdn.example/x.js></script>", True),
        ('<link rel="stylesheet" href="https://fonts.example/css">', True),
        ('<link href="https://x.example/i.png" rel="icon">', True),
        ('<img alt="" src="http://x.example/i.png">', True),
        ('<IMG SRCSET="//x.example/i.png 2x">', True),
        ("<style>@import 'https://x.example/a.css';</style>", True),
        ("<style>a { background: url( //x.example/i.png) }</style>", True),
        ('<script src="assets/x.js"></script><link rel="stylesheet" href="assets/x.css"><img src="a.png">', False),
        ('<link rel="canonical" href="https://robustill.example/"><a href="https://arxiv.org/">paper</a>', False),
    ],
)
def test_what_a_page_loads_from_the_network_is_seen(tmp_path: Path, page: str, loads: bool) -> None:
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    assert bool(helper("offline").foreign(tmp_path)) is loads


def test_doctests_get_sections_of_their_own() -> None:
    pytest.importorskip("griffe", reason="needs the extra docs")
    docstring = "Return one.\n\nArgs:\n    x: Any.\n\n>>> one(x)\n[1, 2]\n\nMore.\n\n>>> one(y)\n3"
    expected = "Return one.\n\nArgs:\n    x: Any.\n\nExamples:\n    >>> one(x)\n    [1, 2]\n\n"
    expected += "More.\n\nExamples:\n    >>> one(y)\n    3\n"
    assert helper("doctests").with_examples(docstring) == expected
    assert helper("doctests").with_examples("Nothing >>> here.") == "Nothing >>> here."


def test_results_on_a_page_are_those_of_the_file() -> None:
    runs = json.loads((ROOT / "results" / "fashion-mnist-methods.json").read_text(encoding="utf-8"))["runs"]
    page = (DOCS / "methods" / "mtard.md").read_text(encoding="utf-8").replace("\u00a0", " ")
    ours, base = np.array(runs["mtard"]), np.array(runs["rslad"])
    for student, at in (("selected", 0), ("last", 3)):
        clean, pgd = ours[:, at], ours[:, at + 1]
        gap = pgd - base[:, at + 1]
        # 4.3027 is the 97.5% quantile of t with two degrees of freedom.
        half = 4.3027 * gap.std(ddof=1) / 3**0.5
        row = rf"\| `fashion-mnist_mtard_cnn-small` \| {student} \| "
        row += rf"{clean.mean():.2f} ± {clean.std(ddof=1):.2f} \| {pgd.mean():.2f} ± {pgd.std(ddof=1):.2f} \| [^|]* \| "
        row += rf"{gap.mean():.2f} \[{gap.mean() - half:+.2f}, {gap.mean() + half:+.2f}\]"
        assert re.search(row, page), row


def test_what_the_simulation_says_of_rankings_is_on_the_page() -> None:
    table = (ROOT / "results" / "theory.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[2] for line in table.splitlines() if " | " in line}
    right, all_of_them = rows["and the wrong side"], rows["and those that know little"]
    contrast = rows["the same, entropy on unlearnable less on learnable"]
    page = " ".join((DOCS / "teachers.md").read_text(encoding="utf-8").split())
    assert f"accuracy from {right} to {all_of_them}." in page
    assert f"({contrast} against {all_of_them})" in page


def test_every_method_says_what_was_measured() -> None:
    runs = json.loads((ROOT / "results" / "fashion-mnist-methods.json").read_text(encoding="utf-8"))["runs"]
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (DOCS / "methods").glob("*.md")}
    shown = set(re.findall(r"fashion-mnist_([\w-]+)_cnn-small` \| last", "".join(pages.values())))
    assert shown == set(runs)
    assert all("## Results" in text for name, text in pages.items() if name != "index")


def test_a_page_shows_the_settings_of_a_teacher_that_learns_on() -> None:
    page = (DOCS / "methods" / "ciard.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"## In a recipe\n\n```toml\n(.*?)```", page, flags=re.DOTALL)
    shipped = tomllib.loads((ROOT / "recipes" / "cifar10_ciard_resnet18.toml").read_text(encoding="utf-8"))["training"]
    assert shipped["guides"].keys() == {"teacher_adv"}
    assert tomllib.loads(snippet)["training"] == {key: shipped[key] for key in ("loss_scale", "guides")}


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert (tmp_path / "site" / "tutorial.html").is_file()
    for package in helper("reference_pages").PACKAGES:
        page = (tmp_path / "site" / "reference" / f"{package}.html").read_text(encoding="utf-8")
        module = importlib.import_module(f"robustill.{package}")
        anchors = set(re.findall(r'<h2 id="robustill\.[\w.]*?(\w+)"', page))
        assert set(getattr(module, "__all__", ["kl_div", "dlr", "margin"])) <= anchors, package
