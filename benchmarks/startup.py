"""Seconds until robustill is there: its import against that of PyTorch alone, and `--help`.

    python benchmarks/startup.py [--json FILE]

The baseline of all three is `import torch`, in a process of its own.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from rows import row, show, write

CODE = {
    "import torch": "import torch",
    "import robustill": "import torch, robustill",
    "robustill --help": "import sys; sys.argv = ['robustill', '--help']; from robustill.cli import main; main()",
}


def seconds(code):
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {name: [] for name in CODE}
    for round_ in range(options.rounds + 1):
        for name, code in CODE.items():
            spent = seconds(code)
            if round_:  # the first round fills the file cache
                found[name].append(spent)
    rows = []
    for name, values in found.items():
        print(f"{name:28} {statistics.median(values):6.2f} s")
        if name != "import torch":
            rows.append(row(name, found["import torch"], values))
    added = statistics.median(o - t for t, o in zip(found["import torch"], found["import robustill"], strict=True))
    print(f"importing robustill after torch adds {1000 * added:.0f} ms")
    for each in rows:
        show(each)
    write(rows, options.json)


if __name__ == "__main__":
    main()
