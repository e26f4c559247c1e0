"""Values given beside a configuration file, by dotted key: `stop.rounds=2`, `critic.scorers+=length`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evoagent.config.problems import Location, Problem, closest, shown
from evoagent.config.yaml_text import YamlError, parse

Overrides = Sequence[str] | Mapping[str, Any]
"""Either `KEY=VALUE` texts, whose values are YAML, or values by dotted key. A key that ends in "+" adds to a list."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The configuration with its overrides, the places they went to, and those that fit nowhere."""

    data: Any
    locations: tuple[Location, ...]
    problems: tuple[Problem, ...]


def apply(data: Any, overrides: Overrides) -> Applied:
    """Put `overrides` into `data`, in place; a key that is not there yet is added."""
    locations, problems = [], []
    for key, value, problem in _pairs(overrides):
        more = key.endswith("+")
        steps = key.removesuffix("+").rstrip().split(".")
        if problem is None and not all(steps):
            problem = "found an empty key, expected KEY=VALUE such as stop.rounds=2"
        if problem is None:
            try:
                locations += _add(data, steps, value) if more else [_put(data, steps, value)]
            except _Misfit as misfit:
                problem = str(misfit)
        if problem is not None:
            problems.append(Problem((key,) if key else (), problem))
    return Applied(data, tuple(locations), tuple(problems))


class _Misfit(Exception):
    pass


def _pairs(overrides: Overrides) -> list[tuple[str, Any, str | None]]:
    """Key, value, and what is wrong with it."""
    if isinstance(overrides, Mapping):
        return [(key, value, None) for key, value in overrides.items()]
    pairs: list[tuple[str, Any, str | None]] = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            pairs.append((key.strip(), None, "expected KEY=VALUE such as stop.rounds=2"))
            continue
        try:
            pairs.append((key.strip(), parse(value).value if value.strip() else None, None))
        except YamlError as error:
            pairs.append((key.strip(), None, "; ".join(flaw.message for flaw in error.flaws)))
    return pairs


def _add(data: Any, steps: list[str], value: Any) -> list[Location]:
    """Put `value`, or each item of it, at the end of the list at `steps`."""
    node = data
    for step in steps:
        key: Any = _key(node, step)
        node = node[key] if isinstance(node, list) else node.get(key)
    if node is None:
        node = []
        _put(data, steps, node)
    if not isinstance(node, list):
        raise _Misfit(f"found {shown(node)}, expected a list that `+=` can add to")
    items = value if isinstance(value, list) else [value]
    return [_put(data, [*steps, str(len(node))], item) for item in items]


def _put(data: Any, steps: list[str], value: Any) -> Location:
    node = data
    done: Location = ()
    for position, step in enumerate(steps):
        key: Any = _key(node, step)
        done = (*done, key)
        if position == len(steps) - 1:
            if isinstance(node, list) and key == len(node):
                node.append(value)
            else:
                node[key] = value
            return done
        if isinstance(node, list) and key == len(node):
            node.append(None)
        present = node[key] if isinstance(node, list) or key in node else None
        node[key] = _opened(present, done, steps[position + 1])
        node = node[key]
    raise AssertionError("no steps")


def _key(node: Any, step: str) -> str | int:
    if isinstance(node, dict):
        return step
    if not isinstance(node, list):
        raise _Misfit(f"found {shown(node)} where `{step}` should go, expected a mapping of keys to values")
    if step.isdecimal() and int(step) <= len(node):
        return int(step)
    names = [_name(item) for item in node if isinstance(item, (str, dict))]
    if step in names and len(names) == len(node):
        return names.index(step)
    raise _Misfit(f"`{step}` is not in the list of {len(node)}{closest(step, (str(name) for name in names))}")


def _name(item: str | dict[Any, Any]) -> Any:
    """What an item of a list is called: a plugin `name: {...}`, or whatever has a `name`."""
    return item if isinstance(item, str) else item.get("name", next(iter(item), ""))


def _opened(value: Any, location: Location, following: str) -> Any:
    """What a further key can go into, where a name or nothing stands now."""
    shares_role = len(location) == 2 and location[0] == "models"
    if value is None:
        shared = shares_role and location[1] not in ("evolver", "embedder") and following in ("use", "sampling")
        return {"use": "evolver"} if shared else {}
    if isinstance(value, str) and shares_role:
        return {"use": value}
    if isinstance(value, str) and value == following:
        return {value: {}}
    return value
