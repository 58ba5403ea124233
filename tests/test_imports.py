"""A module imports only from modules below it, and the command line's help needs no torch."""

import ast
import subprocess
import sys
from pathlib import Path

import robustill

ROOT = Path(robustill.__file__).parent
# Bottom to top; what is not a folder of this name is a file.
ORDER = [
    "errors",
    "terminal",
    "progress",
    "writing",
    "drawing",
    "notebook",
    "inputs",
    "losses",
    "attacks",
    "shipped",
    "models",
    "certification",
    "data",
    "methods",
    "plugins",
    "training",
    "evaluation",
    "diagnostics",
    "theory",
    "report",
    "recipe",
    "runs",
    "export",
    "study",
    "catalogue",
    "demo",
    "cli",
    "__main__",
]


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {node.module or ""} if node.module != "robustill" else {f"robustill.{a.name}" for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("robustill.")} - {"__version__"}


def upward(root: Path) -> list[str]:
    found = []
    for file in sorted(root.rglob("*.py")):
        part = file.relative_to(root).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        for name in imported(file):
            if name not in ORDER or part not in ORDER or ORDER.index(name) > ORDER.index(part):
                found.append(f"{file.relative_to(root)} imports {name}")
    return found


def test_imports_point_downwards() -> None:
    assert upward(ROOT) == []


def test_an_upward_import_is_seen(tmp_path: Path) -> None:
    (tmp_path / "losses.py").write_text("from robustill.methods import RSLAD\n")
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "pgd.py").write_text("from robustill import recipe\nimport robustill.losses\n")
    assert upward(tmp_path) == ["attacks/pgd.py imports recipe", "losses.py imports methods"]


def test_help_does_not_import_torch() -> None:
    code = (
        "import sys\nsys.argv = ['robustill', '--help']\n"
        "from robustill.cli import main\ntry:\n    main()\nexcept SystemExit as e:\n    assert not e.code\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'scipy', 'pydantic'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "demo" in run.stdout
    assert "evaluate" in run.stdout
