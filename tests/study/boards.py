"""A small study with made-up verdicts, for the tests of boards."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from robustill.study import Study
from robustill.study.schedule import Schedule, jobs_of
from tests.study.small import QUICK, TEACHERS, Inline, Silent, opened

ROOT = Path(__file__).parents[2]
IMAGES = 11
RUNS = "".join(
    f'[runs.{name}]\nrecipe = "digits_{recipe}_cnn-small"\n'
    for name, recipe in {"rslad": "rslad", "saad": "ard", "pgd_at": "pgd-at", "trades": "trades"}.items()
)
BASE = QUICK.replace('["fgsm"]', '["pgd20", "autoattack"]').replace("images = 100", f"images = {IMAGES}")
CLAIMS = """
[[claims]]
name = "a"
says = "SAAD | helps"
source = "paper"
study = "leaderboard"
run = "saad"
base = "rslad"
metric = "autoattack"
claimed = 10.0
"""


def right(name: str, seed: int, student: str) -> dict[str, torch.Tensor]:
    """Return made-up verdicts: what is wrong without an attack is wrong under one."""
    draw = torch.Generator().manual_seed(hash((len(name), seed, student == "last")) % 1000)
    clean = torch.rand(IMAGES, generator=draw) < 0.9
    robust = clean & (torch.rand(IMAGES, generator=draw) < (0.9 if name == "saad" else 0.4))
    return {"clean": clean, "pgd20": robust | clean, "autoattack": robust}


def write(folder: Path, found: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
    """Write an evaluation as `evaluate` does; return the rows of a result."""
    folder.mkdir(exist_ok=True)
    level = {name: torch.where(each, 1, -1).to(torch.int16) for name, each in found.items()}
    tensors = {f"level/{name}": each for name, each in level.items() if name != "autoattack"}
    # Two stages, of which the first lets more stand.
    tensors |= {"level/autoattack/apgd-ce": level["clean"].clone(), "level/autoattack/square": level["autoattack"]}
    save_file(tensors, folder / "verdicts.safetensors", {"settings": json.dumps({"index": "i"})})
    accuracy = {name: each.double().mean().item() for name, each in found.items()}
    content = {
        "images": IMAGES, "data_digest": "d", "split": "test", "threat": {"norm": "Linf", "eps": 0.05},
        "clean": {"accuracy": accuracy.pop("clean")}, "attacks": {k: {"accuracy": v} for k, v in accuracy.items()},
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(content))
    entries = {"clean": content["clean"], **content["attacks"], "robust": content["attacks"]["autoattack"]}
    return [
        {"attack": k, "images": IMAGES, "accuracy": v["accuracy"], "low": 0.0, "high": 1.0} for k, v in entries.items()
    ]


def work(folder: Path) -> int:
    job = json.loads((folder / "cell.json").read_text())
    name, _, seed = job["name"].rpartition(" seed ")
    best = {"epoch": 0, "robust": 0.9 if name == "saad" else 0.5}
    trained = {"training": job["training"], "epochs": 2, "best": best, "last": {"epoch": 1}}
    (folder / "trained.json").write_text(json.dumps(trained))
    rows = []
    for student, place in (("best", folder), ("last", folder / "last")):
        rows += [{"student": student, **row} for row in write(place, right(name, int(seed), student))]
    (folder / "metrics.jsonl").write_text('{"kind": "epoch", "epoch": 1, "seconds": 12.4}\n')
    result = {"address": job["address"], "trained": trained, "rows": rows, "calibration": [], "seconds": {}}
    (folder / "result.json").write_text(json.dumps(result))
    return 0


def made(folder: Path) -> Study:
    """Return the study with all its cells."""
    found = opened(folder, RUNS + TEACHERS, 'name = "leaderboard"\nbaseline = "rslad"', BASE)
    found._prepare()
    jobs = jobs_of(found.cells.all(), found.store)
    Schedule(jobs, found.store, Inline(work), Silent(), retries=0).run()
    return found
