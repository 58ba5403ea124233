"""A place may be named by a string: no public function insists on a `Path`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import robustill
from robustill.errors import InputError


def takes_only_paths() -> Iterator[str]:
    for module in pkgutil.walk_packages(robustill.__path__, "robustill."):
        found = importlib.import_module(module.name)
        for name in getattr(found, "__all__", ()):
            function = getattr(found, name)
            if inspect.isfunction(function):
                for parameter in inspect.signature(function).parameters.values():
                    kind = str(parameter.annotation)
                    if "Path" in kind and "str" not in kind:
                        yield f"{module.name}.{name}({parameter.name}: {kind})"


def test_every_public_function_takes_strings_for_paths() -> None:
    assert not list(takes_only_paths())


@pytest.mark.parametrize("name", ["figure", "figure.docx", "figure.svgg"])
def test_a_figure_needs_an_ending_that_is_known(name: str, tmp_path: Path) -> None:
    from robustill.report import draw_curve

    curve = {"attacks": ["fgsm"], "points": [{"eps": 0.1, "accuracy": 0.5, "interval": [0.25, 0.75]}]}
    evaluation = {
        "clean": {"accuracy": 0.75, "interval": [0.5, 1]}, "curve": curve, "threat": {"norm": "Linf"}, "images": 4,
        "data": "digits",
    }  # fmt: skip
    with pytest.raises(InputError, match="is not a format of figures"):
        draw_curve(evaluation, str(tmp_path / name))
    draw_curve(evaluation, str(tmp_path / "figure.SVG"))
    assert [path.name for path in tmp_path.iterdir()] == ["figure.SVG"]
