"""What a checkpoint holds, and what it must not.

`EvolutionState` is written whole at every step, so it holds counters and a handful of previews and nothing that grows
with the population: that is in the ledger. `EvolutionContext` holds what cannot be written at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field
from typing_extensions import TypedDict  # pydantic describes no other before Python 3.12

from evoagent.config import RunConfig, Stage
from evoagent.events import Event
from evoagent.failures import Failures
from evoagent.ledger.request_log import RequestLog
from evoagent.ledger.store import Store
from evoagent.models.calls import Calls
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.pools import NOTHING, Rows, Sources
from evoagent.models.roles import Models
from evoagent.operators.base import Operator
from evoagent.operators.optimizer import Optimizer
from evoagent.population.stored import RunPopulations
from evoagent.rules.base import PopulationRule, Rule
from evoagent.scorers.base import PopulationScorer, Scorer
from evoagent.selectors.base import ResponseSelector, Selector
from evoagent.stopping import Standing

SEEDS_FOR_RULES = 2000  # what a rule may learn from: enough for any of them, and bounded


class EvolutionState(TypedDict, total=False):
    """The state of one run, as LangGraph checkpoints it. A few thousand bytes, however large the population."""

    run_id: Annotated[str, Field(description="The run in the ledger.")]
    stage: Annotated[str, Field(description="The stage in progress; at the end, the last one.")]
    since: Annotated[int, Field(description="The first round of the stage.")]
    round: Annotated[
        int, Field(description="The round in progress, from 1, counted through all stages; at the end, the last one.")
    ]
    population: Annotated[int, Field(description="Members of the population at the start of this round.")]
    candidates: Annotated[int, Field(description="Candidates of the stage so far.")]
    survivors: Annotated[int, Field(description="Survivors of the stage so far.")]
    rejected: Annotated[dict[str, int], Field(description="Rejections of the stage so far, by rule.")]
    visited: Annotated[int, Field(description="Parents that operators of the stage have been asked about.")]
    barren: Annotated[int, Field(description="Rounds in a row without a survivor.")]
    tokens_before: Annotated[int, Field(description="Tokens that the run had paid for when the stage began.")]
    seconds_before: Annotated[float, Field(description="Seconds that the run had taken when the stage began.")]
    then: Annotated[str, Field(description="The node that comes after the eliminator.")]
    stop_reason: Annotated[str | None, Field(description="Why the run ends; null while it goes on.")]
    last_round: Annotated[
        dict[str, Any], Field(description="The last round: its number, candidates, survivors, and rejections by rule.")
    ]
    previews: Annotated[
        list[dict[str, str]], Field(description="A few rows of the last round: operator, parent, evolved, verdict.")
    ]
    figures: Annotated[
        dict[str, float], Field(description="What plugins measured of all survivors so far, as PLUGIN.FIGURE.")
    ]
    review: Annotated[
        dict[str, Any],
        Field(
            description="A person's decisions on this round's candidates, by id, for whoever stops the graph before "
            'the eliminator: "keep", {"decision": "reject", "reason": "..."} or '
            '{"decision": "edit", "instruction": "..."}.'
        ),
    ]
    summary: Annotated[dict[str, Any], Field(description="The run's summary, once it has finished.")]


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
    def strange(self) -> bool:
        """Whether it is somebody else's: its calls are limited in time."""
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


@dataclass(slots=True)
class EvolutionContext:
    """Everything that nodes work with: stores, models and plugins. One a process, never checkpointed.

    A node begins with `enter`, which makes the stage that the state names the current one.
    """

    config: RunConfig
    run_id: str
    directory: Path
    store: Store
    log: RequestLog
    dispatcher: Dispatcher
    stages: Sequence[LoadedStage]
    finish: Callable[[dict[str, Any]], None]
    """Writes what a run leaves behind, given its summary; called in the ledger's thread."""
    listen: Callable[[Event], None] = lambda event: None
    """Shows progress: the terminal, the event log, any tracker."""
    observe: Callable[[Event], None] = lambda event: None
    """Tells the observers among the plugins; never raises."""
    corpora: Mapping[str, Rows] = field(default_factory=dict)
    """What plugins may draw from, by name."""
    review_page: int = 20
    """Candidates that a person is asked about at once."""
    failures: Failures = field(default_factory=Failures)
    """What failed in this round, and whose fault it was."""
    started: float = field(default_factory=time.monotonic)
    summary: dict[str, Any] | None = None
    """Set if the run was done before this process began."""
    seconds_before: float = 0.0
    tokens_before: int = 0
    stage: LoadedStage = field(init=False)
    """The current stage."""
    since: int = 1
    """Its first round."""
    operators: Mapping[str, LoadedOperator] = field(init=False)
    """Its operators, as the optimizer has left them for this round."""
    _start: tuple[int, float] = (0, 0.0)
    _saved_seconds: float = 0.0
    _prepared: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _populations: RunPopulations | None = None

    def __post_init__(self) -> None:
        self.stage = self.stages[0]
        self.operators = self.stage.operators

    async def enter(self, state: EvolutionState) -> None:
        """Make the stage of `state` the current one, with its operators as they are in the state's round."""
        name = state.get("stage", self.stages[0].name)
        self.stage = next(stage for stage in self.stages if stage.name == name)
        self.since = state.get("since", 1)
        self._start = (state.get("tokens_before", 0), state.get("seconds_before", 0.0))
        style = self.stage.config.evolver.style
        self.dispatcher.set_style("evolver", None if style == "auto" else style)
        self.operators = self.stage.operators
        if self.stage.optimizer is not None:
            methods = await self.store.database.run(self.store.methods, self.run_id, self.since, state["round"])
            remade = {name: self.stage.remake(name, params) for name, params in methods.items()}
            self.operators = {name: remade.get(name, operator) for name, operator in self.stage.operators.items()}

    @property
    def next_stage(self) -> LoadedStage | None:
        """The stage after the current one."""
        return next(iter(self.stages[self.stages.index(self.stage) + 1 :]), None)

    @property
    def calls(self) -> Calls:
        """Runs the calls of plugins."""
        return self.dispatcher.calls

    @property
    def scorers(self) -> Sequence[LoadedScorer]:
        """Those of the current stage."""
        return self.stage.scorers

    @property
    def rules(self) -> Sequence[LoadedRule]:
        """Those of the current stage."""
        return self.stage.rules

    @property
    def selector(self) -> LoadedSelector:
        """That of the current stage."""
        return self.stage.selector

    def standing(self, rounds: int = 0, candidates: int = 0, survivors: int = 0, barren: int = 0) -> Standing:
        """How far the current stage has come, with what it has cost so far."""
        tokens, seconds = self.tokens - self._start[0], self.seconds - self._start[1]
        return Standing(rounds, candidates, survivors, barren, tokens, seconds)

    @property
    def models(self) -> Models:
        """The roles, on nobody's behalf; nodes scope them to a caller."""
        return self.models_with(NOTHING)

    def models_with(self, pool: Rows) -> Models:
        """As `models`, with members of the population to draw from."""
        return Models(self.dispatcher, sources=Sources(pool, self.corpora))

    @property
    def populations(self) -> RunPopulations:
        """The run's candidates and survivors, as plugins see them."""
        if self._populations is None:
            self._populations = RunPopulations(self.store, self.run_id, self.directory, self.dispatcher)
        return self._populations

    async def save_seconds(self) -> None:
        """Write the time spent so far, so that a budget of minutes outlives a killed process."""
        spent = time.monotonic() - self.started
        delta, self._saved_seconds = spent - self._saved_seconds, spent
        await self.store.database.run(self.store.add_seconds, self.run_id, delta)

    async def prepare_rules(self) -> None:
        """Give every rule of the stage the population that the stage began with, before its first verdict."""
        if self.stage.name not in self._prepared:
            self._prepared[self.stage.name] = asyncio.ensure_future(self._prepare_rules())
        await asyncio.shield(self._prepared[self.stage.name])

    async def _prepare_rules(self) -> None:
        read = self.store.population
        seeds = await self.store.database.run(read, self.run_id, self.since, 0, SEEDS_FOR_RULES)
        for rule in self.rules:
            prepare = getattr(rule.plugin, "prepare", None)
            if rule.looks_at != "population" and prepare is not None:
                await self.dispatcher.calls.require(rule.title, prepare, list(seeds), self.models, limited=rule.strange)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens that the run has paid for, over all processes that worked on it."""
        accounts = self.dispatcher.accounts
        return self.tokens_before + int(accounts.total("prompt_tokens") + accounts.total("completion_tokens"))

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, over all processes that worked on it."""
        return self.seconds_before + time.monotonic() - self.started
