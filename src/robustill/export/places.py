"""Recipes without the paths of the machine they were used on."""

from __future__ import annotations

import re
from typing import Any

# An absolute path, or one below a home folder, after a source such as "resnet18@" or "hf-disk:" if there is one.
_PLACE = re.compile(r"(?P<source>[\w.+-]*[@:])??(?P<path>(?:~|/|\\\\|[A-Za-z]:[\\/]).*)", re.DOTALL)


def without_places(value: Any) -> Any:
    """Return a table tree in which absolute paths are cut down to their last name.

    >>> without_places({"teacher": "/home/me/runs/teacher", "root": "runs/data", "other": "resnet18@/models/b.pt"})
    {'teacher': 'teacher', 'root': 'runs/data', 'other': 'resnet18@b.pt'}
    """
    if isinstance(value, dict):
        return {key: without_places(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_places(each) for each in value]
    return last_name(value) if isinstance(value, str) else value


def last_name(text: str) -> str:
    """Return the last name of an absolute path, with the source in front of it; other text as it is.

    >>> last_name("hf-disk:/data/pets/"), last_name("fashion-mnist"), last_name("robustbench:cifar10/Linf/A")
    ('hf-disk:pets', 'fashion-mnist', 'robustbench:cifar10/Linf/A')
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        return text
    parts = [part for part in re.split(r"[\\/]", found["path"]) if part]
    return (found["source"] or "") + (parts[-1] if parts else "")
