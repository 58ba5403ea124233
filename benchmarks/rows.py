"""The form that all benchmarks write with `--json`: the baseline against robustill, alternating in one run."""

import json
import statistics


def row(name, baseline, ours, *, images=None, floor=None):
    """Return a row from the seconds (or bytes) of each round; the ratio is above 1 where robustill needs less."""
    each = [b / o for b, o in zip(baseline, ours, strict=True)]
    own = statistics.median(ours)
    return {
        "name": name,
        "ratio": round(statistics.median(each), 2),
        "spread": [round(min(each), 2), round(max(each), 2)],
        "images_per_second": images and round(images / own, 1),
        "floor_fraction": floor and round(floor / own, 2),
    }


def show(found):
    """Print one row."""
    speed = f"{found['images_per_second']:9.1f} images/s" if found["images_per_second"] else ""
    floor = f", layers alone {100 * found['floor_fraction']:.0f}%" if found["floor_fraction"] else ""
    spread = f"({found['spread'][0]:.2f}-{found['spread'][1]:.2f})"
    print(f"{found['name']:28} {found['ratio']:6.2f}x {spread:14} {speed}{floor}", flush=True)


def write(rows, path):
    """Write all rows to a file, if one was asked for."""
    if path:
        path.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
