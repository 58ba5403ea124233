"""What a study's numbers are about: data, images, norm and radius; and which of them a check calls into doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robustill.report.page.numbers import radius

DOUBT = "†"
_ABOUT = ("data", "images", "norm", "eps")


def judged(rows: Sequence[Mapping[str, Any]], split: str | None) -> list[dict[str, Any]]:
    """Return under what each row of the grid was judged, with those judged alike together.

    Args:
        rows: The tidy table; an older one may lack columns.
        split: The study's.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        about = {"split": split, **{key: row.get(key) for key in _ABOUT}}
        known = {key: value for key, value in about.items() if value not in (None, "")}
        runs = found.setdefault(repr(sorted(known.items())), {**known, "runs": []})["runs"]
        runs += [] if row["run"] in runs else [row["run"]]
    return list(found.values())


def doubts(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, list[int]]]]:
    """Return the checks that fired, as row of the grid -> student -> check -> seeds."""
    found: dict[str, dict[str, dict[str, list[int]]]] = {}
    for row in rows:
        for check in filter(None, str(row.get("suspicious") or "").split(", ")):
            seeds = found.setdefault(row["run"], {}).setdefault(row["student"], {}).setdefault(check, [])
            seeds += [] if row["seed"] in seeds else [row["seed"]]
    return found


def caption(summary: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each way of judging; [] where the table did not say.

    >>> caption({"judged": [{"data": "digits", "split": "test", "images": 100, "norm": "L2", "eps": 0.5, "runs": []}]})
    ['Judged on digits, test split, 100 images, L2, eps 0.5.']
    """
    every = summary.get("judged", [])
    texts = []
    for each in every:
        parts = [
            str(each[key]) if key == "data" else f"{each[key]} {key}"
            for key in ("data", "split", "images")
            if key in each
        ]
        parts += [str(each["norm"])] if "norm" in each else []
        parts += [f"eps {radius(float(each['eps']))}"] if "eps" in each else []
        rows = f" ({', '.join(each['runs'])})" if len(every) > 1 else ""
        texts += [f"Judged on {', '.join(parts)}{rows}."] if parts else []
    return texts


def footnote(summary: Mapping[str, Any], students: Sequence[str]) -> str:
    """Return what the mark beside numbers of these students means; "" where no check fired.

    >>> footnote({"suspicious": {"mine": {"last": {"square-beats-gradients": [0, 2]}}}}, ["last"])
    '† A check fired: the attacks may have been fooled, and the number may be too high. mine, last: square-beats-grad...
    """
    fired = [
        f"{run}, {student}: {check} (seed {', '.join(map(str, seeds))})"
        for run, by_student in summary.get("suspicious", {}).items()
        for student, checks in by_student.items()
        if student in students
        for check, seeds in checks.items()
    ]
    says = "A check fired: the attacks may have been fooled, and the number may be too high."
    return f"{DOUBT} {says} {'; '.join(fired)}." if fired else ""
