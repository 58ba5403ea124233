"""The table of a study for a paper: `summary.tex`, with booktabs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from robustill.study.judged import caption, footnote
from robustill.study.summary import STUDENTS, students, table

_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "|": r"$|$",
    "[": "{[}", "]": "{]}", "±": r"$\pm$", "†": r"$^\dagger$", "\n": " ",
}  # fmt: skip


def to_latex(summary: dict[str, Any]) -> str:
    """Return `summary.tex`: a table for each student, a line for each row of the grid, mean ± deviation over seeds."""
    parts = ["% Needs \\usepackage{booktabs}."]
    for student in students(summary):
        columns, rows = table(summary, student)
        # Differences and their tests are a table of their own in a paper.
        count = 2 + len([name for name in columns[2:] if name in _means(summary, student)])
        says = [f"{STUDENTS[student]}: accuracy in %, mean ± standard deviation over seeds.", *caption(summary)]
        note = footnote(summary, [student])
        parts.append(_table([row[:count] for row in [columns, *rows]], " ".join([*says, *([note] if note else [])])))
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    r"""Return text with what LaTeX would take for markup written out.

    >>> escaped("rslad[lam=0.5] 50% a_b")
    'rslad{[}lam=0.5{]} 50\\% a\\_b'
    """
    return "".join(_SIGNS.get(sign, sign) for sign in text)


def _means(summary: dict[str, Any], student: str) -> set[str]:
    found = {attack for each in summary["runs"].values() for attack in each.get(student, {})}
    return {*found, "worst case", "WRA"}


def _table(lines: Sequence[Sequence[str]], says: str) -> str:
    head, *body = [" & ".join(map(escaped, line)) + r" \\" for line in lines]
    rules = ["\\toprule", head, "\\midrule", *body, "\\bottomrule"]
    align = "l" + "r" * (len(lines[0]) - 1)
    return "\n".join([
        "\\begin{table}", "\\centering", f"\\caption{{{escaped(says)}}}", f"\\begin{{tabular}}{{{align}}}", *rules,
        "\\end{tabular}", "\\end{table}",
    ])  # fmt: skip
