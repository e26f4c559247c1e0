"""What a factory has made, looked at before a run relies on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evoagent.failures import shown
from evoagent.plugins.discovery import article
from evoagent.plugins.specs import EngineSpec, OperatorSpec, PluginSpec, RuleSpec, ScorerSpec


def lacking(spec: PluginSpec, plugin: Any) -> str:
    """What the object that the factory made must have and has not; "" if nothing."""
    from evoagent.operators.base import Operator

    for method in _methods(spec):
        if not callable(getattr(plugin, method, None)) or (
            isinstance(plugin, Operator) and getattr(type(plugin), method) is getattr(Operator, method, None)
        ):
            return f"found {article(type(plugin).__name__)}, expected an object with `{method}`"
    if not isinstance(spec, EngineSpec):
        return ""
    if not isinstance(plugin.identity, str) or not plugin.identity.strip():
        return f"found identity {shown(plugin.identity)}, expected a text that tells its answers from other models'"
    unknown = [verb for verb in plugin.capabilities if not callable(getattr(plugin, verb, None))]
    if unknown or isinstance(plugin.capabilities, str):
        return f"found capabilities {shown(plugin.capabilities)}, expected a set of the verbs that it has"
    lanes = getattr(plugin, "lanes", None)
    if not isinstance(lanes, Mapping) or not all(_is_lane(lane) for lane in lanes.values()):
        return f"found lanes {shown(lanes)}, expected a Lane for each verb, with numbers from 1"
    return ""


def _is_lane(lane: Any) -> bool:
    sizes = (getattr(lane, "batch", None), getattr(lane, "parallel", None))
    return all(isinstance(size, int) and size >= 1 for size in sizes)


def _methods(spec: PluginSpec) -> tuple[str, ...]:
    """What the object that the factory makes must have."""
    if isinstance(spec, OperatorSpec):
        return ("combine",) if spec.parents > 1 else ("evolve",)
    if isinstance(spec, ScorerSpec):
        return ("score_all",) if spec.population else ("score",)
    if isinstance(spec, RuleSpec):
        return ("judge_all",) if spec.looks_at == "population" else ("judge",)
    others = {"selector": "select", "response-selector": "rank", "optimizer": "improve", "exporter": "__call__"}
    return (others[spec.kind],) if spec.kind in others else ("start", "close")
