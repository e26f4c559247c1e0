"""Finding plugins, so that a broken one costs nobody else anything."""

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

import pluggy

from evoagent.failures import PluginFault, explain
from evoagent.plugins.hookspecs import PROJECT
from evoagent.plugins.specs import (
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
"""The hooks that yield plugins, and the type of their specs."""

_log = logging.getLogger(__name__)

OWN = "project"
"""Stands for the distribution of a project's own plugins, which are in none."""

SLOW_IMPORT_SECONDS = 3.0

_lock = threading.Lock()
_printing = 0  # how many have sent standard output elsewhere
_stdout = sys.stdout


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
    found = [(_source(entry), entry) for entry in entry_points(group=PROJECT)]
    return sorted(found, key=lambda item: (item[0].distribution, item[0].name, item[1].value))


def _source(entry: EntryPoint) -> Source:
    distribution = entry.dist
    return Source(entry.name, distribution.name, distribution.version) if distribution else Source(entry.name, "?")


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
def code_of(source: Source) -> Iterator[None]:
    """Around code of `source`: what it prints goes to standard error, and it is told of while it takes long.

    Raises:
        PluginFault: for whatever it raises, `sys.exit` included; its text is the exception on one line. Ctrl-C, and
            what our own plugins raise, stay what they are.
    """

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
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginFault(explain(error)) from error
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


def article(noun: str) -> str:
    """`noun` with "a" or "an"."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
