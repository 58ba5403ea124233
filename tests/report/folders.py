"""Run folders written by hand, as robustill writes them, with numbers that can be counted."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

PNG = base64.b64encode(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
).decode()

RECIPE = """title = "Pets: RSLAD student"
[data]
name = "pets"
validation = 0.1
[method]
name = "rslad"
[attack]
eps = 0.1
[training]
epochs = 3
[training.selection]
metric = "auto"
steps = 10
"""

# Of 40 images: right without an attack, under pgd20, under cw.
CLEAN = np.arange(40) < 36
PGD = np.arange(40) < 22
CW = (np.arange(40) >= 2) & (np.arange(40) < 25)


def entry(right: Any, n: int | None = None) -> dict[str, Any]:
    share = float(np.mean(right)) if n is None else right / n
    return {"accuracy": share, "interval": [max(0.0, share - 0.125), min(1.0, share + 0.0625)]}


def evaluation(clean: Any = CLEAN, names: tuple[str, str] = ("cat", "dog"), **attacks: Any) -> dict[str, Any]:
    attacks = attacks or {"pgd20": PGD, "cw": CW}
    robust = np.stack([clean, *attacks.values()]).all(0)
    half = len(clean) // 2
    classes = [
        {"name": name, "images": half, "clean": entry(clean[part]), "robust": entry(robust[part])}
        for name, part in zip(names, (slice(0, half), slice(half, None)), strict=True)
    ]
    check = {"name": "square-probe", "fired": False, "value": {}, "says": "Square finds nothing."}
    return {
        "schema": 1, "images": len(clean), "threat": {"norm": "Linf", "eps": 0.1}, "clean": entry(clean),
        "attacks": {name: {**entry(clean & right), "wra": 0.5} for name, right in attacks.items()},
        "robust": {**entry(robust), "wra": 0.625}, "classes": classes,
        "worst_class": {"name": names[1], "robust": 0.1}, "checks": {"square-probe": check},
        "seconds": 1.5, "data": "pets", "split": "test", "data_digest": "d" * 64, "model_digest": "e" * 64, "seed": 0,
        "versions": {"robustill": "0.1.0", "torch": "2.13.0", "python": "3.11.7"},
    }  # fmt: skip


def verdicts(path: Path, clean: Any = CLEAN, index: str = "i", **attacks: Any) -> None:
    attacks = attacks or {"pgd20": PGD, "cw": CW}
    levels = {
        f"level/{name}": np.where(right & clean, 1, -1).astype(np.int16)
        for name, right in {"clean": clean, **attacks}.items()
    }
    save_file(levels, path, {"settings": json.dumps({"index": index})})


def epochs() -> list[dict[str, Any]]:
    scores = [(0.5, 0.25), (0.75, 0.5), (0.875, 0.375)]
    return [
        {"kind": "epoch", "epoch": k, "adv": 2.0 - k, "loss": 3.0 - k, "w_adv": 0.5 + k / 8, "w_nat": 0.5 - k / 8,
         "tau_adv": 1.0 + k, "validation": {"clean": clean, "robust": robust, "wra": (clean + robust) / 2},
         "seconds": 2.0}
        for k, (clean, robust) in enumerate(scores)
    ]  # fmt: skip


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def lines(path: Path, content: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in content))


def run(folder: Path, **attacks: Any) -> Path:
    """Write a folder with a recipe, three epochs, an evaluation and its verdicts."""
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE)
    lines(folder / "metrics.jsonl", epochs())
    write(folder / "evaluation.json", evaluation(**attacks))
    verdicts(folder / "verdicts.safetensors", **attacks)
    return folder


def with_everything(folder: Path) -> Path:
    """Write a folder with every file that a report reads."""
    run(folder)
    content = evaluation()
    content["curve"] = {"attacks": ["pgd20"], "points": [{"eps": e, **entry(n, 40)} for e, n in ((0.05, 30), (0.2, 5))]}
    write(folder / "evaluation.json", content)
    scores = {"clean": [0.5, 0.75, 0.875], "robust": [0.25, 0.5, 0.375]}
    write(folder / "diagnostics.json", {"overfitting": {
        "epochs": [0, 1, 2], "validation": {"images": 80, **scores}, "train": {"unlearnable": {"images": 20, **scores}},
        "best": {"epoch": 1, "robust": 0.5}, "last": {"epoch": 2, "robust": 0.375}, "gap": 0.125, "noise": 0.15,
        "rise": {"unlearnable": -0.125},
    }})  # fmt: skip
    write(folder / "calibration.json", calibration())
    write(folder / "certification.json", certification())
    write(folder / "teachers.json", teachers())
    write(folder / "unlearnable.json", unlearnable())
    write(folder / "examples.json", examples())
    write(folder / "landscape.json", landscape())
    write(folder / "gallery.json", gallery())
    return folder


def calibration() -> dict[str, Any]:
    def mean(value: float) -> dict[str, Any]:
        return {"mean": value, "interval": [value / 2, value * 1.5]}

    share = {"share": 0.75, "interval": [0.5, 0.875]}
    radius = {"eps": 0.05, "calibration": {"lower": mean(0.125), "upper": mean(0.4375)},
              "agreement": {"certified": share, "found": share}}  # fmt: skip
    return {
        "schema": 1, "images": 40, "points": {"right": "teacher", "count": 36, "small_sample": False},
        "threat": {"norm": "Linf", "eps": [0.05]}, "bounds": "crown",
        "clean": {"calibration": mean(0.0625), "agreement": share}, "radii": [radius], "seconds": 2.0,
        "student_digest": "e" * 64, "versions": {"torch": "2.13.0"},
    }  # fmt: skip


def certification() -> dict[str, Any]:
    radius = {"eps": 0.05, "certified": entry(8, 40), "attacked": entry(28, 40)}
    return {
        "schema": 1, "images": 40, "small_sample": False, "threat": {"norm": "Linf", "eps": [0.05]}, "bounds": "crown",
        "clean": entry(36, 40), "radii": [radius], "seconds": 2.0, "model_digest": "e" * 64,
        "versions": {"torch": "2.13.0"},
    }  # fmt: skip


def teachers() -> dict[str, Any]:
    def one(name: str, entropy: float, *dropped: str) -> dict[str, Any]:
        score = {"mean": entropy, "interval": [entropy - 0.1, entropy + 0.1]}
        return {"name": name, "classes": 2, "dropped": list(dropped), "robust_accuracy_learnable": score,
                "surfaces": {"clean": {"entropy": {"unlearnable": score}}}}  # fmt: skip

    return {
        "surface": "clean", "criterion": "unlearnable_entropy", "temperature": 1.0, "references": 3,
        "sizes": {"unlearnable": 12, "learnable": 20}, "ranking": [{"name": "wide", "rank": 1, "tied_with": []}],
        "teachers": [one("tiny", 0.25, "knows nothing"), one("wide", 0.5)],
    }  # fmt: skip


def landscape() -> dict[str, Any]:
    spread = {"mean": 0.25, "sd_directions": 0.125}
    plane = {"radii": [-1.0, 0.0, 1.0], "losses": [[1.0, 0.75, 2.5], [0.5, 0.5, 0.5], [0.25, 0.625, 4.5]]}
    run = {"loss": 0.5, "robust": 0.5, "curves": [[1.0, 0.5, 1.5], [2.0, 0.5, 1.0]], "plane": plane,
           "robust_curves": [[0.25, 0.5, 0.125], [0.375, 0.5, 0.25]],
           "flatness": {"radius": 0.5, "rise": spread, "robust_drop": spread}}  # fmt: skip
    settings = {"norm": "Linf", "eps": 0.1, "directions": 2, "images": 40, "split": "train", "flatness_at": 0.5}
    return {"settings": settings, "radii": [-1.0, 0.0, 1.0], "runs": {"run": run}}


def gallery() -> dict[str, Any]:
    def sees(name: str, share: float) -> dict[str, Any]:
        return {"class": name, "probability": share}

    predictions = {"student": {"clean": sees("cat", 0.75), "adversarial": sees("dog", 0.5)},
                   "teacher": {"clean": sees("cat", 1.0), "adversarial": sees("cat", 0.25)}}  # fmt: skip
    image = {"position": 7, "label": "cat", "fell": True, "predictions": predictions,
             "clean": PNG, "adversarial": PNG, "perturbation": PNG}  # fmt: skip
    return {"schema": 1, "attack": "pgd20", "norm": "Linf", "eps": 0.1, "split": "test", "model_digest": "e" * 64,
            "images": [image], "missing": {}}  # fmt: skip


def unlearnable() -> dict[str, Any]:
    sizes = {"references": 3, "unlearnable": 10, "learnable": 20}
    return {
        "schema": 1, "data": "pets", "attack": "pgd10", "norm": "Linf", "eps": 0.1, "images": 40,
        "references": ["pgd_at/0", "pgd_at/1", "pgd_at/2"], "sizes": {"intersection": sizes},
        "histogram": [10, 4, 6, 20],
        "classes": [{"name": "cat", "images": 16, "unlearnable": 2, "learnable": 12},
                    {"name": "dog", "images": 24, "unlearnable": 8, "learnable": 8}],
        "jaccard": [[1.0, 0.5, 0.75], [0.5, 1.0, 0.625], [0.75, 0.625, 1.0]],
        "stability": [{"references": 1, "unlearnable": 16.0, "learnable": 24.0},
                      {"references": 2, "unlearnable": 12.5, "learnable": 22.0},
                      {"references": 3, "unlearnable": 10.0, "learnable": 20.0}],
        "label_errors": [{"position": 3, "row": 5, "label": "cat", "seen_as": "dog"}],
    }  # fmt: skip


def examples() -> dict[str, Any]:
    images = [{"pixels": [[0, 255], [10, 20]], "caption": "cat", "seen_as": "dog"},
              {"pixels": [[[0, 255, 3], [1, 2, 3]]], "caption": "dog", "seen_as": None}]  # fmt: skip
    rows = [
        {"title": "least learnable", "of": 10, "images": images},
        {"title": "most learnable", "of": 20, "images": images[:1]},
    ]
    return {"references": 3, "rows": rows}
