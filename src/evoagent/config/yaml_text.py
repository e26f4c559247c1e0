"""YAML that a user wrote: read safely and within bounds, with the line of every key."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from evoagent.config.problems import Location

MAX_CHARACTERS = 262_144
MAX_NODES = 20_000
MAX_DEPTH = 40

_PREFIX = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong in the text itself, at a line (from 1)."""

    line: int
    message: str


class YamlError(Exception):
    """The text is not usable YAML; `flaws` says where and why."""

    def __init__(self, *flaws: Flaw) -> None:
        super().__init__("; ".join(f"line {flaw.line}: {flaw.message}" for flaw in flaws))
        self.flaws = flaws


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed YAML: plain values, no part of which is shared with another, and the tree that they were made from."""

    value: Any
    root: yaml.Node

    def line(self, location: Location) -> int:
        """The line of a key or list item; of the nearest thing around it where it is not in the text."""
        return self._find(location)[0]

    def holds(self, location: Location) -> bool:
        """Whether the text has this key or list item."""
        return self._find(location)[1]

    def _find(self, location: Location) -> tuple[int, bool]:
        node, line = self.root, self.root.start_mark.line
        for step in location:
            found = _child(node, step)
            if found is None:
                return int(line) + 1, False
            node, line = found
        return int(line) + 1, True


def parse(text: str) -> Document:
    """Read one YAML document.

    Raises:
        YamlError: not YAML, empty, too large, a key given twice, a key that is no text, an infinite number.
    """
    if len(text) > MAX_CHARACTERS:
        raise YamlError(Flaw(1, f"found {len(text)} characters, expected at most {MAX_CHARACTERS}"))
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        if root is None:
            raise YamlError(Flaw(1, "found nothing, expected YAML"))
        flaws = list(_flaws(root, loader))
        if flaws:
            raise YamlError(*flaws)
        return Document(_unshared(loader.construct_document(root)), root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"column {mark.column + 1}: " if mark else ""
        problem = error.problem or error.context or "cannot be read"
        raise YamlError(Flaw(mark.line + 1 if mark else 1, f"{where}not valid YAML: {problem}")) from error
    except yaml.YAMLError as error:
        raise YamlError(Flaw(1, f"not valid YAML: {' '.join(str(error).split())}")) from error
    except (RecursionError, ValueError) as error:
        raise YamlError(Flaw(1, f"not valid YAML: {error}")) from error
    finally:
        if loader is not None:
            loader.dispose()


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item: yaml.Node = node.value[step]
        return item, item.start_mark.line
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return value, key.start_mark.line
    return None


def _flaws(root: yaml.Node, loader: yaml.SafeLoader) -> Iterator[Flaw]:
    # An alias counts each time it is used, so that a few nested ones cannot grow to gigabytes.
    waiting, seen = [(root, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        line = node.start_mark.line + 1
        if seen > MAX_NODES or depth > MAX_DEPTH:
            limit = f"{MAX_NODES} values" if seen > MAX_NODES else f"{MAX_DEPTH} levels"
            raise YamlError(Flaw(line, f"found more than {limit}, aliases counted each time"))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(item, depth + 1) for item in node.value]
        elif isinstance(node, yaml.MappingNode):
            yield from _key_flaws(node)
            waiting += [(value, depth + 1) for _, value in node.value]
        elif _infinite(node, loader):
            yield Flaw(line, f"found {node.value}, expected a finite number")


def _infinite(node: yaml.Node, loader: yaml.SafeLoader) -> bool:
    if not isinstance(node, yaml.ScalarNode) or node.tag != f"{_PREFIX}float":
        return False
    return not math.isfinite(loader.construct_yaml_float(node))


def _key_flaws(node: yaml.MappingNode) -> Iterator[Flaw]:
    first: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield Flaw(line, "found a list or mapping as a key, expected a text")
        elif key.tag == f"{_PREFIX}merge":
            continue
        elif key.tag != f"{_PREFIX}str":
            kind = key.tag.removeprefix(_PREFIX)
            yield Flaw(line, f"found key {key.value}, which YAML reads as {kind}, expected a text: put it in quotes")
        elif key.value in first:
            yield Flaw(line, f"key `{key.value}` is given twice, first in line {first[key.value]}")
        else:
            first[key.value] = line


def _unshared(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value
