"""Finds plugins, keeps account of the broken ones, and makes what a configuration names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal, Self, overload

import pluggy
from pydantic import BaseModel, ValidationError

from evoagent.config.model import PluginUse
from evoagent.config.problems import Problem, closest, problems_of
from evoagent.errors import ConfigError, PluginError
from evoagent.events import Event
from evoagent.failures import PluginFault, one_line
from evoagent.plugins import hookspecs
from evoagent.plugins.declared import declared, spec_problem
from evoagent.plugins.discovery import (
    DISABLE_VARIABLE,
    OWN,
    SPECS,
    Source,
    article,
    code_of,
    hook_problems,
    installed,
    is_disabled,
    modules_of,
)
from evoagent.plugins.factories import lacking
from evoagent.plugins.observers import OBSERVER_SECONDS, OBSERVERS, tell
from evoagent.plugins.specs import (
    EngineSpec,
    ExporterSpec,
    OperatorSpec,
    OptimizerSpec,
    PluginSpec,
    ResponseSelectorSpec,
    RuleSpec,
    ScorerSpec,
    SelectorSpec,
)

BUILT_IN = "evoagent"
"""The distribution of the plugins that come with evoagent."""

KINDS = tuple(spec.kind for spec in SPECS.values())


@dataclass(frozen=True, slots=True)
class PluginRecord:
    """A line of `evoagent plugins list`. `status` is "ok", or why the plugin cannot be used."""

    name: str
    kind: str
    distribution: str
    version: str
    status: str
    summary: str


@dataclass(frozen=True, slots=True)
class _Found:
    spec: PluginSpec
    source: Source


class PluginManager:
    """The plugins of this process: the built-in ones, the installed ones, and those of one project."""

    def __init__(self) -> None:
        self._hooks = pluggy.PluginManager(hookspecs.PROJECT)
        self._hooks.add_hookspecs(hookspecs)
        self._sources: dict[str, Source] = {}
        self._found: dict[tuple[str, str], _Found] = {}
        self._failures: list[PluginRecord] = []
        self._hiding: list[PluginRecord] = []  # those of the failures that may have kept specs from being seen
        self._modules: dict[str, Source] = {}  # of third parties, packages around them included
        self._late: set[str] = set()  # observers that have not returned in time
        self.observer_seconds: float | None = OBSERVER_SECONDS
        """How long `notify` waits for an observer; None is for ever."""

    def load(self) -> Self:
        """Register the built-in plugins, then those of the installed distributions, all by entry point."""
        from evoagent import __version__

        builtins = EntryPoint("builtins", "evoagent.plugins.builtins", hookspecs.PROJECT)
        for source, entry in [(Source("builtins", BUILT_IN, __version__), builtins), *installed()]:
            if entry is not builtins and is_disabled(source):
                self._fail(source, f"disabled by {DISABLE_VARIABLE}")
                continue
            try:
                with code_of(source):
                    plugin = entry.load()
            except PluginFault as fault:
                self._fail(source, f"does not import: {fault}")
                continue
            self.register(plugin, source)
        return self

    def register(self, plugin: object, source: Source) -> None:
        """Take in what `plugin`, a module or an object with hook functions, yields; what is broken is recorded."""
        key = f"{source.distribution}:{source.name}"
        try:
            with code_of(source):
                problems = hook_problems(self._hooks, plugin)
                self._hooks.register(plugin, name=key)
        except PluginFault as fault:  # the others go on
            if self._hooks.get_plugin(key) is plugin:
                self._hooks.unregister(plugin)
            self._fail(source, str(fault))
            return
        self._sources[key] = source
        self._own(plugin, source)
        for problem in problems:
            self._fail(source, problem)
        for hook, expected in SPECS.items():
            for implementation in self._implementations(hook):
                if implementation.plugin is plugin:
                    self._collect(hook, expected, implementation, source)

    def add(self, plugin: object, name: str) -> None:
        """Add a project's own plugin, an object with hook functions; messages call it `name`.

        Raises:
            ConfigError: what it yields is not usable, or has a name that is taken.
        """
        self.register(plugin, Source(name, OWN))
        broken = [record for record in self._failures if record.distribution == OWN]
        if broken:
            raise ConfigError("\n".join(f"{record.name}: {record.status}" for record in broken))

    def add_module(self, name: str, folder: Path | None = None) -> None:
        """Add a project's own plugin, a module with hook functions that can be imported, or that lies in `folder`.

        Raises:
            ConfigError: it does not import, or what it yields is not usable.
        """
        if folder is not None and str(folder) not in sys.path:
            sys.path.append(str(folder))  # last, so that it hides no other module
        try:
            with code_of(Source(name, OWN)):
                module = importlib.import_module(name)
        except PluginFault as fault:
            raise ConfigError(f"module `{name}` does not import: {fault}") from fault
        if not self._hooks.is_registered(module):
            self.add(module, name)

    def forget_project(self) -> None:
        """Take out what `add` and `add_module` brought, before another project's configuration."""
        own = [key for key, source in self._sources.items() if source.distribution == OWN]
        for key in own:
            self._hooks.unregister(name=key)
            del self._sources[key]
        self._found = {key: found for key, found in self._found.items() if found.source.distribution != OWN}
        self._failures = [record for record in self._failures if record.distribution != OWN]
        self._hiding = [record for record in self._hiding if record.distribution != OWN]
        self._modules = {name: source for name, source in self._modules.items() if source.distribution != OWN}

    @overload
    def get(self, kind: Literal["operator"], name: str) -> OperatorSpec: ...
    @overload
    def get(self, kind: Literal["scorer"], name: str) -> ScorerSpec: ...
    @overload
    def get(self, kind: Literal["rule"], name: str) -> RuleSpec: ...
    @overload
    def get(self, kind: Literal["selector"], name: str) -> SelectorSpec: ...
    @overload
    def get(self, kind: Literal["response-selector"], name: str) -> ResponseSelectorSpec: ...
    @overload
    def get(self, kind: Literal["optimizer"], name: str) -> OptimizerSpec: ...
    @overload
    def get(self, kind: Literal["engine"], name: str) -> EngineSpec: ...
    @overload
    def get(self, kind: Literal["exporter"], name: str) -> ExporterSpec: ...
    @overload
    def get(self, kind: str, name: str) -> PluginSpec: ...

    def get(self, kind: str, name: str) -> PluginSpec:
        """The spec of a plugin by its name.

        Raises:
            PluginError: there is none, with the closest names and the broken plugins that might have brought it.
        """
        found = self._found.get((kind, name))
        if found is None:
            raise PluginError(f"{kind} `{name}` is not known{self._instead(kind, name)}")
        return found.spec

    def specs(self, kind: str) -> list[Any]:
        """The specs of `kind`, by name."""
        return [found.spec for (of, _), found in sorted(self._found.items()) if of == kind]

    def records(self) -> list[PluginRecord]:
        """Every plugin, the broken ones included, by kind and name."""
        usable = [
            PluginRecord(spec.name, spec.kind, source.distribution, source.version, "ok", one_line(spec.summary))
            for spec, source in ((found.spec, found.source) for found in self._found.values())
        ]
        return sorted([*usable, *self._failures], key=lambda r: (r.kind, r.name, r.distribution, r.status))

    def source(self, spec: PluginSpec) -> Source:
        """Where `spec` comes from; one that no hook has yielded counts as the project's own."""
        found = self._found.get((spec.kind, spec.name))
        return found.source if found else Source(spec.name, OWN)

    def label(self, spec: PluginSpec) -> str:
        """Distribution and version of a third-party plugin, for messages; "" for one that comes with evoagent."""
        found = self._found.get((spec.kind, spec.name))
        return "" if found is None or found.source.distribution == BUILT_IN else found.source.label

    def owner(self, module: str) -> str:
        """Distribution and version of the third-party plugin that `module` is a part of; "" for any other module."""
        while module:
            if module in self._modules:
                return self._modules[module].label
            module = module.rpartition(".")[0]
        return ""

    def check(self, spec: PluginSpec, params: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with `params` as parameters of `spec`."""
        return self._validate(spec, params)[1]

    def verbs(self, spec: EngineSpec, params: Mapping[str, Any]) -> frozenset[str]:
        """What an engine can do under `params`; raises `PluginError` if it fails to say."""
        config, _ = self._validate(spec, params)
        if spec.verbs_of is None or config is None:
            return spec.verbs
        try:
            with code_of(self.source(spec)):
                return frozenset(spec.verbs_of(config))
        except PluginFault as fault:
            raise PluginError(f"{self._title(spec)} cannot say what it can do: {fault}") from fault

    def create(self, spec: PluginSpec, params: Mapping[str, Any], *args: Any) -> Any:
        """Make the plugin: its factory is called with `args` and its parameters.

        Raises:
            PluginError: the parameters are wrong (a line each), or the factory fails or gives something else.
        """
        config, problems = self._validate(spec, params)
        if problems:
            raise PluginError("\n".join(f"{spec.kind} `{spec.name}`: {problem}" for problem in problems))
        takes_config = config is not None or isinstance(spec, EngineSpec)
        source = self.source(spec)
        try:
            with code_of(source):
                plugin = spec.factory(*args, config) if takes_config else spec.factory(*args)
                missing = lacking(spec, plugin)
        except PluginFault as fault:
            raise PluginError(f"{self._title(spec)} cannot be made: {fault}") from fault
        if missing:
            raise PluginError(f"{self._title(spec)}: {missing}")
        self._own(type(plugin), source)
        return plugin

    def build(self, kind: str, use: PluginUse) -> Any:
        """Make the plugin that a configuration names; raises as `get` and `create`."""
        return self.create(self.get(kind, use.name), use.params)

    def notify(self, event: Event) -> None:
        """Tell the observers of `event`, and wait for each. What goes wrong in one is logged, and the next is told."""
        hook = OBSERVERS.get(type(event))
        for item in self._implementations(hook) if hook else ():
            label = self._sources[item.plugin_name].label
            if label not in self._late and not tell(item, hook or "", event, label, self.observer_seconds):
                self._late.add(label)

    def _own(self, thing: object, source: Source) -> None:
        """Note that the module of `thing`, and what is below its packages, belongs to `source`."""
        if source.distribution != BUILT_IN:
            for module in modules_of(thing):
                self._modules.setdefault(module, source)

    def _implementations(self, hook: str) -> Iterator[pluggy.HookImpl]:
        """In order of registration: pluggy's own order is the last first."""
        caller: pluggy.HookCaller = getattr(self._hooks.hook, hook)
        order = {name: position for position, name in enumerate(self._sources)}
        usable = [item for item in caller.get_hookimpls() if not (item.wrapper or item.hookwrapper)]
        yield from sorted(usable, key=lambda item: order[item.plugin_name])

    def _collect(self, hook: str, expected: type[PluginSpec], implementation: pluggy.HookImpl, source: Source) -> None:
        # Each implementation runs by itself: pluggy would end the whole call at the first that raises.
        try:
            with code_of(source):
                specs = implementation.function()
                if isinstance(specs, (PluginSpec, type)) or not isinstance(specs, Iterable):
                    found = f"class `{specs.__name__}`" if isinstance(specs, type) else article(type(specs).__name__)
                    text = f"{hook} returned {found}, expected it to yield classes or specs"
                    self._fail(source, text, kind=expected.kind)
                    return
                for item in specs:
                    self._take(hook, expected, item, source)
        except PluginFault as fault:
            self._fail(source, f"{hook} raised {fault}", kind=expected.kind)

    def _take(self, hook: str, expected: type[PluginSpec], item: object, source: Source) -> None:
        try:
            spec = declared(item, expected)
        except PluginError as error:
            self._fail(source, f"{hook}: {error}", kind=expected.kind)
            return
        problem = spec_problem(spec)
        if problem is None:
            owner = self._found.get((spec.kind, spec.name))
            if owner is None:
                self._found[spec.kind, spec.name] = _Found(spec, source)
                self._own(spec.factory, source)
                return
            problem = f"the name is taken by {spec.kind} `{spec.name}` of {owner.source.label}"
        name, summary = (value if isinstance(value, str) else "" for value in (spec.name, spec.summary))
        self._fail(source, problem, name=one_line(name, 80), kind=spec.kind, summary=summary)

    def _fail(self, source: Source, status: str, *, name: str = "", kind: str = "plugin", summary: str = "") -> None:
        name_shown, text = name or source.name, one_line(summary)
        record = PluginRecord(name_shown, kind, source.distribution, source.version, one_line(status), text)
        self._failures.append(record)
        if not name:
            self._hiding.append(record)

    def _instead(self, kind: str, name: str) -> str:
        names = [known for of, known in self._found if of == kind]
        text = closest(name, names)
        for other in sorted(of for of, known in self._found if known == name and of != kind):
            text += f"\n  `{name}` is the name of {article(other)}"
        same = [record for record in self._failures if (record.kind, record.name) == (kind, name)]
        suspects = same or [record for record in self._hiding if record.kind in ("plugin", kind)]
        for record in suspects[:3]:
            label = f"{record.distribution} {record.version}".strip()
            verb = "cannot be used" if same else "might have brought it"
            text += f"\n  {record.name} of {label} {verb}: {record.status}"
        return text

    def _title(self, spec: PluginSpec) -> str:
        return f"{spec.kind} `{spec.name}`" + (f" of {label}" if (label := self.label(spec)) else "")

    def _validate(self, spec: PluginSpec, params: Mapping[str, Any]) -> tuple[BaseModel | None, list[Problem]]:
        if spec.config is None:
            return None, [Problem((key,), f"unknown key; `{spec.name}` takes no parameters") for key in params]
        try:
            with code_of(self.source(spec)):
                try:
                    return spec.config.model_validate(dict(params)), []
                except ValidationError as error:
                    return None, problems_of(error, spec.config)
        except PluginFault as fault:  # of its own validator
            return None, [Problem((), f"its parameters cannot be checked: {fault}")]
