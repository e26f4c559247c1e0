"""What `evoagent plugins show` prints."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from evoagent.config.problems import closest
from evoagent.errors import PluginError
from evoagent.plugins.manager import PluginManager, PluginRecord
from evoagent.plugins.parameters import Parameter, json_schema, parameters
from evoagent.plugins.specs import EngineSpec, PluginSpec

_PLACES = {
    "operator": "evolver.operators: [{}]",
    "scorer": "critic.scorers: [{}]",
    "rule": "eliminator.rules: [{}]",
    "selector": "eliminator.selector: {}",
    "response-selector": "critic.response_selector: {}",
    "optimizer": "optimizer: {}",
    "engine": "models.evolver.engine: {}",
    "exporter": "evoagent export RUN --format {}",
}
"""Where a configuration names a plugin of each kind."""

_COMMON = {field.name for field in dataclasses.fields(PluginSpec)}


def find_plugins(manager: PluginManager, name: str) -> list[dict[str, Any]]:
    """Everything there is to say of the plugins called `name`, of any kind, the broken ones included.

    Raises:
        PluginError: there is none, with the closest names.
    """
    records = [record for record in manager.records() if record.name == name]
    if not records:
        raise PluginError(f"no plugin is called `{name}`{closest(name, {item.name for item in manager.records()})}")
    return [_described(manager, record) for record in records]


def _described(manager: PluginManager, record: PluginRecord) -> dict[str, Any]:
    known = dataclasses.asdict(record)
    if record.status != "ok":
        return known
    spec = manager.get(record.kind, record.name)
    return {
        **known,
        "needs": list(spec.needs),
        **_particulars(spec),
        "parameters": [dataclasses.asdict(parameter) for parameter in parameters(spec.config)],
        "schema": None if spec.config is None else json_schema(spec.config),
    }


def _particulars(spec: PluginSpec) -> dict[str, Any]:
    """What only a spec of this kind has, such as `family` of an operator."""
    found = {}
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if field.name not in _COMMON and not callable(value):
            found[field.name] = sorted(value) if isinstance(value, frozenset) else value
    if isinstance(spec, EngineSpec):
        found.pop("verbs_of", None)
    return found


def plugin_text(found: dict[str, Any]) -> str:
    """One plugin for a reader."""
    lines = [f"{found['kind']} {found['name']}", *_row("from", f"{found['distribution']} {found['version']}".strip())]
    if found["status"] != "ok":
        return "\n".join([*lines, *_row("broken", found["status"])])
    if found["kind"] in _PLACES:
        lines += _row("used as", _PLACES[found["kind"]].format(found["name"]))
    hidden = {"name", "kind", "distribution", "version", "status", "parameters", "schema"}
    for key, value in found.items():
        if key not in hidden:
            lines += _row(key.replace("_", " "), _words(value))
    rows = [Parameter(**row) for row in found["parameters"]]
    lines += [] if rows else _row("parameters", "none")
    for row in rows:
        default = "required" if row.required else f"default {_short(row.default)}"
        lines += ["", f"  {row.name}: {row.type}; {default}"]
        lines += [f"      {row.description}"] if row.description else []
    return "\n".join(lines)


def _row(label: str, text: str) -> list[str]:
    return [f"  {label:<11} {text}"]


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
