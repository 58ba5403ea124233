"""What exported files compute and stand up to, beside the network: ONNX, and int8 calibrated (static) or not (dynamic).

    python benchmarks/export.py runs/rslad runs/resnet18 --images 1000 --queries 1000

Every file is made and attacked by `robustill export`. Throughput is that of one thread; network and files take turns,
and the ratio is the median over the turns. Dynamic files are asked image by image when they are attacked, and not by
Square.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from robustill.export import Measurement, export_run
from robustill.export.onnx_file import OnnxNetwork
from robustill.models import load_model

TURNS, BATCHES = 15, (1, 256)


def exports(run, images, queries, folder):
    """Return per kind of file: the export it is of, its format, and its path."""
    usual = Measurement(images=images, queries=queries)
    static = export_run(run, folder / "static", formats=["onnx", "int8"], measurement=usual)
    without = Measurement(images=images, queries=0)
    dynamic = export_run(run, folder / "dynamic", formats=["int8"], quantization="dynamic", measurement=without)
    return {
        "ONNX": (static, "onnx", folder / "static" / "model.onnx"),
        "int8, static": (static, "int8", folder / "static" / "model_int8.onnx"),
        "int8, dynamic": (dynamic, "int8", folder / "dynamic" / "model_int8.onnx"),
    }


def seconds(network, x, repeat):
    began = time.perf_counter()
    with torch.no_grad():
        for _ in range(repeat):
            network(x)
    return time.perf_counter() - began


def ratios(network, files, shape):
    """Return images per second of each file over those of the network, per batch size."""
    found = {name: [] for name in files}
    for size in BATCHES:
        x = torch.rand(size, *shape)
        repeat = max(1, int(0.2 / (seconds(network, x, 3) / 3)))
        for each in files.values():
            seconds(each, x, 3)
        turns = [
            {"network": seconds(network, x, repeat)} | {name: seconds(each, x, repeat) for name, each in files.items()}
            for _ in range(TURNS)
        ]
        for name in files:
            found[name].append(statistics.median(turn["network"] / turn[name] for turn in turns))
    return found


def cell(evaluation, name):
    if name not in evaluation.verdicts and name != "robust":
        return "-"
    low, high = evaluation.interval(name)
    return f"{100 * evaluation.accuracy(name):.1f} ({100 * low:.1f} to {100 * high:.1f})"


def rows(run, images, queries):
    with tempfile.TemporaryDirectory() as folder:
        found = exports(run, images, queries, Path(folder))
        network = load_model(run)
        files = {name: OnnxNetwork(path.read_bytes()) for name, (_, _, path) in found.items()}
        speed = ratios(network, files, network.spec.shape)
        exported = found["ONNX"][0]
        own = exported.evaluations["network"]
        weights = sum(each.numel() * each.element_size() for each in network.state_dict().values())
        cells = [cell(own, each) for each in ("clean", "pgd20", "cw", "square", "robust")]
        yield [run, "network", f"{weights / 1000:,.0f}", "0", "100", *cells, "1", "1"]
        for name, (each, format_, _) in found.items():
            file, judged = each.files[format_], each.evaluations[format_]
            cells = [cell(judged, n) for n in ("clean", "transfer-pgd20", "transfer-cw", "square", "robust")]
            parity = [f"{file.parity.largest_difference:.2g}", f"{100 * file.parity.agreement:.1f}"]
            yield [run, name, f"{file.bytes / 1000:,.0f}", *parity, *cells, *(f"{each:.2f}" for each in speed[name])]
        for name, checks in exported.checks.items():
            for check in checks:
                print(f"{run}, {name}, {check.name} {'FIRED' if check.fired else 'silent'}: {check.says}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = (
        "run", "file", "kB", "largest logit difference", "same class, %", "clean", "PGD-20", "CW", "Square",
        "worst case", *(f"speed, batch {size}" for size in BATCHES),
    )  # fmt: skip
    table = [row for run in options.runs for row in rows(run, options.images, options.queries)]
    for row in [columns, ["---"] * len(columns), *table]:
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
