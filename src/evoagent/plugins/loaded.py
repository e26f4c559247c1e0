"""Plugins under their configured names, with what their specs say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from evoagent.config.model import Stage
from evoagent.operators.base import Operator
from evoagent.operators.optimizer import Optimizer
from evoagent.rules.base import PopulationRule, Rule
from evoagent.scorers.base import PopulationScorer, Scorer
from evoagent.selectors.base import ResponseSelector, Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A plugin under its configured name.

    Attributes:
        of: its distribution and version, for messages; "" for one that comes with evoagent.
        version: see `evoagent.plugins.versions`.
    """

    kind: ClassVar[str]

    name: str
    plugin: Any
    of: str = ""
    version: str = ""

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.kind} `{self.name}`" + (f" of {self.of}" if self.of else "")

    @property
    def third_party(self) -> bool:
        """Whether it does not come with evoagent: its calls are limited in time."""
        return bool(self.of)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedOperator(Loaded):
    """An operator with what its spec says of it.

    Attributes:
        identity: what tells its candidates from those of other versions and models.
        params: as the configuration, or the optimizer, gives them, with the defaults of those left out.
    """

    kind = "operator"

    plugin: Operator
    family: str = "depth"
    parents: int = 1
    evolutions: int = 1
    exempt: frozenset[str] = frozenset()
    identity: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedScorer(Loaded):
    """A scorer; `population`: it sees all candidates of a round at once."""

    kind = "scorer"

    plugin: Scorer | PopulationScorer
    population: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRule(Loaded):
    """A rule, and the least that it looks at."""

    kind = "rule"

    plugin: Rule | PopulationRule
    looks_at: str = "response"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSelector(Loaded):
    """A selector."""

    kind = "selector"

    plugin: Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedResponseSelector(Loaded):
    """A response selector."""

    kind = "response selector"

    plugin: ResponseSelector


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedOptimizer(Loaded):
    """An optimizer."""

    kind = "optimizer"

    plugin: Optimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedStage:
    """A stage with its plugins.

    Attributes:
        config: all of its sections.
        remake: an operator of the stage with other parameters; raises `PluginError` where they are wrong.
    """

    config: Stage
    operators: Mapping[str, LoadedOperator]
    scorers: Sequence[LoadedScorer]
    rules: Sequence[LoadedRule]
    selector: LoadedSelector
    response_selector: LoadedResponseSelector
    optimizer: LoadedOptimizer | None = None
    remake: Callable[[str, Mapping[str, Any]], LoadedOperator]

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        return self.config.name
