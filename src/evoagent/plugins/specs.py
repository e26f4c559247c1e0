"""Typed descriptors of plugins: read from their classes, or yielded by hooks where a class is heavy to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from evoagent.models.plugin import API_VERSION


def mark(field: FieldInfo, key: str) -> Any:
    """What a parameter's `json_schema_extra` says under `key`; None if nothing."""
    extra = field.json_schema_extra
    return extra.get(key) if isinstance(extra, Mapping) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSpec:
    """What every kind of plugin has.

    Attributes:
        name: what configurations call it: lower case, digits, "_" and "-".
        factory: makes the plugin: called with an instance of `config`, or with nothing where there is none.
        summary: a line for listings.
        config: a pydantic model of the plugin's parameters, valid under its name in a configuration.
        needs: role and verb pairs that it calls, such as "scorer.loss", or "second.choose" of a role that a
            configuration must then name, and corpora that it draws from, such as "corpora.queries"; checked before any
            model loads.
    """

    kind: ClassVar[str] = "plugin"

    name: str
    factory: Callable[..., Any]
    summary: str = ""
    config: type[BaseModel] | None = None
    needs: tuple[str, ...] = ()
    api_version: int = API_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSpec(PluginSpec):
    """An evolution operator.

    Attributes:
        parents: how many instructions it takes: two for a crossover.
        evolutions: how many one call may give at the most; above one, `evolve` may return a list.
        exempt: rules that are not asked about what it writes, since they mistake it: `relevance` measures by a model
            what an operator that verifies its additions in code knows already.
    """

    kind: ClassVar[str] = "operator"

    family: str = "depth"
    parents: int = 1
    evolutions: int = 1
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerSpec(PluginSpec):
    """A scorer. `population` scorers see all candidates of a round at once; `ascending`: small is good.

    What is `ascending` is the direction of selectors that go by this score, where the configuration gives none.
    """

    kind: ClassVar[str] = "scorer"

    population: bool = False
    ascending: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec(PluginSpec):
    """A rule. `looks_at` is the least that it needs: "instruction" rules can spare the responder its work."""

    kind: ClassVar[str] = "rule"

    looks_at: Literal["instruction", "response", "population"] = "response"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorSpec(PluginSpec):
    """Chooses among the candidates that no rule has rejected."""

    kind: ClassVar[str] = "selector"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSelectorSpec(SelectorSpec):
    """Chooses among several responses to one instruction; yielded by the hook of selectors."""

    kind: ClassVar[str] = "response-selector"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerSpec(PluginSpec):
    """Improves a stage's operators between two rounds."""

    kind: ClassVar[str] = "optimizer"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec(PluginSpec):
    """An engine. The factory takes (model: ModelConfig, source: ResolvedModel, config).

    Attributes:
        verbs: what it can do: "generate", "loss", "embed", "choose"; the last comes with "loss" of itself.
        verbs_of: the verbs under given parameters, an instance of `config`, where they depend on those.
        remote: it loads no weights here, so its model's name is not looked up before the run.
    """

    kind: ClassVar[str] = "engine"

    verbs: frozenset[str] = frozenset()
    verbs_of: Callable[[Any], frozenset[str]] | None = None
    remote: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterSpec(PluginSpec):
    """A training format. The factory returns a function of a row of the dataset to a JSON-able mapping.

    Attributes:
        responses: rows have all of their responses, under `responses`; the function may return None for none.
    """

    kind: ClassVar[str] = "exporter"

    suffix: str = ".jsonl"
    responses: bool = False
