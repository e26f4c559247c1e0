"""A plugin's parameters in words, from their pydantic model."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

_ENTRY = re.compile(r"\A( {4,})(\w+)(?: \([^)]*\))?: (.*)")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `default` is as JSON has it; a nested one's name is dotted."""

    name: str
    type: str
    required: bool
    default: Any
    description: str


def parameters(model: type[BaseModel] | None) -> list[Parameter]:
    """The parameters of `model` in its own order, those of nested models after the one that holds them."""
    if model is None:
        return []
    schema = json_schema(model)
    return list(_parameters(model, schema, schema, ""))


def json_schema(model: type[BaseModel]) -> Mapping[str, Any]:
    """The model's JSON schema; an empty one where its types have none."""
    try:
        return model.model_json_schema()
    except Exception:  # a type that pydantic does not know
        return {}


def example(model: type[BaseModel]) -> dict[str, Any] | None:
    """Valid parameters as the model's own examples give them: of the whole, or of each field without a default."""
    extra = model.model_config.get("json_schema_extra")
    given: Any = extra.get("examples") if isinstance(extra, Mapping) else None
    candidates: list[Any] = list(given or ())
    required = {name: field for name, field in model.model_fields.items() if field.is_required()}
    if required and all(field.examples for field in required.values()):
        candidates.append({field.alias or name: (field.examples or [None])[0] for name, field in required.items()})
    for candidate in candidates:
        try:
            model.model_validate(candidate)
        except Exception:
            continue
        return dict(candidate)
    return None


def docstring_attributes(model: type[BaseModel]) -> dict[str, str]:
    """The descriptions under "Attributes:" in the model's docstring, by field."""
    lines = inspect.cleandoc(model.__doc__ or "").splitlines()
    if "Attributes:" not in lines:
        return {}
    found: dict[str, str] = {}
    name, indent = None, 0
    for line in lines[lines.index("Attributes:") + 1 :]:
        entry = _ENTRY.match(line)
        if entry and (name is None or len(entry[1]) <= indent):
            name, indent = entry[2], len(entry[1])
            found[name] = entry[3].strip()
        elif line.strip() and not line.startswith(" "):
            break
        elif line.strip() and name is not None:
            found[name] += f" {line.strip()}"
    return found


def _parameters(
    model: type[BaseModel], schema: Mapping[str, Any], root: Mapping[str, Any], prefix: str
) -> Iterator[Parameter]:
    told = docstring_attributes(model)
    properties = schema.get("properties", {})
    for name, field in model.model_fields.items():
        key = field.alias or name
        part = properties.get(key, {})
        default = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
        description = field.description or told.get(name, "")
        yield Parameter(
            f"{prefix}{key}",
            type_text(part, root) if part else _annotation(field.annotation),
            field.is_required(),
            None if default is PydanticUndefined else _plain(default),
            " ".join(description.split()),
        )
        nested = field.annotation
        if isinstance(nested, type) and issubclass(nested, BaseModel) and prefix.count(".") < 3:
            yield from _parameters(nested, _resolved(part, root), root, f"{prefix}{key}.")


def type_text(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """A JSON schema in words: "number ≥ 0", "one of a, b", "list of text"; `root` holds the definitions."""
    schema = _resolved(schema, root)
    if "const" in schema:
        return f"only {_word(schema['const'])}"
    if "enum" in schema:
        return f"one of {', '.join(map(_word, schema['enum']))}"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(type_text(part, root) for part in schema[key]))
    match schema.get("type"):
        case "integer":
            return f"integer{_bounds(schema)}"
        case "number":
            return f"number{_bounds(schema)}"
        case "string":
            return f"text{_length(schema, 'Length', 'character')}{_pattern(schema)}"
        case "boolean":
            return "true or false"
        case "null":
            return "null"
        case "array":
            items = schema.get("items")
            of = f" of {type_text(items, root)}" if items else ""
            return f"list{of}{_length(schema, 'Items', 'item')}"
        case "object":
            values = schema.get("additionalProperties")
            return f"mapping of keys to {type_text(values, root)}" if isinstance(values, Mapping) else "mapping"
        case _:
            return "anything"


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(10):
        whole = schema.get("allOf")
        if "$ref" in schema:
            schema = root.get("$defs", {}).get(str(schema["$ref"]).rpartition("/")[2], {})
        elif isinstance(whole, list) and len(whole) == 1:
            schema = whole[0]
        else:
            break
    return schema


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    signs = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    parts = [f"{sign} {schema[key]:g}" for key, sign in signs if schema.get(key) is not None]
    return f" {' and '.join(parts)}" if parts else ""


def _length(schema: Mapping[str, Any], name: str, unit: str) -> str:
    parts = []
    for key, words in ((f"min{name}", "at least"), (f"max{name}", "at most")):
        if (number := schema.get(key)) is not None:
            parts.append(f"{words} {number} {unit}{'' if number == 1 else 's'}")
    return f", {' and '.join(parts)}" if parts else ""


def _pattern(schema: Mapping[str, Any]) -> str:
    return f" that matches {schema['pattern']}" if "pattern" in schema else ""


def _word(value: Any) -> str:
    return {None: "null", True: "true", False: "false"}.get(value, str(value)) if not isinstance(value, str) else value


def _plain(value: Any) -> Any:
    """`value` as JSON has it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(_plain, value), key=str)
    return str(value)


def _annotation(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).removeprefix("typing.")
