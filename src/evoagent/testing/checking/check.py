"""`check_plugin`: everything that a plugin's author should know before she publishes it."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from evoagent.failures import explain
from evoagent.models.plugin import Plugin
from evoagent.plugins import builtins
from evoagent.plugins.discovery import Source
from evoagent.plugins.manager import KINDS, PluginManager
from evoagent.plugins.specs import EngineSpec, ExporterSpec, PluginSpec
from evoagent.testing.checking.engines import engine_findings
from evoagent.testing.checking.exercise import Exercise, Progress
from evoagent.testing.checking.findings import Finding, place
from evoagent.testing.checking.others import exporter_findings, observer_findings
from evoagent.testing.checking.static import made, parameters_for, static_findings
from evoagent.testing.spec_plugin import SpecPlugin

LIMIT_S = 20.0
"""Seconds for one call of a plugin."""

_CHECKED = "checked"


def check_plugin(
    plugin: object,
    *,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    model: str | None = None,
    limit: float = LIMIT_S,
) -> list[Finding]:
    """Check a plugin: one finding for each check that was made, severity "ok" for those that passed.

    A call that keeps its thread busy for ever is left behind after `limit` seconds. What holds the interpreter itself,
    such as a runaway regular expression, cannot be: `evoagent plugins check` ends the process that it checks in.

    Args:
        plugin: a module or an object with hooks, a module's name, a plugin's class or its spec, or several of these.
        params: parameters to check a plugin with, by its name; by default its example, or its defaults.
        model: has engines started with this model, and answer.
        limit: seconds for one call.
    """
    return list(checks(plugin, params=params, model=model, limit=limit))


def assert_valid_plugin(
    plugin: object,
    *,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    model: str | None = None,
    limit: float = LIMIT_S,
) -> None:
    """Raise AssertionError with a line for each error that `check_plugin` finds; the arguments are the same."""
    errors = [
        item for item in check_plugin(plugin, params=params, model=model, limit=limit) if item.severity == "error"
    ]
    if errors:
        raise AssertionError("\n".join(["the plugin is not valid:", *map(str, errors)]))


def checks(
    plugin: object,
    *,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    model: str | None = None,
    limit: float = LIMIT_S,
    progress: Progress = lambda label: None,
) -> Iterator[Finding]:
    """As `check_plugin`, each finding as it comes; `progress` is told what is being done."""
    try:
        hooked, where = _hooked(plugin)
    except (Exception, SystemExit) as error:
        yield Finding("hooks", str(plugin), "error", f"does not import: {explain(error)}")
        return
    manager, problems = _registered(hooked, where)
    yield from problems or [Finding("hooks", where)]
    specs = _own_specs(manager)
    yield from _within(lambda told: observer_findings(hooked, where, told), "observers", where, limit, progress)
    for spec in specs:
        yield from static_findings(spec)
        given = parameters_for(spec, (params or {}).get(spec.name, {}))
        yield from _calls(spec, manager, given, model, limit, progress)


def traces(
    plugin: object, *, params: Mapping[str, Mapping[str, Any]] | None = None, limit: float = LIMIT_S
) -> dict[str, Any]:
    """What the plugins give for ordinary answers, to be compared with another process: lists by plugin."""
    hooked, where = _hooked(plugin)
    manager, _ = _registered(hooked, where)
    found: dict[str, Any] = {}
    for spec in _own_specs(manager):
        given = parameters_for(spec, (params or {}).get(spec.name, {}))
        if isinstance(spec, (EngineSpec, ExporterSpec)):
            continue
        make, findings = made(spec, manager, given)
        if any(finding.severity == "error" for finding in findings):
            continue
        exercise = Exercise(spec, make, limit=limit, progress=lambda label: None)
        found[place(spec)] = asyncio.run(exercise.traces())
    return found


def _hooked(plugin: object) -> tuple[object, str]:
    """An object with hooks, and what to call it."""
    if isinstance(plugin, str):
        plugin = importlib.import_module(plugin)
    items = plugin if isinstance(plugin, Sequence) else [plugin]
    if items and all(map(_is_plugin, items)):
        return SpecPlugin(*items), ", ".join(map(place, items))
    name = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__name__
    return plugin, name


def _is_plugin(item: object) -> bool:
    return isinstance(item, PluginSpec) or (isinstance(item, type) and issubclass(item, Plugin))


def _registered(plugin: object, where: str) -> tuple[PluginManager, list[Finding]]:
    """A manager that knows the built-in plugins and `plugin`, and what it has against this one."""
    manager = PluginManager()
    if plugin is not builtins:
        manager.register(builtins, Source("builtins", "evoagent"))
    manager.register(plugin, Source(where, _CHECKED))
    problems = []
    for record in manager.records():
        if record.distribution == _CHECKED and record.status != "ok":
            name = where if record.name == where else f"{record.kind} `{record.name}`"
            problems.append(Finding("hooks", name, "error", record.status))
    return manager, problems


def _own_specs(manager: PluginManager) -> list[PluginSpec]:
    specs: list[PluginSpec] = [spec for kind in KINDS for spec in manager.specs(kind)]
    return [spec for spec in specs if manager.source(spec).distribution == _CHECKED]


def _calls(
    spec: PluginSpec,
    manager: PluginManager,
    params: Mapping[str, Any],
    model: str | None,
    limit: float,
    progress: Progress,
) -> Iterator[Finding]:
    where = place(spec)
    if isinstance(spec, EngineSpec):
        engine = spec

        def work(told: Progress) -> list[Finding]:
            return asyncio.run(engine_findings(engine, manager, params, model, told))

        # Starting an engine may take as long as loading its model.
        yield from _within(work, "answers", where, limit if model is None else 30 * limit, progress)
        return

    def exercised(told: Progress) -> list[Finding]:
        make, findings = made(spec, manager, params)
        if any(finding.severity == "error" for finding in findings):
            return findings
        if isinstance(spec, ExporterSpec):
            return [*findings, *exporter_findings(spec, make)]
        exercise = Exercise(spec, make, limit=limit, progress=told)
        return [*findings, *asyncio.run(exercise.run())]

    yield from _within(exercised, "event loop", where, 2 * limit, progress)


def _within(
    work: Callable[[Progress], list[Finding]], what: str, where: str, limit: float, progress: Progress
) -> list[Finding]:
    """The findings of `work`, done in a thread; one that stays at a single step for longer than `limit` is left."""
    found: list[Finding] = []
    step, since = "the first call", time.monotonic()

    def told(label: str) -> None:
        nonlocal step, since
        step, since = label, time.monotonic()
        progress(f"{where}: {label}")

    def run() -> None:
        try:
            found.extend(work(told))
        except BaseException as error:
            found.append(Finding(what, where, "error", f"the check ended at {step}: {explain(error)}"))

    told(step)
    thread = threading.Thread(target=run, name="evoagent-check", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.05)
        if thread.is_alive() and time.monotonic() - since > limit:
            text = f"does not come back from {step} within {limit:g} s; what comes after it was not checked"
            return [Finding(what, where, "error", text)]
    return found
