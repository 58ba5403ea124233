"""Turn what `faithful.py` left into a table and a figure.

    python benchmarks/faithful_page.py --out runs/faithful --results results

Writes `faithful.json` (means per student) and `faithful.svg` (the bracket of each method), and prints the table.
"""

import argparse
import json
import statistics
from pathlib import Path

from faithful import METHODS, RADII, SEEDS
from matplotlib.figure import Figure

NAMES = {
    "kd": "KD",
    "ard": "ARD",
    "rslad": "RSLAD",
    "adaad": "AdaAD",
    "bmtard": "B-MTARD",
    "faithful": "faithful",
    "ibp": "ibp",
}


def numbers(student, right):
    """Return the means over the images that the teacher gets right."""
    of = [i for i, each in enumerate(right) if each]
    found = {
        "clean": student["clean"],
        "robust": student["robust"],
        "gap": statistics.mean(student["gap"][i] for i in of),
    }
    for eps in RADII:
        above, below = (student["radii"][str(eps)][which] for which in ("above", "below"))
        found[f"lower {eps}"] = statistics.mean(max(below["over"][i], below["under"][i]) for i in of)
        found[f"upper {eps}"] = statistics.mean(min(1.0, max(above["over"][i], above["under"][i])) for i in of)
        found[f"certified {eps}"] = statistics.mean(above["agreement"][i] < 0 for i in of)
        found[f"standing {eps}"] = statistics.mean(not below["apart"][i] for i in of)
        check(above, below, of)
    return found


def check(above, below, of):
    """An attack that finds more than a certificate allows is a bug, not a result."""
    for i in of:
        assert max(below[w][i] - above[w][i] for w in ("over", "under")) < 1e-4, (i, above, below)
        assert not (below["apart"][i] and above["agreement"][i] < -1e-4), i


def spread(values, scale=100, digits=1):
    mean = scale * statistics.mean(values)
    return (
        f"{mean:.{digits}f} ± {scale * statistics.stdev(values):.{digits}f}"
        if len(values) > 1
        else f"{mean:.{digits}f}"
    )


def table(found, head, cells):
    print(f"\n| method | {' | '.join(head)} |\n|" + "---|" * (len(head) + 1))
    for method, seeds in found.items():
        print(f"| {NAMES[method]} | {' | '.join(cells(seeds))} |")


def draw(found, path):
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, (method, seeds) in enumerate(found.items()):
        x = [0, *RADII]
        lower, upper = ([mean(seeds, "gap"), *(mean(seeds, f"{end} {e}") for e in RADII)] for end in ("lower", "upper"))
        left.plot(x, upper, color=f"C{k}", marker="osD^v<>"[k], ms=5, label=NAMES[method])
        left.plot(x, lower, color=f"C{k}", ls=":", lw=1.2)
        for end, style in (("certified", "-"), ("standing", ":")):
            values = [100 * mean(seeds, f"{end} {e}") for e in RADII]
            right.plot(RADII, values, color=f"C{k}", ls=style, marker="osD^v<>"[k] if style == "-" else None, ms=5)
    left.set(title="mean relative calibration", ylim=(0, 1), ylabel="largest |p_student - p_teacher|")
    right.set(title="agreement with the teacher", ylim=(0, 100), ylabel="% of the images that the teacher gets right")
    for axes in (left, right):
        axes.set(xlabel="radius eps", xlim=(0, None))
        axes.grid(alpha=0.3)
    left.legend(title="certified (solid), found (dotted)", fontsize=8, title_fontsize=8)
    figure.savefig(path)


def mean(seeds, key):
    return statistics.mean(each[key] for each in seeds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    options = parser.parse_args()
    rows = json.loads((options.out / "found.json").read_text())
    found = {
        method: [numbers(rows["students"][f"{method}-{seed}"], rows["right"]) for seed in SEEDS
                 if f"{method}-{seed}" in rows["students"]]
        for method in METHODS
    }  # fmt: skip
    found = {method: seeds for method, seeds in found.items() if seeds}
    print(f"{rows['images']} test images, {sum(rows['right'])} of them right by the teacher ({rows['teacher']})")

    def values(seeds, key):
        return [each[key] for each in seeds]

    table(found, ("clean", "robust"), lambda seeds: [spread(values(seeds, key)) for key in ("clean", "robust")])
    heads = [f"eps {eps:g}" for eps in RADII]
    table(found, ["eps 0", *heads], lambda seeds: [
        spread(values(seeds, "gap"), 1, 3),
        *(f"{mean(seeds, f'lower {e}'):.3f} to {spread(values(seeds, f'upper {e}'), 1, 3)}" for e in RADII),
    ])  # fmt: skip
    table(found, heads, lambda seeds: [
        f"{spread(values(seeds, f'certified {e}'))} to {100 * mean(seeds, f'standing {e}'):.1f}" for e in RADII
    ])  # fmt: skip
    draw(found, options.results / "faithful.svg")
    kept = {"images": rows["images"], "right": sum(rows["right"]), "teacher": rows["teacher"], "methods": found}
    (options.results / "faithful.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
