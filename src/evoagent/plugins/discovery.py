"""Finding plugins and judging what they yield, so that a broken one costs nobody else anything."""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy
from pydantic import BaseModel

from evoagent.plugins.hookspecs import PROJECT
from evoagent.plugins.specs import (
    API_VERSION,
    EliminatorSpec,
    EngineSpec,
    ExporterSpec,
    OperatorSpec,
    PluginSpec,
    ScorerSpec,
    SelectorSpec,
)

DISABLE_VARIABLE = "EVOAGENT_DISABLE_PLUGINS"

SPECS: Mapping[str, type[PluginSpec]] = {
    "evoagent_operators": OperatorSpec,
    "evoagent_scorers": ScorerSpec,
    "evoagent_eliminators": EliminatorSpec,
    "evoagent_selectors": SelectorSpec,
    "evoagent_engines": EngineSpec,
    "evoagent_exporters": ExporterSpec,
}
"""The hooks that yield specs, and the type that each yields."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NEED = re.compile(r"(evolver|responder|judge|scorer|embedder)\.(generate|loss|embed)")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plugin comes from: its entry point, and the distribution that declares it."""

    name: str
    distribution: str
    version: str = ""

    @property
    def label(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}".strip()


def installed() -> list[tuple[Source, EntryPoint]]:
    """The entry points of group "evoagent", in an order that is the same on every machine."""
    found = []
    for entry in entry_points(group=PROJECT):
        name, version = (entry.dist.name, entry.dist.version) if entry.dist else ("?", "")
        found.append((Source(entry.name, name or "?", version or ""), entry))
    return sorted(found, key=lambda item: (item[0].distribution, item[0].name, item[1].value))


def is_disabled(source: Source) -> bool:
    """Whether EVOAGENT_DISABLE_PLUGINS turns it off: by entry point, by distribution, or by "all"."""
    wanted = {_plain(name) for name in os.environ.get(DISABLE_VARIABLE, "").split(",")} - {""}
    return bool(wanted & {"all", _plain(source.name), _plain(source.distribution)})


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def hook_problems(hooks: pluggy.PluginManager, plugin: object) -> list[str]:
    """What is wrong with the hook functions of `plugin`: an unknown name, a missing mark, none at all."""
    known = sorted(name for name in vars(hooks.hook) if name.startswith(f"{PROJECT}_"))
    problems, implemented = [], 0
    for name in dir(plugin):
        marked = hooks.parse_hookimpl_opts(plugin, name)
        if marked is None:
            if name in known and inspect.isroutine(getattr(plugin, name)):
                problems.append(f"`{name}` is not marked with @hookimpl")
        elif (marked.get("specname") or name) not in known:
            near = difflib.get_close_matches(name, known, n=1)
            problems.append(f"unknown hook `{name}`" + (f"; did you mean `{near[0]}`?" if near else ""))
        elif marked.get("wrapper") or marked.get("hookwrapper"):
            problems.append(f"`{name}` is a hook wrapper: these are not called")
        else:
            implemented += 1
    if not implemented and not problems:
        problems.append(f"it implements no hook; expected one of {', '.join(known)}")
    return problems


def spec_problem(spec: object, expected: type[PluginSpec]) -> str | None:
    """Why `spec` cannot be used as an `expected`; None if it can."""
    if not isinstance(spec, expected):
        return f"yielded {article(type(spec).__name__)}, expected {article(expected.__name__)}"
    if spec.api_version != API_VERSION:
        return f"made for plugin API {spec.api_version!r}, this evoagent has {API_VERSION}"
    # A dataclass does not check its types.
    name, factory, summary, config = (_untyped(part) for part in (spec.name, spec.factory, spec.summary, spec.config))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"found name {name!r}, expected lower-case letters, digits, `_` and `-`"
    if not callable(factory):
        return f"found factory {factory!r}, expected a callable"
    if not isinstance(summary, str):
        return f"found summary {summary!r}, expected a text"
    if config is not None and not (isinstance(config, type) and issubclass(config, BaseModel)):
        return f"found config {config!r}, expected a pydantic model class"
    return _need_problem(spec.needs)


def _untyped(value: Any) -> Any:
    return value


def _need_problem(needs: Any) -> str | None:
    if not isinstance(needs, Iterable) or isinstance(needs, str):
        return f"found needs {needs!r}, expected a tuple of texts such as 'scorer.loss'"
    for need in needs:
        if not isinstance(need, str) or not _NEED.fullmatch(need):
            return f"found {need!r} in needs, expected a role and a verb such as 'scorer.loss'"
    return None


def describe(error: BaseException) -> str:
    """An exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def article(noun: str) -> str:
    """`noun` with "a" or "an"."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
