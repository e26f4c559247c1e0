"""evolver: every operator call of a round, as the schedule assigns them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from langgraph.runtime import Runtime

from evoagent.errors import PluginError
from evoagent.failures import explain
from evoagent.graph.context import EvolutionContext
from evoagent.graph.policies.mating import DrawnMates, Mating
from evoagent.graph.policies.schedule import schedule
from evoagent.graph.policies.stopping import budgets, first_reason
from evoagent.graph.previews import preview
from evoagent.graph.progress import Batcher, Progress
from evoagent.graph.state import EvolutionState
from evoagent.ledger.database import PAGE
from evoagent.ledger.rows import NewCandidate
from evoagent.models.pools import Rows
from evoagent.models.requests import Scope
from evoagent.models.roles import Models
from evoagent.plugins.loaded import LoadedOperator
from evoagent.plugins.returned import checked_evolutions
from evoagent.records import Candidate, Evolution, Instruction, content_id

MAX_CHARACTERS = 20_000  # of an evolved instruction; beyond that it is no instruction, but a runaway model
ADMITTED = 64  # operator calls between two looks at a budget of tokens or minutes


@dataclass(frozen=True, slots=True)
class Assignment:
    """One operator call to make."""

    position: int
    parents: tuple[Instruction, ...]
    operator: LoadedOperator
    stage: str
    round: int
    sample: int

    def id(self, number: int = 0) -> str:
        """The identifier of a candidate: the same in every run that makes this call, by the same code and models.

        Args:
            number: which of the evolutions of this call, from 0.
        """
        parents = ",".join(parent.id for parent in self.parents)
        call = ("candidate", parents, self.operator.name, self.operator.identity, self.round, self.sample)
        return content_id(*call, *([number] if number else []))


async def evolver(state: EvolutionState, runtime: Runtime[EvolutionContext]) -> EvolutionState:
    """Make the round's candidates and record them."""
    context, round = runtime.context, state["round"]
    await context.enter(state)
    run = context.store.database.run
    first, count = _slice(state, context)
    calls = count * _calls_per_parent(context)
    progress = Progress(runtime, "evolver", round, calls)
    model = context.dispatcher.identity("evolver")
    budget = _Budget(state, context)

    async def members(positions: Sequence[int]) -> list[Instruction]:
        return await run(context.store.population.at, context.run_id, round, positions)

    models = context.models_with(Rows(state["population"], members))

    async def evolve(assignment: Assignment) -> list[NewCandidate]:
        return await _evolve(assignment, context, model, models)

    async def write(calls: list[list[NewCandidate]]) -> None:
        await context.save_seconds()
        await run(context.store.candidates.add, context.run_id, [row for rows in calls for row in rows])

    async with Batcher[list[NewCandidate]](write) as batch:
        assignments = _unrecorded(context, round, _assignments(context, state, first, count, budget), progress)
        async with aclosing(context.calls.map(assignments, evolve)) as results:
            async for assignment, outcome in results:
                if isinstance(outcome, Exception):
                    outcome = [_candidate(assignment, model, outcome)]
                for new in outcome:
                    context.failures.called(assignment.operator.title)
                    if new.error is not None:
                        title = assignment.operator.title
                        context.failures.failed(title, new.error.removeprefix(f"{title}: "))
                await batch.add(outcome)
                progress.advance()
        await context.dispatcher.flush()
        await context.save_seconds()
    progress.finish()
    totals = await run(context.store.results.totals, context.run_id, context.since)
    visited = state.get("visited", 0) + count
    return {"candidates": totals.candidates, "visited": visited, "previews": await preview(context, round)}


def _calls_per_parent(context: EvolutionContext) -> int:
    evolver = context.stage.config.evolver
    return evolver.samples * (len(context.operators) if evolver.schedule == "all" else 1)


def _slice(state: EvolutionState, context: EvolutionContext) -> tuple[int, int]:
    """(first position, number of parents) of this round.

    Without a wish for N survivors that is everybody. With one, it is as many parents as the yield so far lets expect
    to be enough, and a quarter more, going round the population from where the last round stopped.
    """
    population, wanted = state["population"], context.stage.config.stop.survivors
    if wanted is None:
        return 0, population
    calls, visited = _calls_per_parent(context), state.get("visited", 0)
    yielded = max(state["survivors"], 0.5) / visited if visited else 0.5 * calls  # survivors a parent
    missing = wanted - state["survivors"]
    # A few more than that: with one survivor missing, a round of two candidates is too easily barren.
    count = min(population, math.ceil(1.25 * missing / yielded) + math.ceil(16 / calls))
    return visited % max(population, 1), count


class _Budget:
    """Says when no further candidate may be begun.

    Tokens and minutes are looked at before each page of calls. A page that is let through is remembered, so that a
    killed run makes the rest of it too: what the log has answered of it is spent already.
    """

    def __init__(self, state: EvolutionState, context: EvolutionContext) -> None:
        self._context, self._round = context, state["round"]
        stop = context.stage.config.stop
        self._left = math.inf if stop.candidates is None else stop.candidates - state["candidates"]
        self._budgets = budgets(stop)
        self._calls, self._admitted = 0, 0.0 if self._budgets else math.inf

    async def take(self, candidates: int) -> bool:
        if self._left < candidates or (self._calls >= self._admitted and not await self._admit()):
            return False
        self._calls += 1
        self._left -= candidates
        return True

    async def _admit(self) -> bool:
        context, store = self._context, self._context.store
        if self._calls == 0:
            self._admitted = await store.database.run(store.runs.admitted, context.run_id, self._round)
            if self._admitted:
                return True
        if first_reason(self._budgets, context.standing()) is not None:
            return False
        self._admitted = self._calls + ADMITTED
        await store.database.run(store.runs.admit, context.run_id, self._round, self._admitted)
        return True


async def _assignments(
    context: EvolutionContext, state: EvolutionState, first: int, count: int, budget: _Budget
) -> AsyncIterator[Assignment]:
    config, round, population = context.stage.config.evolver, state["round"], state["population"]
    names, samples, seed = list(context.operators), config.samples, context.config.seed
    assigned, mating = schedule(config.schedule, names, seed), DrawnMates(seed)
    most = max(operator.evolutions for operator in context.operators.values())

    async def read(start: int, limit: int) -> list[Instruction]:
        return await context.store.database.run(context.store.population.page, context.run_id, round, start, limit)

    for offset in range(0, count, PAGE):
        start, length = first + offset, min(PAGE, count - offset)
        # The slice may run over the end of the population and go on at its start.
        parents = await read(start % population, min(length, population - start % population))
        if len(parents) < length:
            parents += await read(0, length - len(parents))
        for step, parent in enumerate(parents):
            position = (start + step) % population
            for rank, name in enumerate(assigned.choose(position, round, parent.id)):
                operator = context.operators[name]
                for sample in range(samples):
                    if not await budget.take(operator.evolutions):
                        return
                    mates = await _mates(read, operator, parent, population, mating, round, sample)
                    place = ((position * len(names) + rank) * samples + sample) * most
                    yield Assignment(place, (parent, *mates), operator, context.stage.name, round, sample)


async def _unrecorded(
    context: EvolutionContext, round: int, assignments: AsyncIterator[Assignment], progress: Progress
) -> AsyncIterator[Assignment]:
    """Those calls whose candidates are not in the ledger already; the candidates of one call are recorded together."""
    run = context.store.database.run
    if not await run(context.store.candidates.count, context.run_id, round):
        async for call in assignments:
            yield call
        return
    async for page in _paged(assignments):
        # By position, which is quicker told than the identifier: within a run, each stands for one call.
        positions = [call.position for call in page]
        known = await run(context.store.candidates.recorded, context.run_id, round, positions)
        for call in page:
            if call.position in known:
                progress.advance()
            else:
                yield call


async def _paged(calls: AsyncIterator[Assignment]) -> AsyncIterator[list[Assignment]]:
    """Pages no larger than what a budget lets through at once: a larger one would be let through before it is made."""
    page: list[Assignment] = []
    async for call in calls:
        page.append(call)
        if len(page) == ADMITTED:
            yield page
            page = []
    if page:
        yield page


async def _mates(
    read: Callable[[int, int], Awaitable[list[Instruction]]],
    operator: LoadedOperator,
    parent: Instruction,
    population: int,
    mating: Mating,
    round: int,
    sample: int,
) -> list[Instruction]:
    """The further parents of a crossover: others of the population."""
    mates: list[Instruction] = []
    proposed = mating.propose(parent.id, operator.name, round, sample, population)
    for position in islice(proposed, 20 * operator.parents if operator.parents > 1 else 0):
        found = await read(position, 1)
        if found[0].id not in {parent.id, *(mate.id for mate in mates)}:
            mates.extend(found)
        if len(mates) == operator.parents - 1:
            return mates
    if operator.parents > 1:
        raise PluginError(f"{operator.title} combines {operator.parents} parents, but the population has {population}")
    return mates


async def _evolve(assignment: Assignment, context: EvolutionContext, model: str, models: Models) -> list[NewCandidate]:
    operator, parent = assignment.operator, assignment.parents[0]
    ids = tuple(parent.id for parent in assignment.parents)
    scope = Scope(operator.name, assignment.round, f"{assignment.round}.{assignment.sample}", ids)
    several = operator.parents > 1
    method: Callable[..., Any] = operator.plugin.combine if several else operator.plugin.evolve
    given = assignment.parents if several else parent
    call = models.scoped(scope)
    found = await context.calls.guard(operator, method, given, call)
    evolutions = checked_evolutions(found, operator.evolutions)
    return [_candidate(assignment, model, evolution, number) for number, evolution in enumerate(evolutions)]


def _candidate(assignment: Assignment, model: str, evolution: Evolution | Exception, number: int = 0) -> NewCandidate:
    """The candidate that one evolution of a call is; of an exception, an empty one that tells of it."""
    error = None
    if isinstance(evolution, Exception):
        error = f"{assignment.operator.title}: {explain(evolution)}"
        evolution = Evolution("", reason="the operator failed")
    parent = assignment.parents[0]
    text, reason = evolution.instruction.strip(), evolution.reason
    input = parent.input if evolution.input is None else evolution.input
    size = len(text) + len(input) + len(evolution.response or "")
    if size > MAX_CHARACTERS:
        text, reason = "", f"{size} characters, more than {MAX_CHARACTERS}"
    if not text:
        reason = reason or "the operator returned nothing"
    candidate = Candidate(
        id=assignment.id(number),
        instruction=text,
        parent=parent,
        operator=assignment.operator.name,
        round=assignment.round,
        stage=assignment.stage,
        input=input if text else "",
        response=(evolution.response or "").strip() if text else "",
        finish_reason="length" if evolution.truncated else "stop",
        family=assignment.operator.family,
        parents=assignment.parents,
        data=parent.data if evolution.data is None else evolution.data,
    )
    version, place = assignment.operator.version, assignment.position + number
    return NewCandidate(candidate, place, model, evolution.raw, reason, error, version)
