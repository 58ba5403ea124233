"""A method's card: its module docstring, read into fields for the command line, the README and the docs."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import asdict, dataclass

from robustill.methods.base import Method

_REQUIRED = ("Paper", "Inner", "Outer", "State", "Settings")
_OPTIONAL = {"Variants": "", "Differs": "nothing known"}


@dataclass(frozen=True)
class Card:
    """What a reader needs to know of a method.

    Args:
        name: Name in recipes.
        title: One line.
        paper: Authors, title, venue.
        inner: What the adversary maximises.
        outer: What training minimises.
        networks: Names of the networks its constructor takes.
        hyperparameters: Keyword-only arguments with their defaults, as text.
        state: Adaptive state.
        variants: What the equations leave unsaid, and further forms; may be empty.
        differs: Where it departs from the released code.
        settings: Recommended settings.

    >>> from robustill.methods import METHODS, card
    >>> card("mtard", METHODS["mtard"]).networks
    ('student', 'teacher_adv', 'teacher_nat')
    """

    name: str
    title: str
    paper: str
    inner: str
    outer: str
    networks: tuple[str, ...]
    hyperparameters: dict[str, str]
    state: str
    variants: str
    differs: str
    settings: str

    def to_json(self) -> dict[str, object]:
        """Return the card as plain containers."""
        return asdict(self)


def networks(method: type[Method]) -> tuple[str, ...]:
    """Return the names of the networks that a method's constructor takes, the student first."""
    parameters = inspect.signature(method).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)


def hyperparameters(method: type[Method]) -> dict[str, inspect.Parameter]:
    """Return the keyword-only arguments of a method's constructor, with annotation and default."""
    parameters = inspect.signature(method, eval_str=True).parameters.values()
    return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}


def card(name: str, method: type[Method]) -> Card:
    """Return the card of a method, read from the docstring of its module.

    Raises:
        ValueError: The docstring lacks a field.

    >>> from robustill.methods import METHODS
    >>> card("rslad", METHODS["rslad"]).inner
    "KL(T(x) || S(x'))"
    """
    text = inspect.cleandoc(sys.modules[method.__module__].__doc__ or "")
    parts = re.split(rf"^({'|'.join([*_REQUIRED, *_OPTIONAL])}): ", text, flags=re.MULTILINE)
    fields = {key: " ".join(value.split()) for key, value in zip(parts[1::2], parts[2::2], strict=True)}
    missing = [field for field in _REQUIRED if field not in fields]
    if missing:
        raise ValueError(f"the card of {name} lacks {', '.join(missing)}")
    return Card(
        name=name,
        title=parts[0].strip().partition("\n")[0],
        networks=networks(method),
        hyperparameters={key: str(p.default) for key, p in hyperparameters(method).items()},
        **{field.lower(): fields[field] for field in _REQUIRED},
        **{field.lower(): fields.get(field, default) for field, default in _OPTIONAL.items()},
    )


def card_or_blank(name: str, method: type[Method]) -> Card:
    """Return the card of a method, or one without words where its module has none, as in an experiment's script.

    >>> from robustill.methods import Standard
    >>> class Mine(Standard):
    ...     pass
    >>> Mine.__module__ = "builtins"
    >>> card_or_blank("mine", Mine).networks, card_or_blank("mine", Mine).inner
    (('student',), '')
    """
    try:
        return card(name, method)
    except ValueError:
        arguments = {
            p.name: str(p.default) for p in inspect.signature(method).parameters.values() if p.kind is p.KEYWORD_ONLY
        }
        blank = dict.fromkeys(("title", "paper", "inner", "outer", "state", "variants", "differs", "settings"), "")
        return Card(name=name, networks=networks(method), hyperparameters=arguments, **blank)
