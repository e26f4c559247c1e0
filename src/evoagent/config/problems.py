"""What pydantic rejects, told as: which key, what was found, what was expected."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

Location = tuple[str | int, ...]

_SHOWN = 60

_EXPECTED = {
    "int": "an integer",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "string": "a text",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a mapping of keys to values",
    "mapping": "a mapping of keys to values",
    "model": "a mapping of keys to values",
    "none": "null",
    "finite": "a finite number",
}

_BOUNDS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and the path of keys and list positions that leads to it."""

    location: Location
    message: str

    @property
    def key(self) -> str:
        """The location as users write it: `evolver.operators.0`."""
        return ".".join(str(step) for step in self.location)

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.location else self.message


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """One problem for each thing that `error` holds against the input of `model`."""
    return [Problem(tuple(item["loc"]), _message(item, model)) for item in error.errors(include_url=False)]


def closest(name: str, known: Iterable[str]) -> str:
    """ "; did you mean `a` or `b`?", else "; expected one of a, b, c", else nothing."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return f"; did you mean {' or '.join(f'`{item}`' for item in near)}?"
    return f"; expected one of {', '.join(names)}" if names else ""


def shown(value: Any) -> str:
    """`value` as YAML has it, on one line and shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "a list"
    text = repr(value) if isinstance(value, (str, int, float)) else str(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _message(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    kind: str = item["type"]
    if kind == "extra_forbidden":
        owner = _model_at(model, item["loc"][:-1])
        return "unknown key" + closest(str(item["loc"][-1]), owner.model_fields if owner else ())
    expected = _expected(kind, item)
    if kind == "missing":
        return "missing, and has no default"
    if expected is None:
        return str(item["msg"]).removeprefix("Value error, ")
    return f"found {shown(item['input'])}, expected {expected}"


def _expected(kind: str, item: Mapping[str, Any]) -> str | None:
    context: Mapping[str, Any] = item.get("ctx") or {}
    if kind in ("literal_error", "enum"):
        return f"one of {context['expected']}" if " or " in str(context["expected"]) else str(context["expected"])
    for bound, words in _BOUNDS.items():
        if bound in context:
            return f"a number {words} {context[bound]}"
    if kind == "string_pattern_mismatch":
        return f"a text that matches {context['pattern']}"
    if kind == "too_short":
        return f"at least {context['min_length']} item{'s' if context['min_length'] > 1 else ''}"
    if kind == "too_long":
        return f"at most {context['max_length']} items"
    if kind == "string_too_short":
        return f"at least {context['min_length']} character{'s' if context['min_length'] > 1 else ''}"
    if kind == "string_too_long":
        return f"at most {context['max_length']} characters"
    return _EXPECTED.get(kind.partition("_")[0])


def _model_at(model: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    named = False  # the step is a name that users choose, in a mapping of models
    for step in location:
        if isinstance(step, int) or named:
            named = False
            continue
        if found is None or step not in found.model_fields:
            return None
        annotation = found.model_fields[step].annotation
        named = get_origin(annotation) is dict
        found = _model_in(annotation)
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside `annotation`: itself, or what a list or a mapping holds, or what is not None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, tuple, dict, Union, types.UnionType, Annotated):
        for part in get_args(annotation):
            if (found := _model_in(part)) is not None:
                return found
    return None
