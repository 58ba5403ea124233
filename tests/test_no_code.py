"""No code is executed from any file, ever: what could do so is not in the source, but for the places listed here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import robustill

ROOT = Path(robustill.__file__).parent

# What runs code, or unpickles, by the name it is called under.
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "execfile", "runpy.run_path", "runpy.run_module",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cPickle.load", "dill.load", "joblib.load", "marshal.loads",
    "marshal.load", "shelve.open", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter",
    "torch.export.load",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "os.execv", "os.execvp", "os.startfile",
    "subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output",
    "subprocess.getoutput", "ctypes.CDLL", "torch.ops.load_library", "torch.classes.load_library",
    "importlib.import_module", "importlib.util.spec_from_file_location", "pydoc.locate", "pkgutil.resolve_name",
    "tarfile.open", "zipfile.extractall", "shutil.unpack_archive", "builtins.eval", "builtins.exec",
}  # fmt: skip
METHODS = {"extractall", "extract", "unpack_archive"}

# File and call: why no file decides what happens there.
ALLOWED = {
    ("__init__.py", "importlib.import_module"): "the names of the package's own modules, a literal table",
    ("plugins.py", "importlib.import_module"): "what a person names on the command line or in a call, and no file can",
    ("models/sources.py", "importlib.import_module"): "literal names of optional packages",
    ("evaluation/helpers.py", "pickle.loads"): "from a pipe between an evaluation and the processes it started itself",
    ("study/local.py", "subprocess.Popen"): "this interpreter with a module of the package; a list, no shell",
    ("data/pickles.py", "pickle.Unpickler"): "a subclass that knows four names, all of them functions of its own",
}


def name_of(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def literal(node: ast.Call, key: str) -> object:
    value = next((each.value for each in node.keywords if each.arg == key), None)
    return value.value if isinstance(value, ast.Constant) else None


def aliases(tree: ast.AST) -> dict[str, str]:
    """Return what the names that a module imports stand for: `from pickle import loads as x` gives x: pickle.loads."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            found |= {each.asname: each.name for each in node.names if each.asname}
    return found


def suspects(root: Path) -> set[tuple[str, str]]:
    found = set()
    for file in sorted(root.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        known = aliases(tree)
        where = file.relative_to(root).as_posix()
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found |= {(where, name_of(base)) for base in node.bases if name_of(base) in FORBIDDEN}
            # Also where it is only named: it may be called under another name. A field called so is no use of it.
            if isinstance(node, ast.Name | ast.Attribute) and not isinstance(node.ctx, ast.Store):
                first, dot, rest = name_of(node).partition(".")
                name = known.get(first, first) + dot + rest
                found |= {(where, name)} if name in FORBIDDEN else set()
            if not isinstance(node, ast.Call):
                continue
            first, dot, rest = name_of(node.func).partition(".")
            name = known.get(first, first) + dot + rest
            if name == "torch.load" and literal(node, "weights_only") is not True:
                found.add((where, "torch.load"))
            if name in ("numpy.load", "np.load") and literal(node, "allow_pickle") is not False:
                found.add((where, "np.load"))
            if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                found.add((where, node.func.attr))
            if any(each.arg == "shell" for each in node.keywords) or literal(node, "trust_remote_code"):
                found.add((where, f"{name} with a shell or remote code"))
    return found


def test_nothing_in_the_source_executes_a_file() -> None:
    assert suspects(ROOT) == set(ALLOWED)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import torch\ntorch.load(path)", "torch.load"),
        ("import torch\ntorch.load(path, weights_only=safe)", "torch.load"),
        ("import torch\ntorch.load(path, weights_only=False)", "torch.load"),
        ("import numpy as np\nnp.load(path)", "np.load"),
        ("import numpy\nnumpy.load(path, allow_pickle=True)", "np.load"),
        ("from pickle import loads as read\nread(content)", "pickle.loads"),
        ("import pickle as p\nx = p.load", "pickle.load"),
        ("eval(text)", "eval"),
        ("found = [exec]", "exec"),
        ("class A:\n    compile: bool = compile", "compile"),
        ("import subprocess\nsubprocess.run(command, shell=True)", "subprocess.run"),
        ("import os\nos.system(text)", "os.system"),
        ("import importlib\nimportlib.import_module(name)", "importlib.import_module"),
        ("archive.extractall(folder)", "extractall"),
        ("import yaml\nyaml.load(text)", "yaml.load"),
        ("class A(pickle.Unpickler): ...", "pickle.Unpickler"),
    ],
)
def test_what_executes_is_seen(code: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(code)
    assert ("module.py", name) in suspects(tmp_path)


def test_what_does_not_execute_is_not_seen(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "import numpy as np\nimport torch\nimport re\nmodel.eval()\nre.compile('a')\n"
        "torch.load(path, weights_only=True)\nnp.load(path, allow_pickle=False)\n"
    )
    assert suspects(tmp_path) == set()


def test_every_import_by_name_is_of_a_literal() -> None:
    """Where packages are imported by name, it comes from calls with literals in the same file."""
    sources = ast.parse((ROOT / "models" / "sources.py").read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(sources) if isinstance(node, ast.Call) and name_of(node.func) == "_package"]
    assert len(calls) >= 3
    assert all(isinstance(call.args[0], ast.Constant) for call in calls)


def test_own_modules_are_imported_where_a_person_named_them() -> None:
    """From the command line's words; the processes that it starts get those from it."""
    found = set()
    for file in sorted(ROOT.rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        found |= {(file.relative_to(ROOT).as_posix(), ast.unparse(call)) for call in calls if _imports(call)}
    assert found == {
        ("cli/app.py", "import_modules(modules)"),
        ("study/run_cell.py", "import_modules(modules)"),
        ("evaluation/helpers.py", "import_modules(own)"),
    }


def _imports(call: ast.Call) -> bool:
    return name_of(call.func).rpartition(".")[2] == "import_modules"
