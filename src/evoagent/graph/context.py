"""What the nodes of a run share: stores, models and plugins, none of which a checkpoint can hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evoagent.config.model import RunConfig
from evoagent.events import Event
from evoagent.failures import Failures
from evoagent.graph.policies.stopping import Standing
from evoagent.graph.state import EvolutionState
from evoagent.ledger.request_log import RequestLog
from evoagent.ledger.store import Store
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.pools import NOTHING, Rows, Sources
from evoagent.models.roles import Models
from evoagent.plugins.calls import Calls
from evoagent.plugins.loaded import LoadedOperator, LoadedRule, LoadedScorer, LoadedSelector, LoadedStage
from evoagent.population.stored import RunPopulations

SEEDS_FOR_RULES = 2000  # what a rule may learn from: enough for any of them, and bounded


@dataclass(slots=True)
class EvolutionContext:
    """Everything that nodes work with: stores, models and plugins. One for each opened run, never checkpointed.

    A node that works on a round begins with `enter`, which makes the stage that the state names the current one.
    """

    config: RunConfig
    run_id: str
    directory: Path
    store: Store
    log: RequestLog
    dispatcher: Dispatcher
    calls: Calls
    """Runs the calls of plugins."""
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
            methods = await self.store.database.run(self.store.runs.methods, self.run_id, self.since, state["round"])
            remade = {name: self.stage.remake(name, params) for name, params in methods.items()}
            self.operators = {name: remade.get(name, operator) for name, operator in self.stage.operators.items()}

    @property
    def next_stage(self) -> LoadedStage | None:
        """The stage after the current one."""
        return next(iter(self.stages[self.stages.index(self.stage) + 1 :]), None)

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
        await self.store.database.run(self.store.runs.add_seconds, self.run_id, delta)

    async def prepare_rules(self) -> None:
        """Give every rule of the stage the population that the stage began with, before its first verdict."""
        if self.stage.name not in self._prepared:
            self._prepared[self.stage.name] = asyncio.ensure_future(self._prepare_rules())
        await asyncio.shield(self._prepared[self.stage.name])

    async def _prepare_rules(self) -> None:
        read = self.store.population.page
        seeds = await self.store.database.run(read, self.run_id, self.since, 0, SEEDS_FOR_RULES)
        for rule in self.rules:
            prepare = getattr(rule.plugin, "prepare", None)
            if rule.looks_at != "population" and prepare is not None:
                await self.calls.require(rule, prepare, list(seeds), self.models)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens that the run has paid for, over all processes that worked on it."""
        accounts = self.dispatcher.accounts
        return self.tokens_before + int(accounts.total("prompt_tokens") + accounts.total("completion_tokens"))

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, over all processes that worked on it."""
        return self.seconds_before + time.monotonic() - self.started
