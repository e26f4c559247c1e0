"""Finding plugins and judging what they yield, so that a broken one costs nobody else anything."""

from __future__ import annotations

import difflib
import functools
import inspect
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from typing import Any, get_args

import pluggy
from pydantic import BaseModel

from evoagent.config import ROLE_NAME
from evoagent.failures import explain, shown
from evoagent.models.requests import Verb
from evoagent.plugins.hookspecs import PROJECT
from evoagent.plugins.specs import (
    API_VERSION,
    EngineSpec,
    ExporterSpec,
    OperatorSpec,
    OptimizerSpec,
    PluginSpec,
    RuleSpec,
    ScorerSpec,
    SelectorSpec,
)

DISABLE_VARIABLE = "EVOAGENT_DISABLE_PLUGINS"

SPECS: Mapping[str, type[PluginSpec]] = {
    "evoagent_operators": OperatorSpec,
    "evoagent_scorers": ScorerSpec,
    "evoagent_rules": RuleSpec,
    "evoagent_selectors": SelectorSpec,
    "evoagent_optimizers": OptimizerSpec,
    "evoagent_engines": EngineSpec,
    "evoagent_exporters": ExporterSpec,
}
"""The hooks that yield specs, and the type that each yields."""

_log = logging.getLogger(__name__)

OWN = "project"
"""Stands for the distribution of a project's own plugins, which are in none."""

SLOW_IMPORT_SECONDS = 3.0
MAX_PARENTS = 16
MAX_EVOLUTIONS = 64
MAX_FAMILY = 32

_lock = threading.Lock()
_printing = 0  # how many have sent standard output elsewhere
_stdout = sys.stdout

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NEED = re.compile(rf"(?!corpora\.){ROLE_NAME}\.({'|'.join(get_args(Verb))})|corpora\.[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a plugin comes from: its entry point, and the distribution that declares it."""

    name: str
    distribution: str
    version: str = ""

    @property
    def label(self) -> str:
        """Distribution and version, for messages; the module or the folder of a project's own plugin."""
        if self.distribution == OWN:
            return f"this project ({self.name})"
        return f"{self.distribution} {self.version}".strip()


def installed() -> list[tuple[Source, EntryPoint]]:
    """The entry points of group "evoagent", in an order that is the same on every machine."""
    try:
        entries = list(entry_points(group=PROJECT))
    except Exception:  # one distribution's broken metadata ends the whole list
        entries = [entry for distribution in distributions() for entry in _entries(distribution)]
    found = [_sourced(entry) for entry in entries]
    return sorted(found, key=lambda item: (item[0].distribution, item[0].name, item[1].value))


def _entries(distribution: Distribution) -> list[EntryPoint]:
    try:
        return list(distribution.entry_points.select(group=PROJECT))
    except Exception as error:
        _log.warning("the entry points of %s cannot be read: %s", _identity(distribution)[0], describe(error))
        return []


def _sourced(entry: EntryPoint) -> tuple[Source, EntryPoint]:
    name, version = _identity(entry.dist) if entry.dist else ("?", "")
    return Source(entry.name, name, version), entry


def _identity(distribution: Distribution) -> tuple[str, str]:
    try:
        return distribution.name or "?", distribution.version or ""
    except Exception:  # METADATA is missing, or cannot be read
        return "?", ""


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send to standard error what is printed meanwhile, in any thread: standard output is for data."""
    global _printing, _stdout
    with _lock:
        if not _printing:
            _stdout, sys.stdout = sys.stdout, sys.stderr
        _printing += 1
    try:
        yield
    finally:
        with _lock:
            _printing -= 1
            if not _printing:
                sys.stdout = _stdout


@contextmanager
def strange_code(source: Source) -> Iterator[None]:
    """Around code of `source`: what it prints goes to standard error, and it is told of while it takes long."""

    def tell() -> None:
        _log.warning(
            "%s has been loading for %.0f s; %s=%s leaves it out",
            source.label,
            SLOW_IMPORT_SECONDS,
            DISABLE_VARIABLE,
            source.distribution,
        )

    if source.distribution == PROJECT:  # our own: nobody can leave it out
        yield
        return
    timer = threading.Timer(SLOW_IMPORT_SECONDS, tell)
    timer.daemon = True
    started = time.monotonic()
    timer.start()
    try:
        with stdout_to_stderr():
            yield
    finally:
        timer.cancel()
        if (seconds := time.monotonic() - started) > SLOW_IMPORT_SECONDS:
            _log.warning("%s took %.1f s to load", source.label, seconds)


def modules_of(thing: object) -> list[str]:
    """The module that `thing` is or was written in, and the packages around it, the innermost first."""
    while isinstance(thing, functools.partial):
        thing = thing.func
    name = getattr(thing, "__module__", None) or getattr(thing, "__name__", None)
    if not isinstance(name, str):
        name = type(thing).__module__
    parts = name.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] == PROJECT:
        return []
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]


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
        return f"made for plugin API {shown(spec.api_version)}, this evoagent has {API_VERSION}"
    # A dataclass does not check its types.
    name, factory, summary, config = (_untyped(part) for part in (spec.name, spec.factory, spec.summary, spec.config))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"found name {shown(name)}, expected lower-case letters, digits, `_` and `-`"
    if not callable(factory):
        return f"found factory {shown(factory)}, expected a callable"
    if not isinstance(summary, str):
        return f"found summary {shown(summary)}, expected a text"
    if config is not None and not (isinstance(config, type) and issubclass(config, BaseModel)):
        return f"found config {shown(config)}, expected a pydantic model class"
    problem = _particular_problem(spec)
    if problem is not None:
        return problem
    return _need_problem(spec.needs)


def _particular_problem(spec: PluginSpec) -> str | None:
    """What is wrong with the fields that only specs of one kind have."""
    if isinstance(spec, OperatorSpec):
        parents, family = _untyped(spec.parents), _untyped(spec.family)
        if isinstance(parents, bool) or not isinstance(parents, int) or not 1 <= parents <= MAX_PARENTS:
            return f"found parents {shown(parents)}, expected a whole number from 1 to {MAX_PARENTS}"
        most = _untyped(spec.evolutions)
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MAX_EVOLUTIONS:
            return f"found evolutions {shown(most)}, expected a whole number from 1 to {MAX_EVOLUTIONS}"
        if not isinstance(family, str) or not _NAME.fullmatch(family) or len(family) > MAX_FAMILY:
            return f"found family {shown(family)}, expected a short name such as 'depth' or 'breadth'"
        exempt = _untyped(spec.exempt)
        if not isinstance(exempt, tuple) or not all(isinstance(rule, str) for rule in exempt):
            return f"found exempt {shown(exempt)}, expected a tuple of names of rules"
    if isinstance(spec, RuleSpec) and _untyped(spec.looks_at) not in ("instruction", "response", "population"):
        return f"found looks_at {shown(spec.looks_at)}, expected 'instruction', 'response' or 'population'"
    if isinstance(spec, EngineSpec) and (unknown := _unknown_verbs(spec.verbs)):
        return f"found {unknown} in verbs, expected a set of 'generate', 'loss', 'embed' and 'choose'"
    if isinstance(spec, ExporterSpec) and not re.fullmatch(r"\.[A-Za-z0-9_.-]{1,20}", str(_untyped(spec.suffix))):
        return f"found suffix {shown(spec.suffix)}, expected one such as '.jsonl'"
    return None


def _unknown_verbs(verbs: Any) -> str:
    if isinstance(verbs, str) or not isinstance(verbs, Iterable):
        return shown(verbs)
    return ", ".join(shown(verb) for verb in verbs if verb not in get_args(Verb))


def _untyped(value: Any) -> Any:
    return value


def _need_problem(needs: Any) -> str | None:
    if not isinstance(needs, Iterable) or isinstance(needs, str):
        return f"found needs {shown(needs)}, expected a tuple of texts such as 'scorer.loss'"
    for need in needs:
        if not isinstance(need, str) or not _NEED.fullmatch(need):
            expected = "a role and a verb such as 'scorer.loss', or a corpus such as 'corpora.queries'"
            return f"found {shown(need)} in needs, expected {expected}"
    return None


def describe(error: BaseException) -> str:
    """An exception on one line."""
    return explain(error)


def article(noun: str) -> str:
    """`noun` with "a" or "an"."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
