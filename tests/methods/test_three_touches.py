"""Adding a method touches its file, METHODS and its tests: no other module knows a method by name."""

import ast
from pathlib import Path

import robustill
from robustill.methods import METHODS

SOURCE = Path(robustill.__file__).parent
# The demonstration shows particular methods; everything else must work for all of them.
MAY_NAME_METHODS = {SOURCE / "methods" / "__init__.py", SOURCE / "demo.py"}


def example(method: type) -> int:
    """How many lines of the docstring are its example: those at the end, with the empty line before them."""
    lines = (method.__doc__ or "").rstrip().splitlines()
    return len(lines) - lines.index("    >>> import torch") + 1


def test_each_method_is_one_file_with_one_class() -> None:
    files = {}
    for name, method in METHODS.items():
        file = SOURCE / "methods" / f"{name}.py"
        assert method.__module__ == f"robustill.methods.{name}"
        classes = [node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef)]
        assert classes == [method.__name__]
        files[name] = len(file.read_text().splitlines()) - example(method)
    lengths = sorted(files.values())
    assert lengths[len(lengths) // 2] <= 70, files


def test_no_other_module_names_a_method() -> None:
    classes, modules = {m.__name__ for m in METHODS.values()}, {m.__module__ for m in METHODS.values()}
    for file in SOURCE.rglob("*.py"):
        if file in MAY_NAME_METHODS:
            continue
        own = METHODS[file.stem].__name__ if file.parent.name == "methods" and file.stem in METHODS else None
        for node in ast.walk(ast.parse(file.read_text())):
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else set()
            names |= {node.id} if isinstance(node, ast.Name) else set()
            assert not names & (classes - {own}), f"{file} names {names & classes}"
            if isinstance(node, ast.ImportFrom):
                assert node.module not in modules, f"{file} imports {node.module}"
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "METHODS":
                assert not isinstance(node.slice, ast.Constant), f"{file} asks METHODS for {ast.unparse(node.slice)}"
