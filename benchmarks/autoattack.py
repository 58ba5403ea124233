"""AutoAttack standard: the same images, in turn, by pyautoattack and by robustill; robust images, seconds, ratios.

    pip install "robustill[dev]"
    python benchmarks/autoattack.py runs/pgd_at runs/rslad --data fashion-mnist --eps 0.1 --images 100 --rounds 3

The ratio of a round is pyautoattack's seconds over robustill's of the same round; printed are the median and the range.
With `--rounds 1 --images 1000` it is a comparison of verdicts.
"""

import argparse
import json
import logging
import re
import statistics
import time
from pathlib import Path

import torch

from robustill import evaluate, load_data, load_model
from robustill.attacks import correct
from robustill.data.splits import to_unit
from robustill.evaluation import balanced

BASELINE = "pyautoattack"
STAGES = ("apgd-ce", "apgd-t", "fab-t", "square")


class StageTimes(logging.Handler):
    """Reads pyautoattack's debug log: its messages are the only trace of its stages."""

    def __init__(self):
        super().__init__()
        self.began, self.found = time.perf_counter(), {}

    def emit(self, record):
        match = re.match(r"robust accuracy after ([a-z-]+): ", record.getMessage(), re.IGNORECASE)
        if match:
            now = time.perf_counter()
            self.found[match[1].lower()] = round(now - self.began, 2)
            self.began = now


def theirs(model, x, y, options):
    from pyautoattack import AutoAttack

    times, logger = StageTimes(), logging.getLogger("auto-attack")
    logger.handlers, logger.level, logger.propagate = [times], logging.DEBUG, False
    attack = AutoAttack(model, eps=options.eps, norm=options.norm, version="standard", seed=0)
    x_adv = attack.run_standard_evaluation(x, y, batch_size=options.batch_size)[0]
    delta = (x_adv.double() - x.double()).flatten(1)
    length = delta.abs().amax(1) if options.norm == "Linf" else delta.norm(dim=1)
    # Their points may leave the ball by a rounding; it is counted, not held against them.
    outside = int((length > options.eps + 1e-6).sum())
    return int(correct(model, x_adv, y).sum()), times.found, outside


def ours(precision):
    def run(model, x, y, options):
        found = evaluate(
            model, options.loaded, eps=options.eps, norm=options.norm, attacks=["autoattack"], images=options.images,
            batch_size=options.batch_size, precision=precision, processes=options.processes,
            checks=False, progress=options.progress,
        )  # fmt: skip
        seconds = {stage: round(found.seconds.get(f"autoattack/{stage}", 0.0), 2) for stage in STAGES}
        return int(found.robust.sum()), seconds, 0

    return run


CONTESTANTS = {
    BASELINE: theirs,
    "robustill": ours("auto"),
    "robustill float32": ours("float32"),
    "robustill bfloat16": ours("bfloat16"),
}


def compare(name, options):
    """Return a row per contestant of one model."""
    data = options.loaded
    model = load_model(name, num_classes=data.num_classes, shape=data.shape).eval()
    index = balanced(data.test.labels, options.images, 0)
    x, y = to_unit(data.test.images(index)), data.test.labels[index]
    clean = int(correct(model, x, y).sum())
    rows = {}
    for _ in range(options.rounds):
        for contestant in options.only:
            began = time.perf_counter()
            robust, stages, outside = CONTESTANTS[contestant](model, x, y, options)
            row = rows.setdefault(contestant, {"model": name, "contestant": contestant, "images": len(y)})
            row |= {"clean": clean, "robust": robust, "stages": stages, "outside": outside}
            row.setdefault("seconds", []).append(round(time.perf_counter() - began, 2))
            print(f"  {name} {contestant}: {robust} of {clean} in {row['seconds'][-1]:.1f} s {stages}", flush=True)
    return list(rows.values())


def ratios(rows):
    """Add to each row the ratio of the baseline's seconds to its own, round by round."""
    base = next((row for row in rows if row["contestant"] == BASELINE), None)
    for row in rows if base else []:
        each = [b / o for b, o in zip(base["seconds"], row["seconds"], strict=True)]
        row |= {"ratio": round(statistics.median(each), 2), "spread": [round(min(each), 2), round(max(each), 2)]}
    return rows


def table(rows):
    lines = ["| model | | images | clean | robust | seconds | ratio | stages, s |", "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        ratio = f"{row['ratio']:.2f} ({row['spread'][0]:.2f}-{row['spread'][1]:.2f})" if "ratio" in row else ""
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in row["stages"].items())
        cells = [row[key] for key in ("model", "contestant", "images", "clean", "robust")]
        cells += [f"{statistics.median(row['seconds']):.1f}", ratio, stages]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="run folders or model files")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--root")
    parser.add_argument("--eps", type=float, default=0.1)
    parser.add_argument("--norm", default="Linf")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--threads", type=int, default=1, help="of pyautoattack, and of robustill in one process")
    parser.add_argument(
        "--processes",
        type=int,
        default=1,
        help="of robustill, of one thread each; the default of "
        "`robustill evaluate` for AutoAttack on a CPU is one per core",
    )
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS)[:3])
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.loaded = load_data(options.data, **({"root": options.root} if options.root else {}))
    rows = []
    for name in options.models:
        rows += ratios(compare(name, options))
        if options.json:
            options.json.write_text(
                json.dumps({"threads": options.threads, "processes": options.processes, "rows": rows}, indent=1) + "\n"
            )
    print(table(rows))


if __name__ == "__main__":
    main()
