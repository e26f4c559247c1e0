"""What a checkpoint holds, and what it must not.

`EvolutionState` is written whole at every step, so it holds counters and a handful of previews and nothing that grows
with the population: that is in the ledger. `EvolutionContext` holds what cannot be written at all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field
from typing_extensions import TypedDict  # pydantic describes no other before Python 3.12

from evoagent.config import RunConfig
from evoagent.events import Event
from evoagent.failures import Failures
from evoagent.ledger.request_log import RequestLog
from evoagent.ledger.store import Store
from evoagent.models.dispatcher import Dispatcher
from evoagent.models.roles import Models
from evoagent.operators.base import Operator
from evoagent.rules.base import PopulationRule, Rule
from evoagent.scorers.base import PopulationScorer, Scorer
from evoagent.selectors.base import Selector

SEEDS_FOR_RULES = 2000  # what a rule may learn from: enough for any of them, and bounded


class EvolutionState(TypedDict, total=False):
    """The state of one run, as LangGraph checkpoints it. A few thousand bytes, however large the population."""

    run_id: Annotated[str, Field(description="The run in the ledger.")]
    round: Annotated[int, Field(description="The round in progress, from 1; at the end, the last one.")]
    population: Annotated[int, Field(description="Members of the population at the start of this round.")]
    candidates: Annotated[int, Field(description="Candidates so far, over all rounds.")]
    survivors: Annotated[int, Field(description="Survivors so far, over all rounds.")]
    rejected: Annotated[dict[str, int], Field(description="Rejections so far, by rule.")]
    visited: Annotated[int, Field(description="Parents that operators have been asked about, over all rounds.")]
    barren: Annotated[int, Field(description="Rounds in a row without a survivor.")]
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
    """

    kind = "operator"

    plugin: Operator
    family: str = "depth"
    parents: int = 1
    evolutions: int = 1
    exempt: frozenset[str] = frozenset()
    identity: str = ""


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


@dataclass(slots=True)
class EvolutionContext:
    """Everything that nodes work with: stores, models and plugins. One a process, never checkpointed."""

    config: RunConfig
    run_id: str
    directory: Path
    store: Store
    log: RequestLog
    dispatcher: Dispatcher
    operators: Mapping[str, LoadedOperator]
    scorers: list[LoadedScorer]
    rules: list[LoadedRule]
    selector: LoadedSelector
    finish: Callable[[dict[str, Any]], None]
    """Writes what a run leaves behind, given its summary; called in the ledger's thread."""
    listen: Callable[[Event], None] = lambda event: None
    """Shows progress: the terminal, the event log, any tracker."""
    observe: Callable[[Event], None] = lambda event: None
    """Tells the observers among the plugins; never raises."""
    review_page: int = 20
    """Candidates that a person is asked about at once."""
    failures: Failures = field(default_factory=Failures)
    """What failed in this round, and whose fault it was."""
    started: float = field(default_factory=time.monotonic)
    summary: dict[str, Any] | None = None
    """Set if the run was done before this process began."""
    seconds_before: float = 0.0
    tokens_before: int = 0
    _saved_seconds: float = 0.0
    _prepared: asyncio.Task[None] | None = None

    @property
    def models(self) -> Models:
        """The roles, on nobody's behalf; nodes scope them to a caller."""
        return Models(self.dispatcher)

    async def save_seconds(self) -> None:
        """Write the time spent so far, so that a budget of minutes outlives a killed process."""
        spent = time.monotonic() - self.started
        delta, self._saved_seconds = spent - self._saved_seconds, spent
        await self.store.database.run(self.store.add_seconds, self.run_id, delta)

    async def prepare_rules(self) -> None:
        """Give every rule the seeds, once a process, before its first verdict."""
        if self._prepared is None:
            self._prepared = asyncio.ensure_future(self._prepare_rules())
        await asyncio.shield(self._prepared)

    async def _prepare_rules(self) -> None:
        seeds = await self.store.database.run(self.store.seeds, self.run_id, SEEDS_FOR_RULES)
        for rule in self.rules:
            prepare = getattr(rule.plugin, "prepare", None)
            if rule.looks_at != "population" and prepare is not None:
                await self.dispatcher.require(rule.title, prepare, list(seeds), self.models, limited=rule.strange)

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens that the run has paid for, over all processes that worked on it."""
        accounts = self.dispatcher.accounts
        return self.tokens_before + int(accounts.total("prompt_tokens") + accounts.total("completion_tokens"))

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, over all processes that worked on it."""
        return self.seconds_before + time.monotonic() - self.started
