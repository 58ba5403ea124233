"""`robustill demo`: two teachers, a distilled student and the same student without teachers, on digits."""

from __future__ import annotations

from pathlib import Path

from robustill.recipe import load_recipe
from robustill.runs import evaluate_target, run_recipe, write_gallery

_RUNS = (
    ("clean teacher (large)", "digits_standard_cnn-wide", "teacher_nat"),
    ("robust teacher (large, PGD-AT)", "digits_pgd-at_cnn-wide", "teacher_adv"),
    ("student, taught by both (B-MTARD)", "digits_bmtard_cnn-small", "bmtard"),
    ("same student, no teacher (PGD-AT)", "digits_pgd-at_cnn-small", "pgd_at"),
)


def run_demo(out: Path, *, seed: int = 0) -> tuple[str, list[str], list[tuple[str, ...]]]:
    """Run the demo in the folder `out` and return its table: title, column names, rows.

    Runs that an earlier, interrupted demo finished or began are gone on with.
    """
    rows = []
    for label, name, folder in _RUNS:
        teachers = [f"teachers.{t}={out / t}" for t in ("teacher_adv", "teacher_nat")] if folder == "bmtard" else []
        run_recipe(load_recipe(name, [f"training.seed={seed}", *teachers]), out / folder, resume=_begun(out / folder))
        found = evaluate_target(str(out / folder))
        cells = []
        for what in ("clean", "robust"):
            low, high = found.interval(what)
            cells.append(f"{100 * found.accuracy(what):.1f} ({100 * low:.0f}-{100 * high:.0f})")
        rows.append((label, *cells, f"{100 * found.wra():.1f}"))
    _write_report(out)
    attacks = ", ".join(name for name in found.verdicts if name != "clean")
    title = (
        f"Share of right predictions on {len(found.robust)} test digits, in percent (95% interval).\n"
        f"Attacked: every pixel changed by up to {found.eps:g} of its range, the worst of {attacks}."
    )
    return title, ["network", "clean", "attacked", "mean"], rows


def _write_report(out: Path) -> None:
    """Write `report.html`: the student beside its teachers and beside the same student without them."""
    from robustill.report import build_page, write_page

    folders = [out / folder for _, _, folder in reversed(_RUNS)]
    write_gallery(out / "bmtard")
    write_page(build_page(folders), out / "report.html")


def _begun(folder: Path) -> bool:
    from robustill.training.checkpoint import has_checkpoint

    return has_checkpoint(folder)
