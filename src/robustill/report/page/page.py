"""The report: sections of one or several runs, as a self-contained HTML page and as Markdown."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from robustill.report.page.attacks import accuracies, curve
from robustill.report.page.comparison import comparison
from robustill.report.page.content import Block, Points, Section, Words
from robustill.report.page.evidence import bracket, certified
from robustill.report.page.folder import Run, read_runs, reading
from robustill.report.page.gallery import gallery
from robustill.report.page.guides import teachers
from robustill.report.page.landscape import landscape
from robustill.report.page.markdown import to_markdown
from robustill.report.page.origin import origins, reproduction
from robustill.report.page.summary import selection, summary, threat_model
from robustill.report.page.training import adaptive, course, overfitting
from robustill.report.page.unlearnable import pictured, unlearnable
from robustill.report.page.warnings import warnings
from robustill.writing import make_folder, write_whole


@dataclass(frozen=True)
class Page:
    """A report before it is drawn.

    Args:
        title: Heading of the page.
        warnings: All of them, with the names of runs where there are several.
        sections: In the order of the page; `warnings` are the first.

    >>> from robustill.report.page.content import Section, Words
    >>> Page("Two runs", (), (Section("summary", "Summary", [Words("They differ.")]),)).to_markdown()[:10]
    '# Two runs'
    """

    title: str
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]

    def to_markdown(self) -> str:
        """Return the page as Markdown: tables instead of figures, no pictures."""
        return to_markdown(self.title, self.sections)

    def to_html(self) -> str:
        """Return the page as HTML that needs no other file and no network."""
        from jinja2 import DictLoader, Environment, StrictUndefined

        package = resources.files("robustill.report")
        names = ("page.html.j2", "page.css", "page.js")
        texts = {name: package.joinpath(name).read_text(encoding="utf-8") for name in names}
        script = texts["page.js"].strip()
        # Only this script may run, whatever a file has smuggled in.
        allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        environment = Environment(
            loader=DictLoader(texts), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        style = texts["page.css"].strip()
        return environment.get_template(names[0]).render(page=self, style=style, script=script, allowed=allowed)


def build_page(folders: Sequence[str | Path], notes: Mapping[Path, Sequence[str]] | None = None) -> Page:
    """Read run folders and return their report; with several, they are compared.

    Folders of `unlearnable`, `rank-teachers` and `landscape` may be among them: what these found is added.

    Args:
        folders: Run folders.
        notes: Further warnings by folder.

    Raises:
        CheckpointError: A folder is not there or holds nothing of a run, or a file in it is damaged; it is named.

    >>> import json
    >>> import tempfile
    >>> from pathlib import Path
    >>> line = {"kind": "epoch", "epoch": 0, "loss": 1.5, "validation": {"clean": 0.75, "robust": 0.5}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "metrics.jsonl").write_text(json.dumps(line))
    ...     print([section.title for section in build_page([folder]).sections][:3])
    ['Warnings', 'Summary', 'Selected on']
    """
    found = read_runs([Path(folder) for folder in folders], notes or {})
    runs, beside = [each for each in found if each.is_run], [each for each in found if not each.is_run]
    if len(runs) == 1 and beside:
        extra = {name: file for each in beside for name, file in each.files.items()}
        runs, beside = [replace(runs[0], files={**extra, **runs[0].files})], []
    return _one(runs[0]) if len(runs) == 1 else _several(runs, beside)


def write_page(page: Page, path: str | Path, *, markdown: bool = False) -> list[Path]:
    """Write the page as HTML, and beside it with the ending .md as Markdown; return the files.

    Raises:
        WriteError: The disk is full, or the folder cannot be written.

    >>> import json
    >>> import tempfile
    >>> from pathlib import Path
    >>> line = {"kind": "epoch", "epoch": 0, "loss": 1.5, "validation": {"clean": 0.75, "robust": 0.5}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "metrics.jsonl").write_text(json.dumps(line))
    ...     files = write_page(build_page([folder]), f"{folder}/report.html", markdown=True)
    ...     print([file.name for file in files])
    ['report.html', 'report.md']
    """
    path = Path(path)
    make_folder(path.parent)
    files = {path: page.to_html()} | ({path.with_suffix(".md"): page.to_markdown()} if markdown else {})
    for each, text in files.items():
        # A lone surrogate in the name of a file has no bytes in UTF-8.
        write_whole(each, [text.encode("utf-8", "backslashreplace")])
    return list(files)


def _one(run: Run) -> Page:
    told = warnings(run)
    return Page(_title(run), tuple(told), (_warned(told), *_sections(run, "", 2)))


def _several(runs: Sequence[Run], beside: Sequence[Run]) -> Page:
    every = [*runs, *beside]
    told = _told({run.name: warnings(run) for run in every})
    sections = [_warned(told)]
    if runs:
        words: list[Block] = []
        for run in runs:
            with reading(run, "evaluation"):
                words += _named(run.name, summary(run))
        sections.append(Section("summary", "Summary", words))
        with reading(runs[0], "evaluation"):
            sections.append(Section("comparison", "Comparison", comparison(runs)))
    for number, run in enumerate(every, 1):
        sections += [Section(f"run-{number}", _title(run)), *_sections(run, f"run-{number}-", 3)]
    return Page(f"Report on {len(runs)} runs" if runs else "Report", tuple(told), tuple(sections))


def _told(by_run: Mapping[str, Sequence[str]]) -> list[str]:
    """Return each warning once, after the names of the runs that it is about."""
    about: dict[str, list[str]] = {}
    for name, each in by_run.items():
        for warning in each:
            about.setdefault(warning, []).append(name)
    return [
        f"{'All runs' if len(names) == len(by_run) > 1 else ', '.join(names)}: {warning}"
        for warning, names in about.items()
    ]


def _named(name: str, blocks: Sequence[Block]) -> list[Block]:
    first, *rest = blocks
    return [Words(f"{name}: {first.text}") if isinstance(first, Words) else first, *rest]


def _title(run: Run) -> str:
    title = run.recipe.get("title") if run.recipe else None
    return f"{run.name}: {title}" if isinstance(title, str) and title else run.name


def _warned(told: Sequence[str]) -> Section:
    block = Points(list(told)) if told else Words("Nothing to warn about was found.")
    return Section("warnings", "Warnings", [block])


def _sections(run: Run, prefix: str, level: int) -> list[Section]:
    """Return the sections of a run for which there is something to show."""
    id_ = prefix.rstrip("-") or "run"
    parts: tuple[tuple[str, str, str, Callable[[], list[Block]]], ...] = (
        ("evaluation", "summary", "Summary", lambda: summary(run) if level == 2 and run.is_run else []),
        ("evaluation", "threat", "Threat model", lambda: threat_model(run)),
        ("metrics", "selection", "Selected on", lambda: selection(run)),
        ("evaluation", "attacks", "Accuracy under attack", lambda: accuracies(run, id_)),
        ("evaluation", "curve", "Accuracy over the radius", lambda: curve(run, id_)),
        ("metrics", "training", "Training", lambda: course(run, id_)),
        ("metrics", "adaptive", "Adaptive weights and temperatures", lambda: adaptive(run, id_)),
        ("diagnostics", "overfitting", "Robust overfitting", lambda: overfitting(run, id_)),
        ("calibration", "calibration", "Calibration to the teacher", lambda: bracket(run, id_)),
        ("certification", "certified", "Certified accuracy", lambda: certified(run, id_)),
        ("unlearnable", "unlearnable", "Unlearnable images", lambda: unlearnable(run, id_)),
        ("examples", "examples", "Least and most learnable images", lambda: pictured(run)),
        ("teachers", "teachers", "Teacher ranking", lambda: teachers(run, id_)),
        ("landscape", "landscape", "Loss landscape", lambda: landscape(run, id_)),
        ("gallery", "gallery", "Gallery", lambda: gallery(run)),
        ("evaluation", "reproduction", "Reproduction", lambda: reproduction(run)),
        ("evaluation", "origins", "Versions and digests", lambda: origins(run)),
    )  # fmt: skip
    found = []
    for file, name, title, make in parts:
        with reading(run, file):
            blocks = make()
        if blocks:
            found.append(Section(prefix + name, title, blocks, level))
    return found
