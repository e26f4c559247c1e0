"""`check_plugin`: everything that a plugin's author should know before she publishes it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from evoagent.errors import EvoAgentError
from evoagent.failures import explain
from evoagent.models.plugin import Plugin
from evoagent.plugins import builtins
from evoagent.plugins.discovery import Source, stdout_to_stderr
from evoagent.plugins.manager import KINDS, PluginManager
from evoagent.plugins.specs import EngineSpec, PluginSpec
from evoagent.runs.loops import wait_for
from evoagent.testing.checking.cases import cases
from evoagent.testing.checking.engines import engine_findings
from evoagent.testing.checking.exercise import Exercise
from evoagent.testing.checking.findings import Finding, place
from evoagent.testing.checking.package import imported
from evoagent.testing.checking.static import parameters_for, static_findings
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

    Args:
        plugin: a module or an object with hooks, a module's name, a plugin's class or its spec, or several of these.
        params: parameters to check a plugin with, by its name; by default its example, or its defaults.
        model: has engines started with this model, and answer.
        limit: seconds that one call may wait.
    """
    return list(_findings(plugin, params or {}, model, limit))


def assert_valid_plugin(
    plugin: object,
    *,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    model: str | None = None,
    limit: float = LIMIT_S,
) -> None:
    """Raise AssertionError with a line for each error that `check_plugin` finds; the arguments are the same."""
    found = check_plugin(plugin, params=params, model=model, limit=limit)
    if errors := [str(finding) for finding in found if finding.severity == "error"]:
        raise AssertionError("\n".join(["the plugin is not valid:", *errors]))


def check_package(
    values: Sequence[str], *, params: Mapping[str, Mapping[str, Any]], model: str | None, limit: float
) -> Iterator[Finding]:
    """As `check_plugin`, for all that the entry points `values` name, each finding as it comes; and how they import."""
    for value in values:
        plugin, finding = imported(value)
        yield finding
        if plugin is not None:
            yield from _findings(plugin, params, model, limit)


def _findings(
    plugin: object, params: Mapping[str, Mapping[str, Any]], model: str | None, limit: float
) -> Iterator[Finding]:
    try:
        hooked, where = _hooked(plugin)
    except (Exception, SystemExit) as error:
        yield Finding("hooks", str(plugin), "error", f"does not import: {explain(error)}")
        return
    manager, problems = _registered(hooked, where)
    yield from problems or [Finding("hooks", where)]
    specs: list[PluginSpec] = [spec for kind in KINDS for spec in manager.specs(kind)]
    for spec in specs:
        if manager.source(spec).distribution == _CHECKED:
            with stdout_to_stderr():
                given = parameters_for(spec, params.get(spec.name, {}))
                found = [*static_findings(spec), *_called(spec, manager, given, model, limit)]
            yield from found


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


def _called(
    spec: PluginSpec, manager: PluginManager, params: Mapping[str, Any], model: str | None, limit: float
) -> list[Finding]:
    """What making the plugin and calling it shows."""
    if isinstance(spec, EngineSpec):
        return wait_for(engine_findings(spec, manager, params, model))
    try:
        manager.create(spec, params)
    except EvoAgentError as error:
        given = f"; the check gave it {dict(params)}" if params else ""
        return [Finding("factory", place(spec), "error", f"{error}{given}")]
    exercise = Exercise(spec, lambda: manager.create(spec, params), list(cases(spec, manager)), limit)
    return [Finding("factory", place(spec)), *wait_for(exercise.run())]
