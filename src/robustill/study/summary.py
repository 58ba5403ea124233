"""The table of a study for people and programs: means over seeds, and differences to the baseline paired by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustill.study.judged import DOUBT, caption, doubts, footnote, judged
from robustill.study.spread import paired, spread, told

Rows = Sequence[dict[str, Any]]
_ROBUST, WRA, CLEAN = "robust", "wra", "clean"
STUDENTS = {"best": "Student chosen on the validation split", "last": "Student of the last epoch"}
_NOTE = (
    "Accuracy in %, mean ± standard deviation over seeds; WRA is the mean of clean and worst case. Differences are "
    "paired by seed, in points, with 95% t intervals, the p of the paired t-test and of the exact sign-flip test, "
    "which n seeds cannot bring below 2/2^n. Nothing is corrected for the number of comparisons."
)


def summarize(
    rows: Rows,
    *,
    name: str,
    title: str,
    baselines: Mapping[str, str],
    missing: Sequence[str],
    split: str | None = None,
) -> dict[str, Any]:
    """Return what `summary.json` holds.

    Args:
        rows: The tidy table.
        name: Of the study.
        title: Of the study.
        baselines: For each row that is compared with another one, that other one.
        missing: Cells without a result, with the reason.
        split: Whose images students were judged on.
    """
    values: dict[str, dict[str, dict[str, dict[int, float]]]] = {}
    for row in rows:
        of_run = values.setdefault(row["run"], {}).setdefault(row["student"], {})
        of_run.setdefault(row["attack"], {})[row["seed"]] = row["accuracy"]
        if row["attack"] == _ROBUST and row["wra"] is not None:
            of_run.setdefault(WRA, {})[row["seed"]] = row["wra"]
    found: dict[str, Any] = {"schema": 2, "study": name, "title": title}
    found |= {"baselines": dict(baselines), "missing": list(missing)}
    found |= {"judged": judged(rows, split), "suspicious": doubts(rows)}
    found["runs"] = {
        run: {
            student: {
                attack: {**spread(list(by_seed.values())), "seeds": {str(seed): v for seed, v in by_seed.items()}}
                for attack, by_seed in attacks.items()
            }
            for student, attacks in students.items()
        }
        for run, students in values.items()
    }
    found["paired"] = {
        run: {
            student: {
                attack: paired(by_seed, values[baselines[run]].get(student, {}).get(attack, {}))
                for attack, by_seed in attacks.items()
            }
            for student, attacks in students.items()
        }
        for run, students in values.items()
        if baselines.get(run) in values
    }
    return found


def table(summary: dict[str, Any], student: str) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of one student's table, as text."""
    attacks, compared = _attacks(summary, student), summary["paired"]
    judged = [attack for attack in attacks if attack != WRA][-1:]
    columns = ["run", "seeds", *(_called(attack) for attack in attacks)]
    bases = set(summary["baselines"].values())
    several = len(bases) > 1
    if compared:
        columns += ["less"] if several else []
        columns += [f"{_called(judged[0])} - {'base' if several else min(bases)}", "p (t)", "p (sign flip)"]
    rows = []
    for run, students in summary["runs"].items():
        cells = students.get(student)
        if cells is None:
            continue
        row = [run, str(max(each["n"] for each in cells.values()))]
        doubt = bool(summary["suspicious"].get(run, {}).get(student))
        row += [_percent(cells.get(attack), doubt=doubt and attack != CLEAN) for attack in attacks]
        if compared:
            row += [summary["baselines"].get(run, "-")] if several else []
            row += _difference(compared.get(run, {}).get(student, {}).get(judged[0]))
        rows.append(row)
    return columns, rows


def optional(summary: dict[str, Any], student: str) -> list[str]:
    """Return the columns of `table` that one can do without, the least needed first."""
    attacks = [attack for attack in _attacks(summary, student) if attack != WRA]
    # Clean and the last one, which rows are compared by, stay.
    return ["p (sign flip)", "p (t)", *map(_called, attacks[1:-1]), "seeds", _called(WRA)]


def to_markdown(summary: dict[str, Any]) -> str:
    """Return `summary.md`."""
    lines = [f"# {summary['title'] or summary['study']}", "", _NOTE]
    lines += [line for sentence in caption(summary) for line in ("", _text(sentence))]
    for student in students(summary):
        lines += ["", f"## {STUDENTS[student]}", "", markdown_table(*table(summary, student))]
        if note := footnote(summary, [student]):
            lines += ["", _text(note)]
    if summary.get("earlier"):
        lines += ["", f"Taken from an earlier run's tables: {_text(', '.join(summary['earlier']))}."]
    if summary["missing"]:
        lines += ["", "## Not there", "", *(f"- {_text(each)}" for each in summary["missing"])]
    return "\n".join(lines) + "\n"


def students(summary: dict[str, Any]) -> list[str]:
    """Return which students there are: best, and last if it was evaluated."""
    return [s for s in STUDENTS if any(s in each for each in summary["runs"].values())]


def _attacks(summary: dict[str, Any], student: str) -> list[str]:
    every = dict.fromkeys(a for each in summary["runs"].values() for a in each.get(student, {}))
    found = [attack for attack in every if attack not in (_ROBUST, WRA)]
    # The worst case over one attack is that attack.
    return [*found, *([_ROBUST] if len(found) > 2 else []), *([WRA] if WRA in every else [])]


def _called(attack: str) -> str:
    return {_ROBUST: "worst case", WRA: "WRA"}.get(attack, attack)


def _percent(found: dict[str, Any] | None, *, doubt: bool) -> str:
    return "-" if found is None else told(found, scale=100) + (f" {DOUBT}" if doubt else "")


def _difference(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["-", "-", "-"]
    text = f"{100 * found['difference']:+.2f}"
    if found["interval"] is not None:
        text += " [{:+.2f}, {:+.2f}]".format(*(100 * end for end in found["interval"]))
    p = "-" if found["p"] is None else f"{found['p']:.3g}"
    return [text, p, f"{found['p_sign_flip']:.3g}"]


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, with what would be markup as plain text."""
    return "\n".join(map(_row, (columns, ["---"] * len(columns), *rows)))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_text, cells)) + " |"


def _text(cell: str) -> str:
    """A name or an error must not become markup."""
    for sign, instead in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|"), ("\n", " ")):
        cell = cell.replace(sign, instead)
    return cell
