"""Every public name has a docstring with an example that is run, and says the shapes of its tensors."""

import doctest
import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import Any

import pytest

import robustill

# What cannot be shown by itself, and what shows it.
WITHOUT = {
    "robustill.report.draw_*": "each draws one JSON file of a run folder; the verb that writes the file calls it",
    "robustill.study.Cell": "only ever made by Cells",
    "robustill.study.Study": "only ever made by open_study",
    "robustill.export.Exported": "returned by export_model",
    "robustill.export.Written": "a part of Exported",
    "robustill.export.Pushed": "returned by push_export",
    "robustill.export.PushError": "raised by push_export",
    "robustill.export.Origin": "an argument of export_model that only the model card shows",
    "robustill.export.push_export": "needs the hub",
    "robustill.export.export_run": "export_model, for a run folder",
}


def packages() -> list[ModuleType]:
    below = (each.name for each in pkgutil.walk_packages(robustill.__path__, "robustill.") if each.ispkg)
    return [importlib.import_module(name) for name in ("robustill", *below)]


def public() -> dict[str, Any]:
    """Functions and classes by the first name that a user finds them under."""
    found: dict[str, Any] = {}
    for package in packages():
        for name in getattr(package, "__all__", ()):
            each = getattr(package, name)
            if (inspect.isclass(each) or inspect.isfunction(each)) and each not in found.values():
                found[f"{package.__name__}.{name}"] = each
    return found


def documented(each: Any) -> str:
    """The docstrings of a function, or of a class and what is defined in it."""
    own = [each.__doc__ or ""]
    if inspect.isclass(each):
        members = (getattr(value, "__func__", value) for value in vars(each).values())
        own += [
            member.__doc__ or "" for member in members if inspect.isfunction(member) or isinstance(member, property)
        ]
    return "\n".join(own)


def excused(name: str) -> bool:
    stem = name.rpartition(".")[0] + ".draw_*" if ".draw_" in name else name
    return stem in WITHOUT


PUBLIC = public()


def test_there_is_much_to_look_at() -> None:
    assert len(PUBLIC) > 150
    assert {"robustill.train", "robustill.methods.RSLAD", "robustill.attacks.PGD"} <= PUBLIC.keys()


def test_every_public_name_has_a_docstring() -> None:
    assert [name for name, each in PUBLIC.items() if not (each.__doc__ or "").strip()] == []


def test_every_public_name_has_an_example() -> None:
    parse = doctest.DocTestParser().get_examples
    without = [name for name, each in PUBLIC.items() if not parse(documented(each))]
    assert [name for name in without if not excused(name)] == []


def test_no_exception_is_out_of_date() -> None:
    parse = doctest.DocTestParser().get_examples
    for name in WITHOUT:
        meant = [
            each for key, each in PUBLIC.items() if key == name or (name.endswith("*") and key.startswith(name[:-1]))
        ]
        assert meant, name
        assert not any(parse(documented(each)) for each in meant), name


def test_examples_of_public_names_are_run(request: pytest.FixtureRequest) -> None:
    options = request.config.getini("addopts")
    assert "--doctest-modules" in options
    assert "src" in request.config.getini("testpaths")


def tensors(each: Any) -> bool:
    """Whether a signature names tensors."""
    try:
        parameters = inspect.signature(each)
    except (TypeError, ValueError):
        return False
    named = [parameter.annotation for parameter in parameters.parameters.values()] + [parameters.return_annotation]
    return any("Tensor" in str(annotation) for annotation in named)


def test_shapes_of_tensors_are_said() -> None:
    assert [
        name for name, each in PUBLIC.items() if tensors(each) and "[" not in documented(each).split(">>>")[0]
    ] == []
