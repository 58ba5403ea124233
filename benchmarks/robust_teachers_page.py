"""Turn what `robust_teachers.py` left into tables and figures.

    python benchmarks/robust_teachers_page.py --out runs/robust-teachers --results results

Writes `robust-teachers.json` (what the tables are made of), `robust-teachers.svg` (the nine teachers) and
`robust-teachers-arms.svg` (one teacher, its soft labels replaced), and prints the tables in Markdown.
"""

import argparse
import json
import statistics
from pathlib import Path

from matplotlib.figure import Figure
from robust_teachers import ARM_TEACHER, ARMS, FAMILIES, SEEDS
from scipy.stats import t as student_t

from robustill.diagnostics.ranking import validate_ranking
from robustill.diagnostics.ranking.report import CRITERIA

WHAT = ("best", "last", "gap")


def runs(options):
    """Return what each kind of student became, `{kind: [one per seed]}`, where all seeds are there."""
    found = {}
    for kind in ("PGD-AT", *FAMILIES, *ARMS):
        files = [options.out / "students" / f"{kind}-{seed}.json".replace("/", ":") for seed in SEEDS]
        if all(file.exists() for file in files):
            found[kind] = [json.loads(file.read_text()) for file in files]
    return found


def outcomes(run):
    best, last = (run[f"test_{which}"]["robust"] for which in ("best", "last"))
    return {"best": best, "last": last, "gap": best - last, "clean": run["test_last"]["clean"]}


def spread(values):
    return f"{100 * statistics.mean(values):.1f} ± {100 * statistics.stdev(values):.1f}"


def paired(a, b):
    """Return the mean of a - b over seeds with its 95% t interval."""
    each = [x - y for x, y in zip(a, b, strict=True)]
    half = student_t.ppf(0.975, len(each) - 1) * statistics.stdev(each) / len(each) ** 0.5
    return statistics.mean(each), half


def number(value, digits=2):
    return "-" if value is None else f"{value:.{digits}f}"


def print_teachers(ranking, became):
    reports = {each["name"]: each for each in ranking["teachers"]}
    print("| teacher | robust, L | H on U [95%] | H on L | ranked | student: best | last | gap |\n|" + "---|" * 8)
    for name in sorted(became, key=lambda n: -reports[n]["surfaces"]["clean"]["entropy"]["unlearnable"]["mean"]):
        entropy = reports[name]["surfaces"]["clean"]["entropy"]
        own, interval = entropy["unlearnable"]["mean"], entropy["unlearnable"]["interval"]
        scores = [spread([each[what] for each in became[name]]) for what in WHAT]
        gates = "no: " + "; ".join(reports[name]["dropped"]) if reports[name]["dropped"] else "yes"
        print(
            f"| {name} | {100 * reports[name]['robust_accuracy_learnable']['mean']:.1f} "
            f"| {own:.3f} [{interval[0]:.3f}, {interval[1]:.3f}] | {entropy['learnable']['mean']:.3f} | {gates} "
            f"| {' | '.join(scores)} |"
        )


def validations(ranking, became):
    """Return the validation of both criteria for each outcome."""
    found = {}
    gated = {name for name, score in ranking["scores"].items() if score is None}
    every = {each["name"]: each["surfaces"]["clean"]["entropy"] for each in ranking["teachers"]}
    for what in WHAT:
        values = {name: [each[what] for each in runs_] for name, runs_ in became.items()}
        for criterion, name in (("entropy on U", "unlearnable_entropy"), ("U - L", "contrast")):
            for gates in (True, False):
                scores = {n: None if gates and n in gated else every[n][CRITERIA[name]]["mean"] for n in became}
                result = validate_ranking(
                    scores, values, baselines=ranking["baselines"], families=FAMILIES,
                    first=ranking["orders"]["clean"][name][0] if gates else None, larger_is_better=what != "gap",
                )  # fmt: skip
                found[what, criterion, gates] = result.to_json()
    return found


def print_validations(found):
    print(
        "\n| score | teachers | outcome | rho | exact p | 95% | families: rho (p) | partial | regret |\n|" + "---|" * 9
    )
    for (what, criterion, gates), each in found.items():
        interval = "-" if each["interval"] is None else "[{:.2f}, {:.2f}]".format(*each["interval"])
        families = each["families"] or {"rho": None, "p": None}
        print(
            f"| {criterion}{'' if gates else ', no gates'} | {each['teachers']} | {what} | {number(each['rho'])} "
            f"| {number(each['p'], 3)} | {interval} | {number(families['rho'])} ({number(families['p'], 3)}) "
            f"| {number(each['partial_given_robust_accuracy'])} | {100 * each['regret']:.1f} |"
        )
    print(
        "\n| baseline, all teachers | last: rho (p), regret | best: rho (p), regret | gap: rho (p) |\n|---|---|---|---|"
    )
    tables = {what: found[what, "entropy on U", False]["baselines"] for what in WHAT}
    for name in tables["last"]:
        cells = []
        for what in WHAT:
            each = tables[what][name]
            regret = "" if what == "gap" or each["regret"] is None else f", {100 * each['regret']:.1f}"
            cells.append(f"{number(each['rho'])} ({number(each['p'], 3)}){regret}")
        print(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")


def memorised(run, group):
    return run["history"][-1]["overfitting"]["train"][group]["robust"]


def print_arms(found):
    print(
        "\n| soft labels | best | last | gap | last, less original [95%] | robust on U, last | on L |\n|" + "---|" * 7
    )
    base = [outcomes(each)["last"] for each in found[ARM_TEACHER]]
    for kind in (ARM_TEACHER, *(arm for arm in ARMS if arm in found), "PGD-AT"):
        each = [outcomes(run) for run in found[kind]]
        mean, half = paired([e["last"] for e in each], base)
        less = (
            "" if kind == ARM_TEACHER else f"{100 * mean:+.1f} [{100 * (mean - half):.1f}, {100 * (mean + half):.1f}]"
        )
        on = [spread([memorised(run, group) for run in found[kind]]) for group in ("unlearnable", "learnable")]
        label = "original" if kind == ARM_TEACHER else "hard labels (PGD-AT)" if kind == "PGD-AT" else kind
        print(f"| {label} | {' | '.join(spread([e[w] for e in each]) for w in WHAT)} | {less} | {' | '.join(on)} |")


def draw_teachers(ranking, became, path):
    reports = {each["name"]: each for each in ranking["teachers"]}
    figure = Figure(figsize=(9.5, 4.2), layout="constrained")
    for axes, what in zip(figure.subplots(1, 2), ("last", "gap"), strict=True):
        for k, name in enumerate(became):
            h = reports[name]["surfaces"]["clean"]["entropy"]["unlearnable"]["mean"]
            values = [100 * each[what] for each in became[name]]
            marker, fill = "osD^v<>pP*hX"[k % 12], "none" if reports[name]["dropped"] else None
            axes.errorbar(
                h, statistics.mean(values), statistics.stdev(values), fmt=marker, ms=7, color=f"C{k % 10}", mfc=fill,
                label=f"{name}{' (dropped)' if reports[name]['dropped'] else ''}", capsize=2,
            )  # fmt: skip
        title = "robust accuracy, last epoch, %" if what == "last" else "best less last, points"
        axes.set(xlabel="teacher's entropy on the unlearnable set, nats", title=f"student: {title}")
        axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=7, loc="outside right")
    figure.savefig(path)


def draw_arms(found, path):
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = ("validation images", "unlearnable training images", "learnable training images")
    for axes, panel in zip(figure.subplots(1, 3), panels, strict=True):
        for k, kind in enumerate(("PGD-AT", ARM_TEACHER, *(arm for arm in ARMS if arm in found))):
            lines = [[line for line in run["history"] if "overfitting" in line] for run in found[kind]]
            epochs = [line["epoch"] + 1 for line in lines[0]]
            values = [[at(line, panel) for line in run] for run in lines]
            mean = [100 * statistics.mean(each) for each in zip(*values, strict=True)]
            label = "original" if kind == ARM_TEACHER else kind
            style = {"placebo": "--", "part": ":"}.get(kind.split(", ")[-1], "-")
            axes.plot(epochs, mean, color=f"C{k}", ls=style, lw=1.5, label=label)
        axes.set(title=panel, xlabel="epoch")
        axes.title.set_fontsize(10)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylim(45, 67)
    figure.axes[0].set_ylabel("robust accuracy, %, mean of 3 seeds")
    figure.axes[1].legend(fontsize=8)
    figure.savefig(path)


def at(line, panel):
    if panel == "validation images":
        return line["validation"]["robust"]
    return line["overfitting"]["train"][panel.split()[0]]["robust"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    options = parser.parse_args()
    found, ranking = runs(options), json.loads((options.out / "teachers.json").read_text())
    became = {name: [outcomes(run) for run in found[name]] for name in FAMILIES if name in found}
    print_teachers(ranking, became)
    checked = validations(ranking, became)
    print_validations(checked)
    print_arms(found)
    draw_teachers(ranking, became, options.results / "robust-teachers.svg")
    draw_arms(found, options.results / "robust-teachers-arms.svg")
    kept = {
        "sizes": ranking["sizes"], "teachers": ranking["teachers"], "ranking": ranking["ranking"],
        "outcomes": {kind: [outcomes(run) for run in each] for kind, each in found.items()},
        "validation": {", ".join(map(str, key)): each for key, each in checked.items()},
    }  # fmt: skip
    (options.results / "robust-teachers.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
