"""Run the commands of docs/tutorial.md, and write what they print into the page.

`python docs/run_tutorial.py FOLDER` runs them in FOLDER; the block of text after a command is replaced by its output.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "tutorial.md"
_STEP = re.compile(r"(^```sh\n(?P<commands>.*?)^```\n)(?P<shown>\n```text\n.*?^```\n)?", re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """Return the robustill commands of a block, each as its words after `robustill`."""
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("robustill ")]


def run(words: list[str], folder: Path) -> str:
    """Run one command and return what it printed; its progress goes to the terminal.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "robustill", *words], cwd=folder, stdout=subprocess.PIPE, text=True, check=True,
        env=os.environ | {"COLUMNS": "92", "TERM": "dumb"},
    )  # fmt: skip
    sys.stderr.write(f"{time.monotonic() - start:7.1f} s  robustill {shlex.join(words)}\n")
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def main() -> None:
    """Run everything in the folder that is named and rewrite the page."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)

    def step(found: re.Match[str]) -> str:
        printed = "\n".join(run(words, folder) for words in commands(found["commands"]))
        return found[1] + (f"\n```text\n{printed}\n```\n" if found["shown"] else "")

    PAGE.write_text(_STEP.sub(step, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
