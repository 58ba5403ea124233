"""Put a run into the package as a trained model with its card.

    robustill train digits_mtard_cnn-small --out runs/x --set teachers.teacher_adv=... --set teachers.teacher_nat=...
    robustill evaluate runs/x --attacks pgd20,autoattack --images 1000
    python benchmarks/shipped_models.py runs/x --name digits_mtard_cnn-small --note "Best of three seeds on validation."

Writes `src/robustill/zoo/NAME.safetensors` and `NAME.md`; the numbers on the card are those of the run's
`evaluation.json`.
"""

import argparse
import json
from pathlib import Path

from robustill.models import file_digest, load_model, save_model
from robustill.recipe import load_recipe

ZOO = Path(__file__).resolve().parents[1] / "src" / "robustill" / "zoo"
LARGEST = 5_000_000


def share(entry):
    low, high = entry["interval"]
    return f"{100 * entry['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def taught(source):
    """Return what a teacher is, from its own run folder."""
    recipe = load_recipe(source)
    return f"`{recipe.student.architecture}` by {recipe.method.name}, seed {recipe.training.seed}"


def card(name, model, run, found, recipe, digest, note):
    threat, attacks = found["threat"], found["attacks"]
    count = sum(p.numel() for p in model.parameters())
    clean, auto = 100 * found["clean"]["accuracy"], 100 * attacks["autoattack"]["accuracy"]
    teachers = ", ".join(f"{key}: {taught(source)}" for key, source in recipe.teachers.items()) or "none"
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["epoch"] + 1
    rows = {
        "Architecture": f"`{model.spec.name}` {dict(model.spec.arguments) or ''}, {count:,} parameters".replace(
            " ,", ","
        ),
        "Images": f"{found['data']}, {'x'.join(map(str, model.spec.shape))}, in [0, 1]",
        "Recipe": f"`{name}`, seed {recipe.training.seed}, epoch {int(model.extra['epoch']) + 1} of {last}",
        "Teachers": teachers,
        "Clean accuracy": share(found["clean"]),
        "PGD-20": share(attacks["pgd20"]),
        "AutoAttack (standard)": share(attacks["autoattack"]),
        "Threat": f"{threat['norm']}, eps {threat['eps']:g}",
        "Judged on": f"{found['images']:,} {found['split']} images; 95 % intervals",
        "PyTorch": found["versions"]["torch"],
        "SHA-256": f"`{digest}`",
    }
    head = (
        f"`{model.spec.name}` by {recipe.method.name} on {found['data']}: {clean:.1f} % clean, {auto:.1f} % AutoAttack"
    )
    lines = [f"# robustill:{name}", "", f"{head}, {threat['norm']} eps {threat['eps']:g}", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in rows.items()]
    lines += [
        "",
        note,
        "",
        "Trained on a CPU. Training it again gives another network of about the same accuracy. Meant as",
    ]
    lines += ["a teacher and for trying things out: it is small, and robust only to the perturbations above.", ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    model, recipe = load_model(options.run), load_recipe(options.run)
    found = json.loads((options.run / "evaluation.json").read_text())
    target = ZOO / f"{options.name}.safetensors"
    extra = {"method": recipe.method.name, "data": recipe.data.name, "recipe": options.name}
    digest = save_model(model, target, extra={**extra, "seed": str(recipe.training.seed)})
    assert digest == file_digest(target)
    assert target.stat().st_size < LARGEST, "too large for the package"
    text = card(options.name, model, options.run, found, recipe, digest, options.note)
    target.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
