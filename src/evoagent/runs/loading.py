"""The plugins of a configuration's stages, made and labelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from evoagent.config.model import PluginUse, RunConfig, Stage
from evoagent.plugins.loaded import (
    Loaded,
    LoadedOperator,
    LoadedOptimizer,
    LoadedResponseSelector,
    LoadedRule,
    LoadedScorer,
    LoadedSelector,
    LoadedStage,
)
from evoagent.plugins.manager import PluginManager
from evoagent.plugins.specs import PluginSpec, ScorerSpec, mark
from evoagent.plugins.versions import version_of
from evoagent.records import content_id


def used_specs(config: RunConfig, manager: PluginManager) -> list[PluginSpec]:
    """The specs of every operator, scorer, rule, selector and optimizer that `config` names."""
    return [manager.get(kind, use.name) for stage in config.plan for kind, use in _uses(stage)]


def _uses(stage: Stage) -> Iterable[tuple[str, PluginUse]]:
    yield from (("operator", use) for use in stage.evolver.operators)
    yield from (("scorer", use) for use in stage.critic.scorers)
    yield from (("rule", use) for use in stage.eliminator.rules)
    yield "selector", stage.eliminator.selector
    yield "response-selector", stage.critic.response_selector
    if stage.optimizer is not None:
        yield "optimizer", stage.optimizer


def load_stage(stage: Stage, manager: PluginManager, identities: Iterable[str]) -> LoadedStage:
    """Make the plugins of `stage`.

    Args:
        identities: of the models: what an operator writes depends on them.

    Raises:
        PluginError: one is not known, cannot be made, or its parameters are wrong.
    """
    identities = tuple(identities)
    optimizer = stage.optimizer

    def remake(name: str, params: Mapping[str, Any]) -> LoadedOperator:
        return _operator(manager, PluginUse(name=name, params=dict(params)), identities)

    return LoadedStage(
        config=stage,
        operators={use.name: _operator(manager, use, identities) for use in stage.evolver.operators},
        scorers=[load_scorer(manager, use) for use in stage.critic.scorers],
        rules=[_rule(manager, use) for use in stage.eliminator.rules],
        selector=LoadedSelector(**_made(manager, "selector", stage.eliminator.selector).common),
        response_selector=LoadedResponseSelector(
            **_made(manager, "response-selector", stage.critic.response_selector).common
        ),
        optimizer=None if optimizer is None else LoadedOptimizer(**_made(manager, "optimizer", optimizer).common),
        remake=remake,
    )


def versions(stages: Iterable[LoadedStage]) -> dict[str, str]:
    """The versions of all plugins, by what messages call them."""
    stages = list(stages)
    found: dict[str, str] = {}
    for stage in stages:
        prefix = f"{stage.name}: " if len(stages) > 1 else ""
        plugins: list[Loaded] = [*stage.operators.values(), *stage.scorers, *stage.rules, stage.selector]
        plugins += [stage.response_selector] if stage.config.critic.responses > 1 else []
        plugins += [stage.optimizer] if stage.optimizer is not None else []
        found |= {f"{prefix}{each.kind} {each.name}": each.version for each in plugins}
    return found


class _Made(NamedTuple):
    """A plugin, its spec, and what every `Loaded` has."""

    spec: Any
    common: dict[str, Any]


def _made(manager: PluginManager, kind: str, use: PluginUse) -> _Made:
    """Make a plugin; raises as `PluginManager.get` and `create`."""
    spec = manager.get(kind, use.name)
    params = directed(spec, use.params, manager)
    plugin = manager.create(spec, params)
    version = version_of(plugin, spec, manager.source(spec), params)
    return _Made(spec, {"name": use.name, "plugin": plugin, "of": manager.label(spec), "version": version})


def _operator(manager: PluginManager, use: PluginUse, identities: Iterable[str]) -> LoadedOperator:
    spec, common = _made(manager, "operator", use)
    return LoadedOperator(
        **common,
        identity=content_id(common["version"], *identities),
        params=use.params if spec.config is None else spec.config.model_validate(use.params).model_dump(mode="json"),
        family=spec.family,
        parents=spec.parents,
        evolutions=spec.evolutions,
        exempt=frozenset(spec.exempt),
    )


def load_scorer(manager: PluginManager, use: PluginUse) -> LoadedScorer:
    """The scorer that a configuration names; raises as `PluginManager.get` and `create`."""
    spec, common = _made(manager, "scorer", use)
    return LoadedScorer(**common, population=spec.population)


def _rule(manager: PluginManager, use: PluginUse) -> LoadedRule:
    spec, common = _made(manager, "rule", use)
    return LoadedRule(**common, looks_at=spec.looks_at)


def directed(spec: PluginSpec, params: dict[str, Any], manager: PluginManager) -> dict[str, Any]:
    """`params`, with the direction that the scorer's spec states where the user gave none.

    A field marked `json_schema_extra={"direction_of": FIELD}` is the direction of the score that FIELD names.
    """
    fields = spec.config.model_fields if spec.config is not None else {}
    scorers: dict[str, ScorerSpec] = {scorer.name: scorer for scorer in manager.specs("scorer")}
    for name, field in fields.items():
        of = mark(field, "direction_of")
        if isinstance(of, str) and of in fields and name not in params:
            scorer = scorers.get(str(params.get(of, fields[of].default)))
            if scorer is not None and scorer.ascending:
                params = {**params, name: "ascending"}
    return params
