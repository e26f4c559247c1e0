"""From what a hook yields to a spec: of a class, read from its attributes; and what is wrong with either."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, get_args

from pydantic import BaseModel

from evoagent.config.model import ROLE_NAME
from evoagent.errors import PluginError
from evoagent.failures import shown
from evoagent.models.plugin import API_VERSION, Plugin
from evoagent.models.requests import Verb
from evoagent.plugins.discovery import SPECS, article
from evoagent.plugins.specs import PluginSpec, ResponseSelectorSpec

_BASES = {
    "operator": "Operator",
    "scorer": "Scorer` or `PopulationScorer",
    "rule": "Rule` or `PopulationRule",
    "selector": "Selector` or `ResponseSelector",
    "optimizer": "Optimizer",
    "engine": "Engine",
}
_SPEC: dict[str, type[PluginSpec]] = {spec.kind: spec for spec in SPECS.values()}
_SPEC[ResponseSelectorSpec.kind] = ResponseSelectorSpec

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FAMILY = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_NEED = re.compile(rf"(?!corpora\.){ROLE_NAME}\.({'|'.join(get_args(Verb))})|corpora\.[a-z0-9][a-z0-9_-]*")
_SUFFIX = re.compile(r"\.[A-Za-z0-9_.-]{1,20}")


def spec_of(cls: type[Plugin], **given: Any) -> PluginSpec:
    """The spec that `cls` declares: its attributes of the same names, with itself as the factory.

    Args:
        given: fields that are not read from the class.

    Raises:
        PluginError: the class has no name.
    """
    if "name" not in given and not hasattr(cls, "name"):
        raise PluginError(f'`{cls.__name__}` has no `name`: give the class one, as `name = "…"`')
    spec = _SPEC[cls.kind]
    values = {field.name: getattr(cls, field.name) for field in fields(spec) if hasattr(cls, field.name)}
    values |= {"factory": cls, "config": cls.Config, "summary": cls.summary or _first_line(cls)}
    if cls.kind == "engine":
        values["verbs"] = getattr(cls, "capabilities", None)
    return spec(**values | given)


def _first_line(cls: type) -> str:
    lines = inspect.cleandoc(vars(cls).get("__doc__") or "").splitlines()
    return lines[0].removesuffix(".") if lines else ""


def declared(item: object, expected: type[PluginSpec]) -> PluginSpec:
    """The spec that `item`, which a hook has yielded, is or declares.

    Raises:
        PluginError: it is neither a class of the kind of `expected` nor such a spec.
    """
    if isinstance(item, expected):
        return item
    if isinstance(item, type) and issubclass(item, Plugin) and _is_kind(item, expected):
        return spec_of(item)
    if isinstance(item, Plugin):
        raise PluginError(f"yielded an instance of `{type(item).__name__}`, expected the class")
    found = f"class `{item.__name__}`" if isinstance(item, type) else article(type(item).__name__)
    base = f"a subclass of `{_BASES[expected.kind]}` or " if expected.kind in _BASES else ""
    raise PluginError(f"yielded {found}, expected {base}{article(expected.__name__)}")


def _is_kind(cls: type[Plugin], expected: type[PluginSpec]) -> bool:
    spec = _SPEC.get(getattr(cls, "kind", ""))
    return spec is not None and issubclass(spec, expected)


def spec_problem(spec: PluginSpec) -> str | None:
    """Why `spec` cannot be used; None if it can."""
    if spec.api_version != API_VERSION:
        return f"made for plugin API {shown(spec.api_version)}, this evoagent has {API_VERSION}"
    for field in fields(spec):
        value = getattr(spec, field.name)  # of any type: a dataclass does not check them
        holds, expected = _FIELDS.get(field.name, (None, ""))
        if holds is not None and not holds(value):
            return f"found {field.name} {shown(value)}, expected {expected}"
    return None


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_number(most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def _all(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Iterable) and not isinstance(value, str) and all(map(holds, value))


def _is_model(value: Any) -> bool:
    return value is None or (isinstance(value, type) and issubclass(value, BaseModel))


def _one_of(*values: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in values


def _listed(values: Iterable[str]) -> str:
    *others, last = map(repr, values)
    return f"{', '.join(others)} and {last}"


_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_matches(_NAME), "lower-case letters, digits, `_` and `-`"),
    "factory": (callable, "a callable"),
    "summary": (lambda value: isinstance(value, str), "a text"),
    "config": (_is_model, "a pydantic model class"),
    "needs": (
        _all(_matches(_NEED)),
        "a tuple of roles with a verb and of corpora: ('scorer.loss', 'corpora.queries')",
    ),
    "parents": (_is_number(16), "a whole number from 1 to 16"),
    "evolutions": (_is_number(64), "a whole number from 1 to 64"),
    "family": (_matches(_FAMILY), "a short name such as 'depth' or 'breadth'"),
    "exempt": (_all(lambda rule: isinstance(rule, str)), "a tuple of names of rules"),
    "looks_at": (_one_of("instruction", "response", "population"), "'instruction', 'response' or 'population'"),
    "verbs": (_all(_one_of(*get_args(Verb))), f"a set of {_listed(get_args(Verb))}"),
    "suffix": (_matches(_SUFFIX), "one such as '.jsonl'"),
}
"""What a field must be, and how that is told."""
